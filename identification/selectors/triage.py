"""What the species page of a survey shows: boxes in order, counts on both sides of a threshold, what was done last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, F, FloatField, Func, IntegerField, Q, QuerySet, Value, Window
from django.db.models.expressions import Combinable
from django.utils.translation import gettext

from ..models import (
    AuditEntry,
    Category,
    Detection,
    DetectionSource,
    MatchEdge,
    Survey,
    Triage,
    TriageRun,
    User,
    Verdict,
)
from ..models.image import Unusable
from ..permissions import Action, detections_for, may

SHOWS = {"undecided": Triage.UNDECIDED, "wanted": Triage.WANTED, "other": Triage.OTHER}
# Beside these, boxes that show no animal at all.
NOTHING = "nothing"
TABS = (*SHOWS, NOTHING)
ORDERS = ("least", "most", "place")
DONE_SHOWN = 5
TRIAGED, UNDONE = "detection.triage", "detection.triage_undo"
EMPTIED, EMPTIED_UNDONE = "detection.empty", "detection.empty_undo"
_MARKS = (TRIAGED, UNDONE, EMPTIED, EMPTIED_UNDONE)
_EMPTY = Q(usable=False, unusable_reason=Unusable.NOTHING)
# Boxes of one camera whose middle and size differ by less than about this share of the frame are at one place.
_CELLS = 12
# The positions of the slider. Counts at each are asked for once, so that moving it needs no page.
STEPS = [step / 100 for step in range(101)]


def animals_of(survey: Survey) -> QuerySet[Detection]:
    """Boxes of animals: what has a species to be told. Those of people never are among them, nor empty ones."""
    return Detection.objects.filter(image__survey=survey, category=Category.ANIMAL).exclude(_EMPTY)


def by_place(boxes: QuerySet[Detection]) -> QuerySet[Detection]:
    """Boxes that one camera has at one place of its frame together, the most repeated first, then the least certain.

    What stands at one place for a whole season is a plant or a stone more often than an animal; the same thought as
    MegaDetector's repeat detection elimination (Beery, Morris and Yang 2019, arXiv 1907.06772), here only an order.
    """

    def cell(value: Combinable, size: str) -> Func:
        return Func(value * _CELLS / F(size), function="round", output_field=IntegerField())

    width, height = F("x2") - F("x1"), F("y2") - F("y1")
    cells = {
        "cell_x": cell((F("x1") + F("x2")) / 2, "image__width"),
        "cell_y": cell((F("y1") + F("y2")) / 2, "image__height"),
        "cell_w": cell(width, "image__width"),
        "cell_h": cell(height, "image__height"),
    }
    place = [F("image__station"), F("image__camera"), *map(F, cells)]
    found = boxes.annotate(**cells).annotate(again=Window(Count("pk"), partition_by=place))
    return found.order_by("-again", *place, "confidence", "pk")


def found_by_change(survey: Survey) -> tuple[int, int]:
    """Of the undecided boxes, how many were found without a detector's weights, and how many there are.

    Such boxes are what changed in front of a camera, or whole frames: grass in the wind is among them.
    """
    weak = Q(source__in=(DetectionSource.BACKGROUND, DetectionSource.WHOLE_FRAME))
    rows = animals_of(survey).filter(triage=Triage.UNDECIDED, usable=True, individual__isnull=True)
    found = rows.aggregate(weak=Count("pk", filter=weak), all=Count("pk"))
    return found["weak"], found["all"]


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
    return boxes.filter(individual__isnull=True).exclude(pk__in=matches.values("a")).exclude(pk__in=matches.values("b"))


def below_threshold(survey: Survey, threshold: float) -> QuerySet[Detection]:
    """Undecided boxes with a score below the threshold that no confirmed match holds, least likely first."""
    return unmatched(animals_of(survey).filter(triage=Triage.UNDECIDED, triage_score__lt=threshold)).order_by(
        "triage_score", "pk"
    )


@dataclass(frozen=True)
class Done:
    """Something that was triaged in one go, and whether the account may take it back."""

    entry: AuditEntry
    boxes: int
    may_undo: bool

    @property
    def words(self) -> str:
        """What was said, for people."""
        if self.entry.action == EMPTIED:
            return gettext("an animal after all") if self.entry.after["usable"] else gettext("no animal")
        said = {Triage.OTHER: gettext("another species"), Triage.WANTED: gettext("the population's species")}
        return said.get(self.entry.after["triage"], gettext("undecided"))


@dataclass(frozen=True)
class SpeciesPage:
    """A survey's boxes by species.

    counts: of each of TABS. below: for each of STEPS, how many undecided boxes a bulk action would put aside there.
    scored: undecided ones with a score
    that it could concern. matched: those that confirmed matches hold, which it leaves alone. unscored: undecided ones
    without a score. since: marks of people since the scores were computed.
    """

    boxes: QuerySet[Detection]
    counts: dict[str, int]
    run: TriageRun | None
    below: list[int]
    scored: int
    matched: int
    unscored: int
    since: int
    done: list[Done]

    @property
    def learned(self) -> bool:
        return self.run is not None and self.run.learned


def species_counts(survey: Survey) -> dict[str, int]:
    """Boxes of animals by what is known of their species."""
    found = animals_of(survey).aggregate(**{name: Count("pk", filter=Q(triage=value)) for name, value in SHOWS.items()})
    return {name: found[name] for name in SHOWS}


def empty_boxes(survey: Survey) -> QuerySet[Detection]:
    """Boxes that a person says show no animal."""
    return Detection.objects.filter(_EMPTY, image__survey=survey, category=Category.ANIMAL)


def species_page(*, user: User, survey: Survey, show: str, order: str) -> SpeciesPage:
    """The page for an account that decides; a constant number of queries. show: of TABS; order: of ORDERS."""
    run = TriageRun.objects.filter(survey=survey).first()
    column = F("triage_score") if run is not None and run.learned else F("triage_order")
    ordered = column.desc(nulls_last=True) if order == "most" else column.asc(nulls_last=True)
    boxes = detections_for(user).filter(image__survey=survey, category=Category.ANIMAL)
    boxes = boxes.filter(_EMPTY) if show == NOTHING else boxes.exclude(_EMPTY).filter(triage=SHOWS[show])
    boxes = by_place(boxes) if order == "place" else boxes.order_by(ordered, "pk")
    undecided = animals_of(survey).filter(triage=Triage.UNDECIDED)
    scored = undecided.filter(triage_score__isnull=False)
    learned = run is not None and run.learned
    below, free = counts_below(survey) if learned else ([], 0)
    return SpeciesPage(
        boxes=boxes.select_related("image__station", "individual__population"),
        counts=species_counts(survey) | {NOTHING: empty_boxes(survey).count()},
        run=run,
        below=below,
        scored=free,
        matched=scored.count() - free if learned else 0,
        unscored=undecided.filter(triage_score__isnull=True).count() if learned else 0,
        since=_marked_since(survey, run),
        done=done_lately(user=user, survey=survey),
    )


def counts_below(survey: Survey) -> tuple[list[int], int]:
    """For each of STEPS, how many boxes :func:`below_threshold` holds there; and how many there are at all."""
    rows = unmatched(animals_of(survey).filter(triage=Triage.UNDECIDED, triage_score__isnull=False))
    step = Func(
        F("triage_score"),
        Value(STEPS, output_field=ArrayField(FloatField())),
        function="width_bucket",
        output_field=IntegerField(),
    )
    found = dict(rows.order_by().annotate(step=step).values_list("step").annotate(n=Count("pk")))
    return list(accumulate(found.get(step, 0) for step in range(len(STEPS)))), sum(found.values())


def _marked_since(survey: Survey, run: TriageRun | None) -> int:
    """Boxes that people marked since the scores were computed."""
    if run is None or run.computed_at is None:
        return 0
    entries = AuditEntry.objects.filter(
        survey=survey, action__in=_MARKS, acting_user__isnull=False, created_at__gt=run.computed_at
    )
    return sum(len(boxes) for boxes in entries.values_list("after__boxes", flat=True))


def done_lately(*, user: User, survey: Survey) -> list[Done]:
    """What was triaged last and stands, newest first; reviewers may take their own back, curators all."""
    any_user = may(user, Action.UNDO_ANY, survey)
    rows = _standing(survey).select_related("acting_user")
    return [Done(row, len(row.after["boxes"]), any_user or row.acting_user_id == user.pk) for row in rows[:DONE_SHOWN]]


def done_lately_by_software(survey: Survey) -> AuditEntry | None:
    """The last triage without a person that stands."""
    return _standing(survey).filter(action=TRIAGED, acting_user__isnull=True).first()


def _standing(survey: Survey) -> QuerySet[AuditEntry]:
    own = AuditEntry.objects.filter(survey=survey)
    undone = list(own.filter(action__in=(UNDONE, EMPTIED_UNDONE)).values_list("after__undoes", flat=True))
    return own.filter(action__in=(TRIAGED, EMPTIED)).exclude(pk__in=undone).order_by("-pk")
