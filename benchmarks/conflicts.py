"""How long the conflicts page takes to find what contradicts in a large catalogue.

    python3 spotid.py bench conflicts [--detections N] [--contradictions N] [--pages N] [--json FILE]

Writes a catalogue that is half-way through its review (large_catalogue.py, with eight candidates a box instead of
thirty: the page reads none), refuses a pair within N of its animals and calls N of its matched flanks opposite ones.
Animals of that catalogue are at stations up to 90 km apart at random, so some of them fly. A curator of everything
then asks for the first pages, and for the last.

milliseconds: on the clock, of reading a page (no template), the median; cpu_ms: of the web process alone, without the
database. in_all: contradictory groups, impossible ways, matches of opposite flanks.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")

ROUNDS = 5


def prepared(detections: int, contradictions: int, seed: int) -> Any:
    """The catalogue with what contradicts in it, and a curator of all its surveys."""
    import large_catalogue

    from identification.models import Detection, Individual, MatchEdge, Membership, Population, Role, User

    large_catalogue.CANDIDATES = 8
    former = User.objects.bulk_create(User(username=f"former{n}") for n in range(3))
    large_catalogue.catalogue_draw(detections=detections, seed=seed, reviewers=former)
    curator = User.objects.create(username="curator")
    for population in Population.objects.all():
        Membership.objects.create(user=curator, population=population, role=Role.CURATOR, may_see_places=True)
    torn = 0
    for animal in Individual.objects.filter(retired=False).order_by("-number").iterator():
        photos = list(Detection.objects.filter(individual=animal).order_by("pk").values_list("pk", flat=True)[:20])
        apart = (photos[0], photos[-1])
        if len(photos) < 3 or MatchEdge.objects.filter(a=apart[0], b=apart[1]).exists():
            continue
        MatchEdge.objects.create(a_id=apart[0], b_id=apart[1], verdict="no_match", version=1)
        torn += 1
        if torn == contradictions:
            break
    for edge in MatchEdge.objects.filter(verdict="match").order_by("pk")[:contradictions]:
        Detection.objects.filter(pk=edge.a_id).update(flank="left")
        Detection.objects.filter(pk=edge.b_id).update(flank="right")
    return curator


def measured(user: Any, pages: list[int]) -> dict[str, Any]:
    """By page: time, processor time, queries and rows; and how much there is of each kind."""
    from django.db import connection, reset_queries

    from identification.permissions import rights_read_once
    from identification.selectors.conflicts import contradictions_read

    found: dict[str, Any] = {}
    for number in pages:
        clock, cpu = [], []
        for _ in range(ROUNDS):
            reset_queries()
            began, worked = time.perf_counter(), time.process_time()
            with rights_read_once(user):
                page = contradictions_read(user=user, number=number)
            clock.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - worked))
        found[str(page.page.number)] = {
            "milliseconds": round(statistics.median(clock), 1),
            "slowest": round(max(clock), 1),
            "cpu_ms": round(statistics.median(cpu), 1),
            "queries": len(connection.queries),
        }
    found["in_all"] = [page.conflicts_in_all, page.jumps_in_all, page.opposed_in_all]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--contradictions", type=int, default=40)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import django
    from django.conf import settings

    django.setup()
    settings.DEBUG = True  # counts queries
    began = time.monotonic()
    curator = prepared(arguments.detections, arguments.contradictions, arguments.seed)
    print(f"The catalogue is written after {time.monotonic() - began:.0f} s.", flush=True)
    found = measured(curator, [*range(1, arguments.pages + 1), 10**6])
    found |= {"detections": arguments.detections, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
