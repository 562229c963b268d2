"""What a reviewer says of one photo from a question, and taking it back in its turn, as a decision is."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext

from ..errors import KeyTaken, UndoRefused
from ..models import Candidate, Detection, Flank, Remark, Survey, User
from ..permissions import Action, detections_for, surveys_for
from ..selectors.remarks import last_remark, standing_remarks
from .annotation import detection_annotate
from .triage import triage_hold

_CANDIDATE = (
    "anchor_id",
    "detection_id",
    "rank",
    "similarity",
    "inliers",
    "score",
    "probability",
    "evidence",
    "engine",
)


@transaction.atomic
def remark_record(
    *,
    user: User,
    survey: Survey,
    detection: Detection,
    pair: tuple[int, int],
    key: UUID | None = None,
    flank_said: bool = True,
    **changes: Any,
) -> Remark | None:
    """Say of a box from a question whether it is usable, or which flank it shows, as `detection_annotate` does.

    survey: whose review it is. pair: the question. key: made by who sends it; what was recorded under it already is
    returned, whatever has become of it since. None where nothing was changed by it.

    Raises SpotIDError as `detection_annotate` does, and KeyTaken when something else was recorded under the key.
    """
    kind = Remark.Kind.FLANK if "flank" in changes else Remark.Kind.USABLE
    if kind == Remark.Kind.FLANK:
        # In the order in which who changes flanks takes them: `detection_annotate` does so again.
        triage_hold([detection.image.survey])
    box = Detection.objects.select_for_update(of=("self",), no_key=True).get(pk=detection.pk)
    recorded = Remark.objects.filter(key=key).first() if key else None
    if recorded is not None:
        if (recorded.user_id, recorded.detection_id, recorded.kind) != (user.pk, box.pk, kind):
            raise KeyTaken(gettext("Something else was recorded under this key. Nothing was changed."))
        return recorded
    before = _state(box, kind)
    around = Candidate.objects.filter(Q(anchor=box) | Q(detection=box))
    candidates = [list(row) for row in around.order_by("anchor", "rank").values_list(*_CANDIDATE)]
    if not detection_annotate(acting_user=user, detections=[box], flank_said=flank_said, **changes):
        return None
    box.refresh_from_db()
    flag, word = _state(box, kind)
    return Remark.objects.create(
        user=user,
        survey=survey,
        detection=box,
        kind=kind,
        flag_before=before[0],
        word_before=before[1],
        flag=flag,
        word=word,
        pair=list(pair),
        candidates=candidates,
        key=key or uuid4(),
    )


@transaction.atomic
def remark_undo(*, user: User, survey: Survey, of: UUID | None = None, key: UUID | None = None) -> Remark | None:
    """Take back the reviewer's remark `of` that key, or her last one in the survey where it is the last that she said.

    Returns the remark; None when no remark is meant, so that an answer is. key: of the step back, which is taken once
    however often it arrives. The box is as it was before, and so are its candidates, as far as nothing else has taken
    their places; it is matched anew besides.

    Raises UndoRefused for what is taken back already, was changed since, or is not open to her any more.
    """
    again = Remark.objects.filter(undo_key=key, user=user).first() if key else None
    if again is not None:
        return again
    own = Remark.objects.filter(user=user, survey=survey)
    meant = own.filter(key=of).first() if of else last_remark(user=user, survey=survey)
    if meant is None:
        return None
    remark = Remark.objects.select_for_update(of=("self",)).select_related("detection__image__survey").get(pk=meant.pk)
    if key and remark.undo_key == key:
        return remark
    if remark.undone_at is not None:
        raise UndoRefused(gettext("This has been taken back already."))
    open_to = detections_for(user).filter(image__survey__in=surveys_for(user, Action.DECIDE))
    if not open_to.filter(pk=remark.detection_id).exists():
        raise UndoRefused(gettext("The photo is not open to you any more, so nothing was taken back."))
    if not standing_remarks(user=user, survey=survey).filter(pk=remark.pk).exists():
        raise UndoRefused(gettext("Something else was said of the photo since. Nothing was taken back."))
    _restore(user, remark)
    remark.undone_at, remark.undo_key = timezone.now(), key
    remark.save(update_fields=["undone_at", "undo_key"])
    return remark


def _state(box: Detection, kind: str) -> tuple[bool, str]:
    if kind == Remark.Kind.FLANK:
        return box.flank_by_person, box.flank
    return box.usable, box.unusable_reason


def _restore(user: User, remark: Remark) -> None:
    if remark.kind == Remark.Kind.FLANK:
        said = remark.flag_before
        flank = remark.word_before if said else Flank.UNKNOWN.value
        detection_annotate(acting_user=user, detections=[remark.detection], flank_said=said, flank=flank)
    else:
        usable, reason = remark.flag_before, remark.word_before
        detection_annotate(acting_user=user, detections=[remark.detection], usable=usable, unusable_reason=reason)
        if not usable:
            return
    rows = [Candidate(**dict(zip(_CANDIDATE, row, strict=True))) for row in remark.candidates]
    boxes = {end for row in rows for end in (row.anchor_id, row.detection_id)}
    there = set(Detection.objects.comparable().filter(pk__in=boxes).values_list("pk", flat=True))
    back = [row for row in rows if {row.anchor_id, row.detection_id} <= there]
    Candidate.objects.bulk_create(back, ignore_conflicts=True)
