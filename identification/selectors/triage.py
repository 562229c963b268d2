"""What the species page of a survey shows: boxes in order, counts on both sides of a threshold, what was done last."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from ..models import Category, Detection, MatchEdge, Survey, Triage, TriageRun, Verdict

SHOWS = {"undecided": Triage.UNDECIDED, "wanted": Triage.WANTED, "other": Triage.OTHER}
DONE_SHOWN = 5


def animals_of(survey: Survey) -> QuerySet[Detection]:
    """Boxes of animals: what has a species to be told. Those of people never are among them."""
    return Detection.objects.filter(image__survey=survey, category=Category.ANIMAL)


def triage_version(survey: Survey) -> int:
    """Version of the survey's scores; 0 before the first ones."""
    return TriageRun.objects.filter(survey=survey).values_list("version", flat=True).first() or 0


def in_confirmed_matches(detections: Iterable[int]) -> set[int]:
    """Those of these ids that stand in a confirmed match or are a declared animal."""
    ids = list(detections)
    matches = MatchEdge.objects.filter(verdict=Verdict.MATCH)
    held = set(Detection.objects.filter(pk__in=ids, individual__isnull=False).values_list("pk", flat=True))
    held |= set(matches.filter(a__in=ids).values_list("a_id", flat=True))
    return held | set(matches.filter(b__in=ids).values_list("b_id", flat=True))


def unmatched(boxes: QuerySet[Detection]) -> QuerySet[Detection]:
    """Without those in confirmed matches and declared animals."""
    matches = MatchEdge.objects.filter(verdict=Verdict.MATCH)
    return (
        boxes.filter(individual__isnull=True)
        .exclude(pk__in=matches.filter(a__image__survey__population__isnull=False).values("a"))
        .exclude(pk__in=matches.values("b"))
    )


def below_threshold(survey: Survey, threshold: float) -> QuerySet[Detection]:
    """Undecided boxes with a score below the threshold that no confirmed match holds, least likely first."""
    return unmatched(animals_of(survey).filter(triage=Triage.UNDECIDED, triage_score__lt=threshold)).order_by(
        "triage_score", "pk"
    )
