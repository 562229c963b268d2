"""Boxes without an animal, as people say it, many at once; and taking exactly that back.

Such a box is set aside as not usable with the reason "no animal", as from a question of the review. Everything that was
made of it stays, and so does what was decided about it. Why so: docs/decisions/0039-boxes-without-an-animal.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError, UndoRefused
from ..models import AuditEntry, Category, Detection, Survey, User
from ..models.image import Unusable
from ..selectors.triage import EMPTIED, EMPTIED_UNDONE, in_confirmed_matches
from .audit import audit_record
from .proposals import proposals_follow
from .triage import Triaged, boxes_locked, boxes_take_in, boxes_take_out, matched_refuse, triage_hold
from .triage_queue import triage_request

_State = tuple[bool, str]
_EMPTY: _State = (False, Unusable.NOTHING.value)
_USABLE: _State = (True, "")


@transaction.atomic
def detections_empty(
    *, acting_user: User, detections: Iterable[Detection], empty: bool = True, with_matched: bool = False
) -> Triaged:
    """Say of boxes that they show no animal, or, of such, that they do after all. All of them or none.

    Raises SpotIDError for boxes that are no animals' in the first place, and, unless `with_matched`, when one stands in
    a confirmed match or is a declared animal. Boxes that are not usable for another reason become empty ones, too; only
    empty ones are restored.
    """
    rows = boxes_locked([detection.pk for detection in detections])
    if any(row.category != Category.ANIMAL for row in rows):
        raise SpotIDError(gettext("Only boxes that were taken for animals can be said to show none."))
    if empty and not with_matched:
        matched_refuse([row for row in rows if (row.usable, row.unusable_reason) != _EMPTY])
    wanted = _EMPTY if empty else _USABLE
    states = {
        row.pk: wanted for row in rows if ((row.usable, row.unusable_reason) != _EMPTY if empty else _is_empty(row))
    }
    after: dict[str, object] = {"usable": wanted[0], "unusable_reason": wanted[1]}
    return Triaged(_write(acting_user, rows, states, EMPTIED, after), len(states), len(rows) - len(states))


@transaction.atomic
def empties_undo(*, acting_user: User, entry: AuditEntry) -> Triaged:
    """Bring every box back to what it was before one step; those that were changed since are left and counted, and so
    are those that would be set aside again but were matched or declared in the meantime.

    Raises UndoRefused when the entry is no such step, or was taken back already.
    """
    if entry.action != EMPTIED:
        raise UndoRefused(gettext("That was no step that set boxes aside."))
    assert entry.survey_id is not None
    triage_hold(Survey.objects.filter(pk=entry.survey_id))
    if AuditEntry.objects.filter(action=EMPTIED_UNDONE, survey=entry.survey_id, after__undoes=entry.pk).exists():
        raise UndoRefused(gettext("This has been taken back already."))
    before: dict[int, _State] = {int(pk): (state[0], state[1]) for pk, state in entry.before["boxes"].items()}
    rows = boxes_locked(before)
    now = (entry.after["usable"], entry.after["unusable_reason"])
    matched = in_confirmed_matches([pk for pk, (usable, _) in before.items() if not usable])
    same = (row for row in rows if (row.usable, row.unusable_reason) == now and row.pk not in matched)
    states = {row.pk: before[row.pk] for row in same}
    changed = _write(acting_user, rows, states, EMPTIED_UNDONE, {"undoes": entry.pk})
    return Triaged(changed, len(states), len(before) - len(states))


def _is_empty(row: Detection) -> bool:
    return (row.usable, row.unusable_reason) == _EMPTY


def _write(
    acting_user: User, rows: list[Detection], states: dict[int, _State], action: str, after: dict[str, object]
) -> tuple[AuditEntry, ...]:
    changed = [row for row in rows if row.pk in states]
    before = {row.pk: (row.usable, row.unusable_reason) for row in changed}
    for row in changed:
        row.usable, row.unusable_reason = states[row.pk]
    Detection.objects.bulk_update(changed, ["usable", "unusable_reason"], batch_size=1000)
    by_survey: dict[Survey, list[Detection]] = defaultdict(list)
    for row in changed:
        by_survey[row.image.survey].append(row)
    entries = []
    for survey, own in sorted(by_survey.items(), key=lambda item: item[0].pk):
        entries.append(
            audit_record(
                acting_user=acting_user,
                action=action,
                target=survey,
                survey=survey,
                before={"boxes": {str(row.pk): list(before[row.pk]) for row in own}},
                after=after | {"boxes": [row.pk for row in own]},
            )
        )
        gone = [row for row in own if not row.usable and before[row.pk][0]]
        boxes_take_in(survey, [row for row in own if row.usable and not before[row.pk][0]])
        boxes_take_out(gone)
        proposals_follow(detections=own)
        triage_request(survey=survey)
    return tuple(entries)
