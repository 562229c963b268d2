"""How long the server takes over the next pair and over a decision while many people review a large catalogue at once.

    python3 spotid.py bench review_latency [--detections N] [--reviewers N] [--seconds S] [--surveys N] [--json FILE]

Writes a catalogue that is half-way through its review (large_catalogue.py: 100 000 boxes, 3 million candidates, 50 000
edges), starts the server as `spotid.py up` starts it (waitress, one process, its default number of threads) and lets
reviewers work over HTTP with sessions and CSRF tokens (review_load.py), each answering every two seconds. They work in
the N largest surveys, half of them in the largest, half of the rest in the next, and so on; with --surveys 1 all share
the queue of 20 000 anchors. They work twice for S seconds: by pages, as without the page's script (an answer, then the
page of the next pair), and in sessions, as with it (what comes next is asked for ahead).

next_pair_p95_ms, decision_p95_ms: 95th percentile of the time at the server, from its first middleware to the finished
answer, the worse of both ways, of everything after each reviewer's first page: next_pair is a page, or what comes next
asked for by itself; decision is an answer, in a session with what comes next where nothing is at hand ("decision,
next"; the worse of both counts). What the client saw is beside it.
queries_per_page: the most queries that any page of a next pair took. first_page_ms: of the first reviewer of each
survey, for whom its queue is built. The reviewers run on the same machine, and so does PostgreSQL: the load stands in
the report.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")

PACE = 2.0
FORMER = 5


@contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """The server in a process of its own; gives its port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.latency_settings", "PYTHONPATH": str(CHECKOUT)}
    server = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "manage.py"), "serve", "--port", str(port)], env=environ, cwd=CHECKOUT
    )
    try:
        for _ in range(600):
            if server.poll() is not None:
                raise SystemExit("The server did not start.")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(30)


def used(pid: int) -> tuple[float, int]:
    """Processor seconds and resident MB of a process; zeros where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGESIZE") >> 20


def figures(values: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile and the largest, in milliseconds."""
    ordered = sorted(values)
    at = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99)}
    return {f"p{round(100 * share)}": round(value, 1) for share, value in at.items()} | {"max": round(ordered[-1], 1)}


def summed_up(requests: list[Any]) -> dict[str, Any]:
    """What was asked, by kind: how often, and how long it took where."""
    found: dict[str, Any] = {}
    for kind in sorted({request.kind for request in requests}):
        of = [request for request in requests if request.kind == kind]
        found[kind] = {
            "requests": len(of),
            "statuses": dict(sorted(Counter(str(request.status) for request in of).items())),
            "server_ms": figures([request.total for request in of]),
            "client_ms": figures([request.client for request in of]),
            "cpu_ms": figures([request.cpu for request in of]),
            "database_ms": figures([request.db for request in of]),
            "queries": dict(sorted(Counter(request.queries for request in of).items())),
            "kilobytes": round(statistics.mean(request.size for request in of) / 1000, 1),
        }
    return found


