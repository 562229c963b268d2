"""Which boxes show the population's species, as people say it, in bulk; and taking exactly that back.

A box of another species keeps everything that was made of it and everything that was decided about it; it only takes no
part any more, so that restoring it is exact. Why so: docs/decisions/0024-species-triage.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext, ngettext

from ..errors import SpotIDError, UndoRefused
from ..models import (
    AuditEntry,
    Candidate,
    Category,
    Detection,
    Embedding,
    Image,
    LocalFeatureSet,
    Survey,
    Triage,
    TriageRun,
    User,
)
from ..selectors.triage import TRIAGED, UNDONE, below_threshold, in_confirmed_matches, triage_version
from .activation import active_model, models_hold
from .audit import audit_record
from .individuals import population_lock
from .matching import matching_hold, matching_invalidate
from .proposals import proposals_follow
from .queue import work_requeue
from .triage_queue import triage_request


@dataclass(frozen=True)
class Triaged:
    """What came of it. entries: an audit row per survey that changed. changed, left: boxes, and those left alone."""

    entries: tuple[AuditEntry, ...] = ()
    changed: int = 0
    left: int = 0


@transaction.atomic
def detections_triage(
    *,
    acting_user: User | None,
    detections: Iterable[Detection],
    triage: str,
    with_matched: bool = False,
    by_person: bool = True,
) -> Triaged:
    """Say of animals whether they show the population's species. All of them or none.

    Raises SpotIDError for a value that is none, boxes that are no animals, and, unless `with_matched`, when one that is
    to be another species stands in a confirmed match or is a declared animal: take it out of its individual first, or
    say so. With it, the decisions stay as they are and the box takes no part, as one that is not usable.
    """
    if triage not in Triage.values:
        raise SpotIDError(
            gettext("%(triage)s is no answer; use one of %(values)s.")
            % {"triage": repr(triage), "values": ", ".join(value or "nothing" for value in Triage.values)}
        )
    rows = boxes_locked([detection.pk for detection in detections])
    if any(row.category != Category.ANIMAL for row in rows):
        raise SpotIDError(gettext("Only animals have a species to be told."))
    if triage == Triage.OTHER and not with_matched:
        matched_refuse([row for row in rows if row.triage != Triage.OTHER])
    states = {row.pk: (triage, by_person) for row in rows if (row.triage, row.triage_by_person) != (triage, by_person)}
    return Triaged(_write(acting_user, rows, states, TRIAGED, {"triage": triage, "by_person": by_person}), len(states))


def matched_refuse(rows: Iterable[Detection]) -> None:
    """Raise SpotIDError where one of the boxes stands in a confirmed match or is a declared animal."""
    if held := in_confirmed_matches([row.pk for row in rows]):
        raise SpotIDError(
            ngettext(
                "%(n)s of the boxes stands in confirmed matches or as declared animals. Take them out of their "
                "individuals first, or say that they are to be left out all the same. Nothing was changed.",
                "%(n)s of the boxes stand in confirmed matches or as declared animals. Take them out of their "
                "individuals first, or say that they are to be left out all the same. Nothing was changed.",
                len(held),
            )
            % {"n": len(held)}
        )


@transaction.atomic
def triage_below(
    *, acting_user: User | None, survey: Survey, threshold: float, version: int, expected: int, by_person: bool = True
) -> Triaged:
    """Mark every undecided box of the survey with a score below the threshold as another species.

    Those in confirmed matches are left alone. Raises SpotIDError when scores are no longer of that version, or not
    exactly `expected` boxes are concerned: then somebody or something changed what was looked at.
    """
    triage_hold([survey])
    if triage_version(survey) != version:
        raise SpotIDError(
            gettext("The scores were computed anew in the meantime. Look at them again. Nothing was changed.")
        )
    rows = list(below_threshold(survey, threshold))
    if len(rows) != expected:
        raise SpotIDError(
            gettext(
                "%(number)s boxes are below %(threshold)s now, not %(expected)s: somebody worked on them "
                "in the meantime. Nothing was changed."
            )
            % {"number": len(rows), "threshold": f"{threshold:g}", "expected": expected}
        )
    return detections_triage(acting_user=acting_user, detections=rows, triage=Triage.OTHER, by_person=by_person)


@transaction.atomic
def triage_undo(*, acting_user: User | None, entry: AuditEntry) -> Triaged:
    """Bring every box back to what it was before one triage; those that were changed since are left and counted, and so
    are those that would be another species again but were matched or declared in the meantime.

    Raises UndoRefused when the entry is no triage, or was taken back already.
    """
    if entry.action != TRIAGED:
        raise UndoRefused(gettext("That was no triage of species."))
    assert entry.survey_id is not None
    triage_hold(Survey.objects.filter(pk=entry.survey_id))
    if AuditEntry.objects.filter(action=UNDONE, survey=entry.survey_id, after__undoes=entry.pk).exists():
        raise UndoRefused(gettext("This has been taken back already."))
    before = {int(pk): (state[0], state[1]) for pk, state in entry.before["boxes"].items()}
    rows = boxes_locked(before)
    now = (entry.after["triage"], entry.after["by_person"])
    matched = in_confirmed_matches([pk for pk, (triage, _) in before.items() if triage == Triage.OTHER])
    same = (row for row in rows if (row.triage, row.triage_by_person) == now and row.pk not in matched)
    states = {row.pk: before[row.pk] for row in same}
    left = len(before) - len(states)
    return Triaged(_write(acting_user, rows, states, UNDONE, {"undoes": entry.pk}), len(states), left)


def boxes_locked(ids: Collection[int]) -> list[Detection]:
    """The boxes with their surveys, in the order of their ids, held until the transaction ends."""
    triage_hold(Survey.objects.filter(images__detections__in=ids).distinct())
    rows = (
        Detection.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in=ids)
        .select_related("image__survey")
    )
    return list(rows.order_by("pk"))


def triage_hold(surveys: Iterable[Survey]) -> None:
    """Hold the graphs of the populations, so that no match is confirmed meanwhile, then the scores; boxes come last.

    Who stores scores takes them in the same order.
    """
    held = sorted(surveys, key=lambda survey: (survey.population_id, survey.pk))
    for population in dict.fromkeys(survey.population_id for survey in held):
        population_lock(population)
    list(TriageRun.objects.select_for_update().filter(survey__in=[survey.pk for survey in held]).order_by("survey"))


def _write(
    acting_user: User | None,
    rows: list[Detection],
    states: dict[int, tuple[str, bool]],
    action: str,
    after: dict[str, object],
) -> tuple[AuditEntry, ...]:
    changed = [row for row in rows if row.pk in states]
    before = {row.pk: (row.triage, row.triage_by_person) for row in changed}
    for row in changed:
        row.triage, row.triage_by_person = states[row.pk]
    Detection.objects.bulk_update(changed, ["triage", "triage_by_person"], batch_size=1000)
    by_survey: dict[Survey, list[Detection]] = defaultdict(list)
    for row in changed:
        by_survey[row.image.survey].append(row)
    entries = []
    for survey, own in sorted(by_survey.items(), key=lambda item: item[0].pk):
        boxes = {str(row.pk): list(before[row.pk]) for row in own}
        entries.append(
            audit_record(
                acting_user=acting_user,
                action=action,
                target=survey,
                survey=survey,
                before={"boxes": boxes},
                after=after | {"boxes": [row.pk for row in own]},
            )
        )
        gone = [row for row in own if row.triage == Triage.OTHER != before[row.pk][0]]
        back = [row for row in own if row.triage != Triage.OTHER == before[row.pk][0]]
        boxes_take_in(survey, back)
        boxes_take_out(gone)
        proposals_follow(detections=[*gone, *back])
        triage_request(survey=survey)
    return tuple(entries)


def boxes_take_out(gone: list[Detection]) -> None:
    """Drop the pairs with what takes no part any more. An anchor that lost a candidate has room for another."""
    ids = [row.pk for row in gone]
    matching_hold(populations={row.image.survey.population_id for row in gone})
    lost = Candidate.objects.filter(detection__in=ids).exclude(anchor__in=ids)
    surveys = set(lost.values_list("anchor__image__survey", flat=True).order_by())
    Candidate.objects.filter(Q(anchor__in=ids) | Q(detection__in=ids)).delete()
    for one in Survey.objects.filter(pk__in=surveys).order_by("pk"):
        matching_invalidate(survey=one)


def boxes_take_in(survey: Survey, back: list[Detection]) -> None:
    """Match again what takes part again; what was not encoded meanwhile is caught up on."""
    if not back:
        return
    # Before rows of surveys are written: a switch of models takes them in this order.
    models_hold()
    model = active_model()
    rows = Detection.objects.filter(pk__in=[row.pk for row in back])
    bare: Any = ~Exists(LocalFeatureSet.objects.filter(detection=OuterRef("pk"), version__in=_versions(survey)))
    if model is not None:
        failed = Exists(model.encoding_failures.filter(detection=OuterRef("pk")))
        bare |= ~Exists(Embedding.objects.filter(detection=OuterRef("pk"), model=model)) & ~failed
    images = Image.objects.filter(pk__in=rows.filter(bare).values("image")).select_related("survey")
    work_requeue(images=images)
    matching_invalidate(survey=survey)


def _versions(survey: Survey) -> list[str]:
    """The version of local features that the survey's comparable boxes had extracted last."""
    own = LocalFeatureSet.objects.filter(detection__in=Detection.objects.comparable().filter(image__survey=survey))
    return list(own.order_by("-id").values_list("version", flat=True)[:1])
