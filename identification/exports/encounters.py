"""Encounter matrices for closed-population models: individual × occasion, as a CSV and as an input file of MARK.

The .inp of MARK: one line per animal with its history of noughts and ones, how many animals have it, and a semicolon;
comments stand between /* and */ (documentation of RMark::convert.inp).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .folders import keep_apart, safe_name
from .histories import History, Variant, history_of, usable_sightings
from .identifiers import identifier
from .occasions import Occasions, occasions_of
from .options import ExportOptions
from .output import Output
from .snapshot import ExportIndividual, ExportSurvey, SurveySnapshot
from .surroundings import days_worked

FOLDER = "encounters"


def encounters_write(snapshot: SurveySnapshot, out: Output, options: ExportOptions) -> dict[str, Any]:
    """Write encounters/, with a folder per survey where there are several: a population is closed within one season."""
    folders = _folders(snapshot)
    about, left_out = [], []
    for survey in snapshot.surveys:
        folder = folders[survey.id]
        own = [row for row in snapshot.sightings if row.photo.survey_id == survey.id]
        sightings, missing = usable_sightings(own, survey.name)
        left_out += missing
        operations = [row for row in snapshot.operations if row.survey_id == survey.id]
        ends = [day for row in operations for day in (row.first, row.last)]
        ends += [row.photo.day for row in sightings if row.photo.day is not None]
        occasions = occasions_of(ends, first=options.first, last=options.last, length=options.occasion_days)
        histories = [history_of(variant, sightings, survey.name) for variant in Variant]
        for history in histories:
            left_out += history.left_out
            _write(history, occasions, out, f"{folder}/encounters_{history.variant}")
        effort: dict[int, float] = defaultdict(float)
        if occasions is not None:
            for days in days_worked(operations).values():
                for at, number in enumerate(occasions.effort(days), 1):
                    effort[at] += number
        columns = ("occasion", "first_day", "last_day", "station_nights")
        out.table(f"{folder}/occasions.csv", columns, _spans(occasions, effort))
        about.append(_about(survey, occasions, histories))
    out.left_out(f"{FOLDER}/left_out.csv", left_out)
    return {"surveys": about, "left_out": len(left_out)}


def _folders(snapshot: SurveySnapshot) -> dict[int, str]:
    if len(snapshot.surveys) == 1:
        return {snapshot.surveys[0].id: FOLDER}
    names = keep_apart({row.id: [safe_name(row.name), f"{safe_name(row.name)} {row.id}"] for row in snapshot.surveys})
    return {pk: f"{FOLDER}/{name}" for pk, name in names.items()}


def matrix_of(history: History, occasions: Occasions) -> list[tuple[ExportIndividual, str]]:
    """Each animal of the history with its noughts and ones, by number."""
    seen: dict[int, set[int]] = defaultdict(set)
    animals: dict[int, ExportIndividual] = {}
    for row in history.captures:
        occasion = occasions.of(row.day)
        if occasion is not None:
            animals[row.individual.id] = row.individual
            seen[row.individual.id].add(occasion)
    ordered = sorted(animals.values(), key=lambda found: found.number)
    return [
        (found, "".join("1" if at in seen[found.id] else "0" for at in range(1, occasions.number + 1)))
        for found in ordered
    ]


def _write(history: History, occasions: Occasions | None, out: Output, name: str) -> None:
    rows = matrix_of(history, occasions) if occasions is not None else []
    columns = [f"o{at}" for at in range(1, occasions.number + 1)] if occasions is not None else []
    out.table(
        f"{name}.csv",
        ("individual", "name", "sex", *columns),
        ((found.code, found.name, found.sex, *map(int, said)) for found, said in rows),
    )
    out.text(f"{name}.inp", _inp(rows, history.variant, occasions))


def _inp(rows: list[tuple[ExportIndividual, str]], variant: Variant, occasions: Occasions | None) -> Iterable[str]:
    many = occasions.number if occasions is not None else 0
    yield f"/* {variant} flanks, {many} occasions */\n"
    for found, said in rows:
        yield f"/* {identifier(found.code, 'animal')} */ {said} 1;\n"


def _spans(occasions: Occasions | None, effort: dict[int, float]) -> Iterable[tuple[int, str, str, float]]:
    for at in range(1, (occasions.number if occasions is not None else 0) + 1):
        assert occasions is not None
        first, last = occasions.span(at)
        yield at, first.isoformat(), last.isoformat(), round(effort[at], 2)


def _about(survey: ExportSurvey, occasions: Occasions | None, histories: list[History]) -> dict[str, Any]:
    return {
        "survey": survey.name,
        "occasions": occasions.number if occasions is not None else 0,
        "linked_one_sided": histories[-1].side,
        **{str(history.variant): len({row.individual.id for row in history.captures}) for history in histories},
    }
