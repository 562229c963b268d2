"""Stands in for SpotID's own manage.py: notes how it was called, and serves what the launcher waits for."""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOME = Path(os.environ["SPOTID_HOME"])


def note(command: str) -> None:
    with (HOME / "calls.txt").open("a", encoding="utf-8") as file:
        file.write(json.dumps([command, *sys.argv[2:]]) + "\n")


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/" else 404)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve() -> None:
    if (HOME / "web-fails").exists():
        sys.exit("the web server is told to fail")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer.allow_reuse_address = True
    ThreadingHTTPServer(("127.0.0.1", port), Health).serve_forever()


def run_worker() -> None:
    """Starts a grandchild in a session of its own that does not end when it is asked to."""
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
    (HOME / "stubborn.txt").write_text(str(child.pid), encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    while True:
        time.sleep(0.1)


def main() -> int:
    command = sys.argv[1]
    note(command)
    if command == "serve":
        serve()
    elif command == "run_worker":
        run_worker()
    elif command == "ensure_administrator" and not (HOME / "administrator").exists():
        (HOME / "administrator").touch()
        sys.stdout.write("Administrator: admin / " + os.environ.get("SPOTID_ADMIN_PASSWORD", "made-up-word") + "\n")
    elif command == "environment":
        sys.stdout.write(json.dumps({"environ": dict(os.environ), "cwd": str(Path.cwd()), "arguments": sys.argv[2:]}))
    elif command == "exit":
        return int(sys.argv[2])
    elif command == "copy_input":
        sys.stdout.write(sys.stdin.read().upper())
    elif command == "hold":
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
