"""Captures and traps files for secr (read.capthist, read.traps), in projected metres.

Format: Efford, "Data input for secr" (vignette of the package): a capture line is session, animal, occasion, detector
and covariates; a trap line is detector, x, y and usage by occasion. Lines that begin with # are comments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.utils.translation import gettext

from ..errors import SpotIDError
from .histories import History, Variant, history_of, usable_sightings
from .identifiers import identifiers
from .occasions import Occasions, occasions_of
from .options import ExportOptions
from .output import LeftOut, Output
from .places import Projection, projection_of
from .snapshot import ExportSurvey, SurveySnapshot
from .surroundings import ExportStation, days_worked

FOLDER = "secr"
NO_PLACE = "the station has no coordinates"
NO_SESSION = (
    "no station with coordinates, or nothing says that a camera worked on the days asked for: "
    "the whole survey is left out"
)
WORKED_ANYWAY = "it took photos on days on which it is recorded as not working; they count as worked"


@dataclass
class Session:
    """One survey. days: by station the share of each day on which it worked."""

    survey: ExportSurvey
    occasions: Occasions
    stations: list[ExportStation]
    days: dict[int, dict[date, float]]
    histories: list[History]
    left_out: list[LeftOut] = field(default_factory=list)


def secr_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> dict[str, Any]:
    """Write secr/: captures of three histories, traps of every session, a table of identifiers, and what was left out.

    Raises SpotIDError without exact places (also refused when it is asked for), and when no station has any.
    """
    sessions = [found for survey in snapshot.surveys if (found := session_of(snapshot, survey, options)) is not None]
    placed = [station for session in sessions for station in session.stations]
    if not options.with_places or not placed:
        raise SpotIDError(gettext("secr needs stations with exact coordinates, and photos with a time and a station."))
    projection = projection_of([row.degrees for row in placed if row.degrees is not None])
    sessions.sort(key=lambda session: (session.occasions.first, session.survey.name, session.survey.id))
    names = _Names.of(snapshot, sessions)
    for variant in Variant:
        out.text(f"{FOLDER}/captures_{variant}.txt", _captures(sessions, names, variant, options))
    for session in sessions:
        suffix = f"_{names.sessions[session.survey.id]}" if len(sessions) > 1 else ""
        for effort in (False, True):
            name = f"{FOLDER}/traps{'_effort' if effort else ''}{suffix}.txt"
            out.text(name, _traps(session, names, projection, effort=effort))
    out.table(f"{FOLDER}/identifiers.csv", ("kind", "identifier", "name", "survey", "first_day"), names.rows(sessions))
    out.table(f"{FOLDER}/occasions.csv", ("session", "occasion", "first_day", "last_day"), _spans(sessions, names))
    there = {session.survey.id for session in sessions}
    left_out = [LeftOut(row.name, row.name, NO_SESSION) for row in snapshot.surveys if row.id not in there]
    left_out += [row for session in sessions for row in session.left_out]
    left_out += [row for session in sessions for history in session.histories for row in history.left_out]
    out.left_out(f"{FOLDER}/left_out.csv", left_out)
    return {
        "projection": f"EPSG:{projection.epsg}, {projection.name}",
        "detector": "proximity",
        "sessions": [_about(session, names, snapshot) for session in sessions],
        "left_out": len(left_out),
    }


def session_of(snapshot: SurveySnapshot, survey: ExportSurvey, options: ExportOptions) -> Session | None:
    """A survey with the stations that have a place; None where nothing says that a camera worked on the chosen days."""
    stations = [row for row in snapshot.stations if row.survey_id == survey.id]
    placed = [row for row in stations if row.degrees is not None]
    own = [row for row in snapshot.sightings if row.photo.survey_id == survey.id]
    sightings, left_out = usable_sightings(own, survey.name)
    ids = {row.id for row in placed}
    left_out += [LeftOut(row.code, survey.name, NO_PLACE) for row in stations if row.id not in ids]
    sightings = [row for row in sightings if row.photo.station_id in ids]
    operations = [row for row in snapshot.operations if row.survey_id == survey.id and row.station_id in ids]
    ends = [day for row in operations for day in (row.first, row.last)]
    ends += [row.photo.day for row in sightings if row.photo.day is not None]
    occasions = occasions_of(ends, first=options.first, last=options.last, length=options.occasion_days)
    if occasions is None or not placed:
        return None
    days = days_worked(operations)
    seen: dict[int, set[date]] = defaultdict(set)
    for row in sightings:
        if row.photo.station_id is not None and row.photo.day is not None:
            seen[row.photo.station_id].add(row.photo.day)
    for station in placed:
        own_days = days.setdefault(station.id, {})
        idle = {day for day in seen[station.id] if not own_days.get(day)}
        if idle:
            left_out.append(LeftOut(station.code, survey.name, WORKED_ANYWAY))
        own_days |= dict.fromkeys(idle, 1.0)
    if not any(share and occasions.of(day) for worked in days.values() for day, share in worked.items()):
        return None
    histories = [history_of(variant, sightings, survey.name) for variant in Variant]
    return Session(survey, occasions, placed, days, histories, left_out)


@dataclass(frozen=True)
class _Names:
    """Identifiers of sessions, animals and detectors by our ids."""

    sessions: dict[int, str]
    animals: dict[int, str]
    detectors: dict[int, str]
    told: dict[str, str]

    @classmethod
    def of(cls, snapshot: SurveySnapshot, sessions: Sequence[Session]) -> _Names:
        plain = identifiers([(session.survey.id, session.survey.name) for session in sessions], "session")
        if len(sessions) > 1:
            # secr sorts sessions by their identifier, and its trap files must come in that order: in that of time.
            width = len(str(len(sessions)))
            plain = {s.survey.id: f"{at:0{width}d}-{plain[s.survey.id]}" for at, s in enumerate(sessions, 1)}
        animals = identifiers([(found.id, found.code) for found in snapshot.individuals], "animal")
        detectors: dict[int, str] = {}
        for session in sessions:
            detectors |= identifiers([(station.id, station.code) for station in session.stations], "detector")
        told = {animals[found.id]: found.name for found in snapshot.individuals}
        return cls(plain, animals, detectors, told)

    def rows(self, sessions: Sequence[Session]) -> Iterable[tuple[str, str, str, str, str]]:
        codes: dict[str, str] = {}
        for session in sessions:
            name, first = session.survey.name, session.occasions.first.isoformat()
            yield "session", self.sessions[session.survey.id], name, name, first
            for station in session.stations:
                yield "detector", self.detectors[station.id], station.code, name, first
            for history in session.histories:
                codes |= {self.animals[row.individual.id]: row.individual.code for row in history.captures}
        for animal in sorted(codes):
            yield "animal", animal, f"{codes[animal]} {self.told[animal]}".strip(), "", ""


def _captures(sessions: Sequence[Session], names: _Names, variant: Variant, options: ExportOptions) -> Iterable[str]:
    days = options.occasion_days
    yield f"# Captures for secr, {variant} flanks; occasions of {days} days; a line per animal, occasion and detector\n"
    if variant == Variant.LINKED:
        yield "# Animals of which both flanks are known, and of those known by one flank the ones of one side only\n"
    yield "# Session ID Occasion Detector Sex\n"
    for session in sessions:
        history = next(history for history in session.histories if history.variant == variant)
        lines = {
            (names.animals[row.individual.id], session.occasions.of(row.day), names.detectors[row.station_id]): row
            for row in history.captures
        }
        for animal, occasion, detector in sorted(lines, key=lambda key: (key[0], key[1] or 0, key[2])):
            sex = lines[animal, occasion, detector].individual.sex or "NA"
            yield f"{names.sessions[session.survey.id]} {animal} {occasion} {detector} {sex}\n"


def _traps(session: Session, names: _Names, projection: Projection, *, effort: bool) -> Iterable[str]:
    """Usage as noughts and ones in one field, or as days of effort in a field each (binary.usage = FALSE)."""
    name = names.sessions[session.survey.id]
    yield f"# Detectors for secr, session {name}; metres in {projection.name} (EPSG:{projection.epsg})\n"
    yield f"# {session.occasions.number} occasions from {session.occasions.first} to {session.occasions.last}\n"
    yield f"# Detector X Y {'Effort in days by occasion: read with binary.usage = FALSE' if effort else 'Usage'}\n"
    places = [row.degrees for row in session.stations if row.degrees is not None]
    for station, (x, y) in zip(session.stations, projection.metres(places), strict=True):
        days = session.occasions.effort(session.days[station.id])
        usage = " ".join(f"{number:g}" for number in days) if effort else "".join("1" if n else "0" for n in days)
        yield f"{names.detectors[station.id]} {x:.2f} {y:.2f} {usage}\n"


def _spans(sessions: Sequence[Session], names: _Names) -> Iterable[tuple[str, int, str, str]]:
    for session in sessions:
        for occasion in range(1, session.occasions.number + 1):
            first, last = session.occasions.span(occasion)
            yield names.sessions[session.survey.id], occasion, first.isoformat(), last.isoformat()


def _about(session: Session, names: _Names, snapshot: SurveySnapshot) -> dict[str, Any]:
    ids = {station.id for station in session.stations}
    return {
        "session": names.sessions[session.survey.id],
        "survey": session.survey.name,
        "occasions": session.occasions.number,
        "detectors": len(session.stations),
        "operation_from": sorted({row.source for row in snapshot.operations if row.station_id in ids}),
        "linked_one_sided": session.histories[-1].side,
        **{
            str(history.variant): {
                "animals": len({row.individual.id for row in history.captures}),
                "captures": len(
                    {(row.individual.id, session.occasions.of(row.day), row.station_id) for row in history.captures}
                ),
            }
            for history in session.histories
        },
    }
