"""What reviewers said of photos from questions of a review and what stands of it."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext

from ..models import Decision, Flank, Opinion, Remark, Survey, User
from ..models.image import Unusable


def standing_remarks(*, user: User, survey: Survey) -> QuerySet[Remark]:
    """Remarks of the account in a survey's review, the last one first, of boxes that are as she said.

    Of several on one box the last one has to go first. What was put right elsewhere is nothing to take back.
    """
    own = Remark.objects.filter(user=user, survey=survey, undone_at__isnull=True)
    usable = Q(kind=Remark.Kind.USABLE, detection__usable=F("flag"), detection__unusable_reason=F("word"))
    flank = Q(kind=Remark.Kind.FLANK, detection__flank_by_person=F("flag")) & (
        Q(detection__flank=F("word")) | Q(flag=False)
    )
    return own.filter(usable | flank).order_by("-id")


def last_remark(*, user: User, survey: Survey) -> Remark | None:
    """Her last standing remark, where it is the last thing that she said in the survey; else None."""
    last = standing_remarks(user=user, survey=survey).first()
    if last is None:
        return None
    later = Decision.objects.filter(
        acting_user=user,
        anchor__image__survey=survey,
        undoes__isnull=True,
        undone_by__isnull=True,
        created_at__gt=last.created_at,
    )
    opinions = Opinion.objects.filter(user=user, survey=survey, created_at__gt=last.created_at, withdraws__isnull=True)
    checked = opinions.exclude(verdict="").exclude(withdrawn_by__isnull=False)
    return None if later.exists() or checked.exists() else last


def remark_words(remark: Remark) -> str:
    """What was said, for a heading."""
    if remark.kind == Remark.Kind.USABLE:
        if remark.word == Unusable.NOTHING:
            return str(Unusable.NOTHING.label)
        if not remark.flag:
            return gettext("Not usable: %(reason)s") % {"reason": Unusable.words(remark.word)}
        return gettext("Usable after all")
    if not remark.flag:
        return gettext("Flank: not said")
    return gettext("Flank: %(flank)s") % {"flank": str(Flank(remark.word).label).lower()}


def remark_follows(remark: Remark) -> str:
    """What follows from taking it back."""
    if remark.kind == Remark.Kind.FLANK:
        if remark.flag_before:
            return gettext("The flank is “%(flank)s” again.") % {"flank": Flank(remark.word_before).label}
        return gettext("The estimate of the flank holds again.")
    if remark.flag_before:
        return gettext("The photo is asked about again.")
    return gettext("The photo is set aside as before: %(reason)s.") % {"reason": Unusable.words(remark.word_before)}


def remark_outcome(remark: Remark) -> str:
    """The same once it was taken back."""
    taken_back = gettext("Taken back: %(verdict)s.") % {"verdict": remark_words(remark)}
    return f"{taken_back} {remark_follows(remark)}"
