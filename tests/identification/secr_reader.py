"""Reads files for secr as its documentation says that read.capthist and read.traps do, and finds what they refuse.

Written from the vignette "Data input for secr" and the help of read.traps and read.capthist, not from our writer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path


class Refused(Exception):
    """secr would refuse the file, or read something else than it says."""


@dataclass
class CaptHist:
    """sessions → animal → set of (occasion, detector); covariates by animal; traps by session."""

    detections: dict[str, dict[str, set[tuple[int, str]]]]
    covariates: dict[str, list[str]]
    traps: dict[str, Traps] = field(default_factory=dict)


@dataclass
class Traps:
    """metres by detector, and usage: one number for each occasion."""

    metres: dict[str, tuple[float, float]]
    usage: dict[str, list[float]]

    @property
    def occasions(self) -> int:
        return len(next(iter(self.usage.values())))


def records(file: Path) -> list[list[str]]:
    """Fields of each line: text after # is a comment, blank lines are none, values are separated by white space."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        line = line.split("#", 1)[0]
        if "'" in line or '"' in line:
            raise Refused(f"a quote in {line!r}")
        if line.strip():
            found.append(line.split())
    return found


def read_traps(file: Path, *, binary_usage: bool) -> Traps:
    metres, usage = {}, {}
    for row in records(file):
        if len(row) < 3:
            raise Refused("requires 3 fields (detectorID, x, y)")
        name, x, y, *rest = row
        if name in metres:
            raise Refused(f"detector {name} twice")
        if set("_/,") & set(name) or name in {"NA"}:
            raise Refused(f"detector {name}")
        metres[name] = float(x), float(y)
        # Codes may stand together or apart when they are binary; effort is one field for each occasion.
        usage[name] = [float(code) for code in ("".join(rest) if binary_usage else rest)]
        if binary_usage and not set(usage[name]) <= {0.0, 1.0}:
            raise Refused(f"usage of {name}")
    if len({len(codes) for codes in usage.values()}) != 1:
        raise Refused("'usage' fields suggest varying number of occasions")
    return Traps(metres, usage)


def read_capthist(captures: Path, traps: list[Path], *, binary_usage: bool) -> CaptHist:
    """With one trap file for all sessions, or one for each, in the order of the sessions' names."""
    detections: dict[str, dict[str, set[tuple[int, str]]]] = defaultdict(lambda: defaultdict(set))
    covariates: dict[str, list[str]] = {}
    for row in records(captures):
        session, animal, occasion, detector, *rest = row
        if "NA" in row[:4] or animal == "NONE":
            raise Refused(f"missing values not allowed: {row}")
        if not occasion.isdigit():
            raise Refused(f"occasion {occasion}")
        seen = (int(occasion), detector)
        if seen in detections[session][animal]:
            raise Refused("more than one detection of an animal per detector and occasion at a proximity detector")
        detections[session][animal].add(seen)
        covariates.setdefault(animal, rest)
    found = CaptHist(detections, covariates)
    sessions = sorted(detections)
    if len(traps) not in {1, len(sessions)}:
        raise Refused(f"{len(traps)} trap files for {len(sessions)} sessions")
    for at, session in enumerate(sessions):
        layout = read_traps(traps[at if len(traps) > 1 else 0], binary_usage=binary_usage)
        found.traps[session] = layout
        for animal, seen_at in detections[session].items():
            for occasion, detector in seen_at:
                if detector not in layout.metres:
                    raise Refused(f"{animal}: no detector {detector} in session {session}")
                if not 1 <= occasion <= layout.occasions or not layout.usage[detector][occasion - 1]:
                    raise Refused(f"{animal}: detector {detector} not used on occasion {occasion}")
    return found
