"""How right what time and place propose is, and the offsets that are found between clocks, on synthetic surveys.

    python3 spotid.py bench proposals [--seeds N] [--json FILE]

Surveys are planned as `modelzoo.synthetic` plans them, with the truth; no photo is drawn, since only stations, cameras
and times count here. Real visits are less tidy: where animals follow each other, `followers` says what share of visits
has a second animal 15 to 90 s behind, alone in every photo, which no rule of time and place can tell from the first.

Groups: precision is the share of proposed links between two photos of one animal; recall the share of what could be
linked: neighbouring photos of one animal in one burst, and visits that both cameras saw. Clocks: the second camera of
every station gets a wrong clock (seconds to years, with or without drift); an estimate is right within 5 s (with drift,
in the middle of the visits that agree), and unclear where it says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from identification.matching.clocks import DAY, clock_estimate
from identification.matching.events import PAIRED_CAMERAS, SAME_EVENT, Shot, groups_of, links
from modelzoo.synthetic.plan import PlannedPhoto, SurveyPlan, plan_survey

SURVEYS = {
    "small": SurveyPlan(photos=120),
    "season": SurveyPlan(photos=1200, individuals=20, stations=15, days=60),
    "dense": SurveyPlan(photos=6000, individuals=40, stations=15, days=60),
}
FOLLOWERS = (0.0, 0.05, 0.2)
OFFSETS = (0, 47, -3600, 19800, 86400 * 31, -86400 * 365 * 9)
DRIFTS = (0.0, 1.0)
RIGHT_SECONDS = 5.0


def followed(
    photos: list[PlannedPhoto], share: float, individuals: int, rng: np.random.Generator
) -> list[PlannedPhoto]:
    """The photos, and for a share of the visits the same visit again by another animal a little later."""
    behind = {event: int(rng.integers(15, 91)) for event in {p.event for p in photos} if rng.random() < share}
    last = 1 + max((photo.event for photo in photos), default=0)
    more = [
        replace(
            photo,
            event=last + photo.event,
            individual=(photo.individual + 1) % individuals,
            captured_at=photo.captured_at + timedelta(seconds=behind[photo.event]),
        )
        for photo in photos
        if photo.event in behind and photo.individual is not None
    ]
    return [*photos, *more]


def shots_of(photos: list[PlannedPhoto]) -> list[Shot]:
    stations = {name: index for index, name in enumerate(sorted({photo.station for photo in photos}))}
    return [
        Shot(
            image=index,
            station=stations[photo.station],
            camera=photo.camera,
            at=photo.captured_at.replace(tzinfo=UTC),
            in_view=0 if photo.individual is None else 1,
            detection=None if photo.individual is None else index,
            flank=photo.flank or "unknown",
        )
        for index, photo in enumerate(photos)
    ]


def linkable(photos: list[PlannedPhoto]) -> tuple[list[tuple[int, int]], list[tuple[set[int], set[int]]]]:
    """Neighbouring photos of one visit and camera, and the photos of each visit that two cameras saw."""
    visits: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, photo in enumerate(photos):
        if photo.individual is not None:
            visits[photo.event][photo.camera].append(index)
    bursts, pairs = [], []
    for cameras in visits.values():
        ordered = [sorted(rows, key=lambda i: photos[i].captured_at) for rows in cameras.values()]
        bursts += [pair for rows in ordered for pair in pairwise(rows)]
        if len(ordered) == 2:
            pairs.append((set(ordered[0]), set(ordered[1])))
    return bursts, pairs


def proposals_row(name: str, share: float, seeds: int) -> dict[str, Any]:
    made = {SAME_EVENT: [0, 0], PAIRED_CAMERAS: [0, 0]}
    groups = pure = burst_found = burst_all = pair_found = pair_all = 0
    for seed in range(seeds):
        plan = replace(SURVEYS[name], seed=seed)
        rng = np.random.default_rng(seed)
        photos = followed(plan_survey(plan), share, plan.individuals, rng)
        found = groups_of(shots_of(photos))
        group_of = {pk: index for index, group in enumerate(found) for pk in group.detections}
        groups += len(found)
        pure += sum(len({photos[pk].individual for pk in group.detections}) == 1 for group in found)
        for group in found:
            for link in links(group):
                made[link.kind][0] += photos[link.first].individual == photos[link.second].individual
                made[link.kind][1] += 1
        bursts, pairs = linkable(photos)
        burst_all, pair_all = burst_all + len(bursts), pair_all + len(pairs)
        together = [group_of.get(a, -1) == group_of.get(b, -2) for a, b in bursts]
        burst_found += sum(together)
        pair_found += sum(bool({group_of.get(i, -1) for i in a} & {group_of.get(i, -2) for i in b}) for a, b in pairs)
    return {
        "survey": name,
        "followers": share,
        "groups": groups,
        "of_one_animal": pure / max(1, groups),
        "burst_precision": made[SAME_EVENT][0] / max(1, made[SAME_EVENT][1]),
        "burst_recall": burst_found / max(1, burst_all),
        "pair_precision": made[PAIRED_CAMERAS][0] / max(1, made[PAIRED_CAMERAS][1]),
        "pair_recall": pair_found / max(1, pair_all),
    }


def clocks_row(name: str, drift: float, seeds: int) -> dict[str, Any]:
    right = wrong = unclear = 0
    errors: list[float] = []
    for seed in range(seeds):
        plan = replace(SURVEYS[name], seed=seed)
        times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for photo in plan_survey(plan):
            times[photo.station][photo.camera].append(photo.captured_at.replace(tzinfo=UTC).timestamp())
        for number, cameras in enumerate(times.values()):
            offset = OFFSETS[(seed + number) % len(OFFSETS)]
            first, second = (np.asarray(cameras[camera]) for camera in ("A", "B"))
            if not first.size or not second.size:
                unclear += 1
                continue
            middle = (second.min() + second.max()) / 2
            shown = second - offset - drift * (second - middle) / DAY
            estimate = clock_estimate(first, shown)
            if estimate is None or not estimate.clear:
                unclear += 1
                continue
            # With drift the offset is that of the middle of the agreeing visits, which may lie elsewhere than ours.
            slack = RIGHT_SECONDS + abs(drift) * plan.days / 4
            error = abs(estimate.offset_seconds - offset)
            errors.append(error)
            right, wrong = right + (error <= slack), wrong + (error > slack)
    return {
        "survey": name,
        "drift": drift,
        "stations": right + wrong + unclear,
        "right": right,
        "wrong": wrong,
        "unclear": unclear,
        "median_error": float(np.median(errors)) if errors else None,
    }


def table(rows: list[dict[str, Any]]) -> None:
    print("  ".join(f"{name:>16}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>16.4f}" if isinstance(value, float) else f"{value!s:>16}" for value in row.values()))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    groups = [proposals_row(name, share, arguments.seeds) for name in SURVEYS for share in FOLLOWERS]
    table(groups)
    clocks = [clocks_row(name, drift, arguments.seeds) for name in SURVEYS for drift in DRIFTS]
    table(clocks)
    if arguments.json:
        arguments.json.write_text(json.dumps({"groups": groups, "clocks": clocks}, indent=2) + "\n")


if __name__ == "__main__":
    main()
