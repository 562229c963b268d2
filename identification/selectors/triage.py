"""What the species page of a survey shows: boxes in order, counts on both sides of a threshold, what was done last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, F, FloatField, Func, IntegerField, Q, QuerySet, Value

from ..models import AuditEntry, Category, Detection, MatchEdge, Survey, Triage, TriageRun, User, Verdict
from ..permissions import Action, detections_for, may

SHOWS = {"undecided": Triage.UNDECIDED, "wanted": Triage.WANTED, "other": Triage.OTHER}
ORDERS = ("least", "most")
DONE_SHOWN = 5
TRIAGED, UNDONE = "detection.triage", "detection.triage_undo"
# The positions of the slider. Counts at each are asked for once, so that moving it needs no page.
STEPS = [step / 100 for step in range(101)]


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
        said = {Triage.OTHER: "another species", Triage.WANTED: "the population's species"}
        return said.get(self.entry.after["triage"], "undecided")


@dataclass(frozen=True)
class SpeciesPage:
    """A survey's boxes by species.

    counts: of each of SHOWS. below: for each of STEPS, how many undecided boxes a bulk action would put aside there.
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


def species_page(*, user: User, survey: Survey, show: str, order: str) -> SpeciesPage:
    """The page for an account that decides; a constant number of queries. show: of SHOWS; order: of ORDERS."""
    run = TriageRun.objects.filter(survey=survey).first()
    column = F("triage_score") if run is not None and run.learned else F("triage_order")
    ordered = column.desc(nulls_last=True) if order == "most" else column.asc(nulls_last=True)
    boxes = detections_for(user).filter(image__survey=survey, category=Category.ANIMAL, triage=SHOWS[show])
    undecided = animals_of(survey).filter(triage=Triage.UNDECIDED)
    scored = undecided.filter(triage_score__isnull=False)
    learned = run is not None and run.learned
    below, free = counts_below(survey) if learned else ([], 0)
    return SpeciesPage(
        boxes=boxes.select_related("image__station", "individual__population").order_by(ordered, "pk"),
        counts=species_counts(survey),
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
        survey=survey, action__in=(TRIAGED, UNDONE), acting_user__isnull=False, created_at__gt=run.computed_at
    )
    return sum(len(boxes) for boxes in entries.values_list("after__boxes", flat=True))


def done_lately(*, user: User, survey: Survey) -> list[Done]:
    """What was triaged last and stands, newest first; reviewers may take their own back, curators all."""
    any_user = may(user, Action.UNDO_ANY, survey)
    rows = _standing(survey).select_related("acting_user")
    return [Done(row, len(row.after["boxes"]), any_user or row.acting_user_id == user.pk) for row in rows[:DONE_SHOWN]]


def done_lately_by_software(survey: Survey) -> AuditEntry | None:
    """The last triage without a person that stands."""
    return _standing(survey).filter(acting_user__isnull=True).first()


def _standing(survey: Survey) -> QuerySet[AuditEntry]:
    own = AuditEntry.objects.filter(survey=survey)
    undone = list(own.filter(action=UNDONE).values_list("after__undoes", flat=True))
    return own.filter(action=TRIAGED).exclude(pk__in=undone).order_by("-pk")