def prepared(detections: int, reviewers: int, surveys: int, seed: int) -> tuple[Any, list[tuple[str, int]]]:
    """The catalogue, and the account and survey of each reviewer."""
    from django.contrib.auth.hashers import make_password
    from large_catalogue import catalogue_draw, members_add
    from review_load import PASSWORD

    from identification.models import User

    names = [f"former{n}" for n in range(FORMER)] + [f"reviewer{n}" for n in range(reviewers)]
    hashed = make_password(PASSWORD)
    accounts = User.objects.bulk_create(User(username=name, password=hashed) for name in names)
    catalogue = catalogue_draw(detections=detections, seed=seed, reviewers=accounts[:FORMER])
    largest = sorted(catalogue.seasons, key=lambda season: -len(season.detections))[:surveys]
    for population in {season.survey.population_id for season in largest}:
        survey = next(season.survey for season in largest if season.survey.population_id == population)
        members_add(survey=survey, users=accounts)
    places, left = [], list(range(reviewers))
    for season in largest[:-1]:
        here, left = left[: (len(left) + 1) // 2], left[(len(left) + 1) // 2 :]
        places += [(f"reviewer{n}", season.survey.pk) for n in here]
    places += [(f"reviewer{n}", largest[-1].survey.pk) for n in left]
    return catalogue, places


def measured(catalogue: Any, places: list[tuple[str, int]], seconds: float, seed: int) -> dict[str, Any]:
    from review_load import Reviewer, SessionReviewer

    ways: dict[str, Any] = {}
    with serving() as (port, pid):
        first: dict[int, float] = {}
        for way, kind in (("pages", Reviewer), ("session", SessionReviewer)):
            people = [
                kind(name, survey, port, catalogue.coat, random.Random(f"{seed} {name}")) for name, survey in places
            ]
            for reviewer in people:
                reviewer.sign_in()
                began = time.perf_counter()
                reviewer.look()
                first.setdefault(reviewer.survey, round(1000 * (time.perf_counter() - began)))
            ways[way] = worked(people, pid, seconds)
    return {
        "next_pair_p95_ms": worst(ways, ("next_pair", "ahead")),
        "decision_p95_ms": worst(ways, ("decision", "decision, next")),
        "queries_per_page": max(ways["pages"]["requests"].get("next_pair", {}).get("queries", {0: 0})),
        "first_page_ms": sorted(first.values(), reverse=True),
        "ways": ways,
    }


def worked(people: list[Any], pid: int, seconds: float) -> dict[str, Any]:
    """What came of so many seconds of work."""
    from review_load import work_together

    cpu, _ = used(pid)
    begin, end = work_together(people, pace=PACE, seconds=seconds)
    after, resident = used(pid)
    requests = [request for reviewer in people for request in reviewer.done if request.at >= begin]
    return {
        "requests": summed_up(requests),
        "requests_per_second": round(len(requests) / (end - begin), 1),
        "server_cpu_share": round((after - cpu) / (end - begin), 3),
        "server_mb": resident,
        "load_average": round(os.getloadavg()[0], 2),
        "trouble": [line for reviewer in people for line in reviewer.trouble][:20],
    }


def worst(ways: dict[str, Any], kinds: tuple[str, ...]) -> float:
    """The largest 95th percentile at the server of these kinds of request."""
    found = [
        way["requests"][kind]["server_ms"]["p95"] for way in ways.values() for kind in kinds if kind in way["requests"]
    ]
    return float(max(found, default=0.0))


def report(found: dict[str, Any]) -> None:
    print(
        f"\n{found['detections']} boxes, {found['candidates']} candidates, {found['edges']} edges, "
        f"{found['individuals']} individuals; {found['reviewers']} reviewers in {found['surveys']} surveys"
    )
    for name, way in found["ways"].items():
        print(
            f"{name}: {way['requests_per_second']} requests/s, server {way['server_cpu_share']:.0%} of one core, "
            f"{way['server_mb']} MB, load {way['load_average']}"
        )
        for kind, row in way["requests"].items():
            server, client, cpu, waited = (row[key] for key in ("server_ms", "client_ms", "cpu_ms", "database_ms"))
            print(
                f"  {kind:14} {row['requests']:5}  server p50 {server['p50']:7.1f} p95 {server['p95']:7.1f} "
                f"max {server['max']:7.1f} ms  client p95 {client['p95']:7.1f}  cpu p50 {cpu['p50']:6.1f}  "
                f"database p50 {waited['p50']:6.1f}  queries {min(row['queries'])}–{max(row['queries'])}  "
                f"{row['kilobytes']} kB  {row['statuses']}"
            )
        for line in way["trouble"]:
            print("  trouble:", line)
    print(
        f"next pair p95 {found['next_pair_p95_ms']} ms, decision p95 {found['decision_p95_ms']} ms, at most "
        f"{found['queries_per_page']} queries a page; first pages {found['first_page_ms']} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--reviewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--surveys", type=int, default=3, help="so many surveys are reviewed, the largest ones")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import django

    django.setup()
    began = time.monotonic()
    catalogue, places = prepared(arguments.detections, arguments.reviewers, arguments.surveys, arguments.seed)
    print(f"The catalogue is written after {time.monotonic() - began:.0f} s.", flush=True)
    found: dict[str, Any] = measured(catalogue, places, arguments.seconds, arguments.seed)
    found |= {
        "detections": len(catalogue.coat),
        "candidates": catalogue.candidates,
        "edges": catalogue.edges,
        "individuals": catalogue.individuals,
        "reviewers": arguments.reviewers,
        "surveys": arguments.surveys,
        "seconds": arguments.seconds,
    }
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
