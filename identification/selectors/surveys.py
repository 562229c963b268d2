"""What the survey list and the dashboard of a survey show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils.translation import gettext

from ..models import (
    Candidate,
    Category,
    Decision,
    Detection,
    EmbeddingModel,
    Image,
    Individual,
    IngestReport,
    ProcessingStage,
    ProcessingState,
    SkippedPhoto,
    Survey,
    User,
    Work,
)
from ..naming import by_label
from ..permissions import Action, images_for, may, surveys_for
from ..presenting import comparing_note
from .health import worker_state
from .heartbeat import heartbeat_age
from .triage import species_counts

FAILED = (ProcessingState.FAILED, ProcessingState.SET_ASIDE)
FAILURES_SHOWN = 50


@dataclass
class PhotoCounts:
    """Photos of a survey by the state of their processing."""

    by_state: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def done(self) -> int:
        return self.by_state.get(ProcessingState.DONE, 0)

    @property
    def failed(self) -> int:
        return sum(self.by_state.get(state, 0) for state in FAILED)

    @property
    def running(self) -> int:
        return self.by_state.get(ProcessingState.RUNNING, 0)

    @property
    def waiting(self) -> int:
        return self.by_state.get(ProcessingState.PENDING, 0)

    @property
    def through(self) -> int:
        """Photos that need no more work, whatever became of them."""
        return self.done + self.failed

    @property
    def percent(self) -> int:
        """Rounded down: 100 means that nothing is left."""
        return 100 * self.through // self.total if self.total else 0


def matching_words(survey: Survey, photos: PhotoCounts) -> str:
    """The state of the matching for people: it waits for photos only while photos wait."""
    if survey.matching_state == Survey.Matching.STALE and photos.total and photos.through == photos.total:
        return gettext("Waiting to be matched")
    return survey.get_matching_state_display()


@dataclass
class SurveyCard:
    """One survey of the list. `animals` counts usable boxes of animals, `identified` those that have an individual."""

    survey: Survey
    photos: PhotoCounts
    animals: int = 0
    identified: int = 0
    individuals: int = 0
    decisions: int = 0
    may_decide: bool = False

    @property
    def matching_words(self) -> str:
        return matching_words(self.survey, self.photos)


def surveys_listed(user: User, *, search: str = "") -> QuerySet[Survey]:
    """The surveys that the account sees, by name; those alone whose name, population or species a search is part of."""
    rows = surveys_for(user).select_related("population").order_by("name", "pk")
    for word in search.split():
        named = ("name", "population__name", "population__species")
        rows = rows.filter(Q(*(Q(**{f"{name}__icontains": word}) for name in named), _connector=Q.OR))
    return rows


def survey_cards(user: User, rows: Iterable[Survey]) -> list[SurveyCard]:
    """Some of these with their figures. Four queries for any number of surveys."""
    surveys = list(rows)
    photos: dict[int, PhotoCounts] = defaultdict(PhotoCounts)
    states = (
        Work.objects.filter(image__survey__in=surveys).values_list("image__survey", "state").annotate(n=Count("pk"))
    )
    for survey_id, state, number in states:
        photos[survey_id].by_state[state] = number
    found = {row["image__survey"]: row for row in _identified(Q(image__survey__in=surveys))}
    decided = dict(
        Decision.objects.filter(anchor__image__survey__in=surveys, undoes__isnull=True, undone_by__isnull=True)
        .values_list("anchor__image__survey")
        .annotate(n=Count("pk"))
        .order_by()
    )
    decidable = set(surveys_for(user, Action.DECIDE).values_list("pk", flat=True))
    cards = []
    for survey in surveys:
        counts = found.get(survey.pk, {})
        card = SurveyCard(survey, photos[survey.pk], decisions=decided.get(survey.pk, 0))
        card.animals, card.identified = counts.get("animals", 0), counts.get("identified", 0)
        card.individuals, card.may_decide = counts.get("individuals", 0), survey.pk in decidable
        cards.append(card)
    return cards


@dataclass(frozen=True)
class SurveyTotals:
    """All surveys that an account sees together."""

    surveys: int
    photos: PhotoCounts
    animals: int
    identified: int


def survey_totals(user: User) -> SurveyTotals:
    """Three queries; nothing of a single survey is read."""
    surveys = surveys_for(user)
    seen = surveys.order_by().values("pk")
    states = Work.objects.filter(image__survey__in=seen).order_by().values_list("state").annotate(n=Count("pk"))
    boxes = Detection.objects.comparable().filter(image__survey__in=seen).order_by()
    named = Q(individual__isnull=False)
    counted = boxes.aggregate(animals=Count("pk"), identified=Count("pk", filter=named))
    return SurveyTotals(surveys.count(), PhotoCounts(dict(states)), counted["animals"], counted["identified"])


def _identified(which: Q) -> Any:
    return (
        Detection.objects.comparable()
        .filter(which)
        .values("image__survey")
        .annotate(
            animals=Count("pk"),
            identified=Count("pk", filter=Q(individual__isnull=False)),
            individuals=Count("individual", distinct=True),
        )
        .order_by()
    )


@dataclass(frozen=True)
class StageRow:
    """Photos by what became of them in one stage: still before it, in it now, failed in it, through it."""

    label: str
    waiting: int
    running: int
    failed: int
    through: int


@dataclass(frozen=True)
class FailureReason:
    """Photos that failed for one reason; `example` is what was said of one of them."""

    stage: str
    code: str
    example: str
    number: int


@dataclass(frozen=True)
class Engine:
    """What did a part of the work, on how many photos or crops."""

    part: str
    name: str
    number: int
    note: str = ""


@dataclass
class Progress:
    """How far the work on a survey is."""

    survey: Survey
    photos: PhotoCounts
    stages: list[StageRow]
    worker: str

    @property
    def matching_words(self) -> str:
        """The state of the matching, with how far it is while it runs."""
        words = matching_words(self.survey, self.photos)
        running = self.survey.matching_state == Survey.Matching.RUNNING
        return f"{words}, {100 * self.survey.matching_progress:.0f} %" if running else words

    @property
    def matched(self) -> float:
        """0…1."""
        if self.survey.matching_state == Survey.Matching.RUNNING:
            return self.survey.matching_progress
        return float(self.survey.matching_state == Survey.Matching.DONE)

    @property
    def finished(self) -> bool:
        """Nothing is going on that a reader would wait for."""
        idle = Survey.Matching.DONE, Survey.Matching.FAILED
        return self.photos.through == self.photos.total and (
            self.survey.matching_state in idle or not self.photos.total
        )


@dataclass
class Dashboard:
    """One survey in figures.

    `people` is None for accounts that may not see people. unseen: photos that are kept from such an account because
    nothing has looked at them yet.
    """

    progress: Progress
    with_animals: int
    empty: int
    people: int | None
    unseen: int
    animals: int
    identified: int
    individuals: int
    stations: list[Any]
    span: tuple[Any, Any]
    unknown_time: int
    failures: list[Work]
    reasons: list[FailureReason]
    reports: list[IngestReport]
    engines: list[Engine]
    model: EmbeddingModel | None
    species: dict[str, int]

    @property
    def photos(self) -> PhotoCounts:
        return self.progress.photos


def photo_counts(survey: Survey) -> PhotoCounts:
    states = Work.objects.filter(image__survey=survey).values_list("state").annotate(n=Count("pk")).order_by()
    return PhotoCounts(dict(states))


def survey_progress(survey: Survey) -> Progress:
    return Progress(survey, photo_counts(survey), stage_rows(survey), worker_state(heartbeat_age()))


def survey_dashboard(*, user: User, survey: Survey) -> Dashboard:
    """A constant number of queries for any size of survey."""
    photos = Image.objects.filter(survey=survey)
    animal = Q(detections__category=Category.ANIMAL)
    figures = photos.aggregate(
        with_animals=Count("pk", filter=animal, distinct=True),
        empty=Count("pk", filter=Q(work__state=ProcessingState.DONE, detections__isnull=True), distinct=True),
        people=Count("pk", filter=Q(has_person=True), distinct=True),
        unseen=Count("pk", filter=Q(detector=""), distinct=True),
        first=Min("captured_at"),
        last=Max("captured_at"),
        unknown_time=Count("pk", filter=Q(captured_at__isnull=True), distinct=True),
    )
    found: dict[str, int] = next(iter(_identified(Q(image__survey=survey))), {})
    model = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()
    sees_people = may(user, Action.SEE_PEOPLE, survey)
    return Dashboard(
        progress=survey_progress(survey),
        with_animals=figures["with_animals"],
        empty=figures["empty"],
        people=figures["people"] if sees_people else None,
        unseen=0 if sees_people else figures["unseen"],
        animals=found.get("animals", 0),
        identified=found.get("identified", 0),
        individuals=found.get("individuals", 0),
        stations=by_label(
            survey.stations.annotate(
                photos=Count("images"),
                cameras=Count("images__camera", distinct=True),
                first=Min("images__captured_at"),
                last=Max("images__captured_at"),
            )
        ),
        span=(figures["first"], figures["last"]),
        unknown_time=figures["unknown_time"],
        failures=list(_failures(user, survey)[:FAILURES_SHOWN]),
        reasons=failure_reasons(user, survey),
        reports=list(survey.ingest_reports.order_by("-pk")[:5]),
        engines=_engines(survey),
        model=model,
        species=species_counts(survey),
    )


def stage_rows(survey: Survey) -> list[StageRow]:
    """Every stage in its order. A photo that waits, waits before the first one, wherever it came to before."""
    numbers: dict[tuple[str, str], int] = defaultdict(int)
    rows = Work.objects.filter(image__survey=survey).values_list("stage", "state").annotate(n=Count("pk")).order_by()
    waiting = done = 0
    for stage, state, number in rows:
        if state == ProcessingState.PENDING:
            waiting += number
        elif state == ProcessingState.DONE:
            done += number
        else:
            numbers[(stage, "failed" if state in FAILED else "running")] += number
    found = []
    through = done
    for stage in reversed(ProcessingStage):
        running, failed = numbers[(stage, "running")], numbers[(stage, "failed")]
        found.append(StageRow(str(stage.label), 0, running, failed, through))
        through += running + failed
    found.reverse()
    before = waiting
    for index, row in enumerate(found):
        found[index] = StageRow(row.label, before, row.running, row.failed, row.through)
        before += row.running
    return found


def failure_reasons(user: User, survey: Survey) -> list[FailureReason]:
    """Why photos failed, the most frequent reason first, as far as the account may see the photos."""
    visible = images_for(user).filter(survey=survey)
    rows = Work.objects.filter(image__in=visible, state__in=FAILED).values_list("stage", "reason_code")
    return [
        FailureReason(str(ProcessingStage(stage).label), code, example, number)
        for stage, code, number, example in rows.annotate(n=Count("pk"), example=Min("reason")).order_by("-n", "stage")
    ]


def _failures(user: User, survey: Survey) -> QuerySet[Work]:
    visible = images_for(user).filter(survey=survey)
    return (
        Work.objects.filter(image__in=visible, state__in=FAILED)
        .select_related("image")
        .order_by("image__relative_path")
    )


def failed_images(*, user: User, survey: Survey) -> list[Image]:
    """Photos of the survey that failed or were set aside, as far as the account may see them."""
    return list(images_for(user).filter(survey=survey, work__state__in=FAILED).select_related("survey"))


def photo_printed(user: User, survey: Survey) -> Image | None:
    """A photo that shows what the cameras print on theirs: the last one without a person, as far as it may be seen."""
    return images_for(user).filter(survey=survey, has_person=False).exclude(preview="").order_by("-pk").first()


def _engines(survey: Survey) -> list[Engine]:
    engines = []
    detectors = (
        survey.images.exclude(detector="").values_list("detector").annotate(n=Count("pk"), note=Max("detector_note"))
    )
    for name, number, note in detectors.order_by("-n"):
        engines.append(Engine(gettext("Finding animals"), name, number, note))
    crops = Detection.objects.filter(image__survey=survey).exclude(segmenter="")
    for name, number in crops.values_list("segmenter").annotate(n=Count("pk")).order_by("-n"):
        engines.append(Engine(gettext("Isolating the coat"), name, number))
    pairs = Candidate.objects.filter(anchor__image__survey=survey)
    for name, number in pairs.values_list("engine").annotate(n=Count("pk")).order_by("-n"):
        engines.append(Engine(gettext("Comparing coats"), name, number, comparing_note(name)))
    return engines


def skipped_files(survey: Survey) -> QuerySet[SkippedPhoto]:
    """Files that ingest left out, the latest run first."""
    return SkippedPhoto.objects.filter(report__survey=survey).select_related("report").order_by("-report_id", "pk")


def individuals_in(survey: Survey) -> QuerySet[Individual]:
    """Individuals that were seen in the survey."""
    return Individual.objects.filter(detections__image__survey=survey, retired=False).distinct()
