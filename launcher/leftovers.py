"""Finds processes that outlived the one that started them.

Every child carries a mark in its environment (`SPOTID_LAUNCH`), which its own children inherit, so on Linux even a
process that left its process group and lost its parent is found. Elsewhere only the tree below a process is known.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

MARK = "SPOTID_LAUNCH"


def marked(mark: str) -> list[int]:
    """Processes whose environment holds this mark or one that goes on from it (`mark` or `mark-…`). Linux only."""
    found: list[int] = []
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(entry == wanted or entry.startswith(wanted + b"-") for entry in environment):
            found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, parents first, without `pid`. Empty where the system can't say."""
    if sys.platform == "win32":
        return []
    try:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        listing = _listing_from_proc()
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        child, parent = (int(number) for number in line.split())
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found.extend(below)
        queue.extend(below)
    return found


def _listing_from_proc() -> str:
    """`pid ppid` per line, for containers without `ps`."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The command name stands in parentheses and may hold anything, so the fields are counted after it.
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        lines.append(f"{folder.name} {fields[1]}")
    return "\n".join(lines)


def kill_now(pids: list[int]) -> None:
    """End these processes without asking them."""
    for pid in pids:
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True)
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def kill_marked(mark: str) -> int:
    """Kill what carries the mark, until nothing does. Returns how many processes were found."""
    total = 0
    for _ in range(10):
        found = [pid for pid in marked(mark) if is_alive(pid)]
        if not found:
            break
        total += len(found)
        kill_now(found)
    return total


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs; one that is dead but not yet collected by its parent does not."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        listing = subprocess.run(["tasklist", "/NH", "/FI", f"PID eq {pid}"], capture_output=True, text=True).stdout
        return str(pid) in listing.split()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"


def arguments(pid: int) -> list[str]:
    """The command line of a process; in one piece where the system does not tell arguments apart; empty if unknown."""
    if sys.platform == "win32":
        listing = subprocess.run(["tasklist", "/NH", "/FI", f"PID eq {pid}"], capture_output=True, text=True).stdout
        return listing.split()[:1] if str(pid) in listing.split() else []
    try:
        return [os.fsdecode(part) for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:
        pass
    try:
        said = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [os.fsdecode(said).strip()] if said.strip() else []
