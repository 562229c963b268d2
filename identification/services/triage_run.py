"""The species scores of a survey: learned from marks where there are some. Loads engines: for tasks and commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now
from numpy.typing import NDArray

from ..inference.appearances import KEY, appearances
from ..matching.species import Named, species_named
from ..matching.triage import VECTOR_SHARE, Learned, Rows, Scale, learn, likeness, ordinariness, thinned
from ..models import Category, Detection, Embedding, EmbeddingModel, Survey, Triage, TriageRun
from ..models.image import Unusable
from .activation import active_model
from .media import media_path
from .triage_names import triage_names_apply
from .triage_queue import (
    TriageClaim,
    triage_claim,
    triage_fail,
    triage_held,
    triage_renew,
    triage_request,
    triage_served,
)

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

# Boxes that are read at a time, and those by which a survey is scaled and its main mass known.
CHUNK = 500
SAMPLE = 2000
_FIELDS = ("pk", "quality", "crop", "mask")


@dataclass
class Marks:
    """Boxes that are known to show the wanted species or another one, and what belongs together."""

    ids: list[int] = field(default_factory=list)
    wanted: list[bool] = field(default_factory=list)
    groups: list[object] = field(default_factory=list)

    def thinned(self) -> Marks:
        at = thinned(list(zip(self.wanted, self.groups, strict=True)))
        return Marks([self.ids[i] for i in at], [self.wanted[i] for i in at], [self.groups[i] for i in at])


def triage_scores_refresh(*, survey: Survey, progress: Progress | None = None) -> TriageRun | None:
    """Compute the scores of a survey now; None when another process is at it."""
    triage_request(survey=survey)
    if not triage_run(survey_id=survey.pk, progress=progress):
        return None
    return TriageRun.objects.get(survey=survey)


def triage_run(*, survey_id: int, progress: Progress | None = None) -> bool:
    """Answer the survey's request for scores; returns whether it could be claimed."""
    claim = triage_claim(survey_id=survey_id)
    if claim is None:
        return False
    try:
        survey = Survey.objects.select_related("population").get(pk=survey_id)
        if triage_names_apply(survey=survey):
            # What that asked for is answered here: everything is read after it.
            claim = replace(claim, request=TriageRun.objects.get(survey=survey).requested)
        with triage_held(claim):
            _Scoring(claim, survey, progress).run()
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("the species scores of survey %s failed", survey_id)
        triage_fail(claim=claim, reason=f"{type(error).__name__}: {error}")
    return True


def marks_of(survey: Survey) -> Marks:
    """What is known in the whole population: the animals of its other surveys are of its species, too.

    Wanted: marked so, confirmed as an individual, or called by its name. Other: marked so by a person, called another
    species, or said to show no animal. What software put aside by a score teaches it nothing.
    """
    population = survey.population
    marks = Marks()
    rows = Detection.objects.filter(image__survey__population=population, category=Category.ANIMAL).exclude(crop="")
    values = ("pk", "triage", "triage_by_person", "species", "individual", "image", "image__event", "usable")
    named = {name: species_named(name, population.species) for name in _names(rows)}
    read = rows.order_by("pk").values_list(*values, "unusable_reason")
    for pk, triage, by_person, species, individual, image, event, usable, reason in read:
        said = named[species]
        if not usable and reason == Unusable.NOTHING:
            wanted = False
        elif triage == Triage.OTHER:
            wanted = False
            if not by_person and said != Named.OTHER:
                continue
        elif triage == Triage.WANTED or individual is not None or said == Named.SAME:
            wanted = True
        else:
            continue
        marks.ids.append(pk)
        marks.wanted.append(wanted)
        group = ("individual", individual) if individual else ("event", event) if event else ("image", image)
        marks.groups.append(group)
    return marks


def _names(rows) -> list[str]:  # type: ignore[no-untyped-def]
    return list(rows.order_by().values_list("species", flat=True).distinct())


@dataclass(frozen=True)
class _Space:
    """How boxes become rows that can be compared: scaled by a sample of the survey."""

    looks: Scale
    vectors: Scale | None

    def rows(self, looks: Rows, vectors: Rows | None) -> Rows:
        """n×d; what cannot be read, or has no vector, lies where the survey's mean is."""
        parts = [np.nan_to_num(self.looks.apply(looks))]
        if self.vectors is not None and vectors is not None:
            parts.insert(0, np.nan_to_num(self.vectors.apply(vectors)))
        return np.hstack(parts)


class _Scoring:
    def __init__(self, claim: TriageClaim, survey: Survey, progress: Progress | None) -> None:
        self.claim, self.survey, self.progress = claim, survey, progress
        self.model: EmbeddingModel | None = active_model()
        self.missing: dict[int, dict[str, Any]] = {}

    def run(self) -> None:
        boxes = Detection.objects.filter(image__survey=self.survey, category=Category.ANIMAL).exclude(crop="")
        ids = list(boxes.order_by("pk").values_list("pk", flat=True))
        marks = marks_of(self.survey)
        if not ids:
            self._store([], [], [], None, "nothing", marks)
            return
        sample = ids if len(ids) <= SAMPLE else sorted(np.random.default_rng(0).choice(ids, SAMPLE, replace=False))
        looks, vectors = self._read([int(pk) for pk in sample])
        space = self._space(looks, vectors)
        used = marks.thinned()
        known = np.vstack([space.rows(*self._read(part)) for part in _parts(used.ids)]) if used.ids else None
        learned = learn(known, used.wanted, used.groups) if known is not None else None
        reference = space.rows(looks, vectors)
        kind = "learned" if learned is not None else _kind(used.wanted)
        values: list[float] = []
        for part in _parts(ids):
            self._tell(len(values), len(ids))
            rows = space.rows(*self._read(part))
            values += list(self._values(rows, learned, kind, known, used, reference))
        self._own(values, ids, learned, used)
        scores = [float(v) for v in values] if learned is not None else [None] * len(ids)
        orders = [None] * len(ids) if learned is not None else [float(v) for v in values]
        self._store(ids, scores, orders, learned, kind, marks)

    def _space(self, looks: Rows, vectors: Rows | None) -> _Space:
        there = looks[~np.isnan(looks).any(1)]
        there = there if len(there) else np.zeros((1, looks.shape[1]))
        encoded = vectors[~np.isnan(vectors).any(1)] if vectors is not None else None
        if encoded is None or not len(encoded):
            return _Space(Scale.of(there, each=True), None)
        return _Space(
            Scale.of(there, each=True, share=1 - VECTOR_SHARE), Scale.of(encoded.astype(float), share=VECTOR_SHARE)
        )

    def _values(
        self, rows: Rows, learned: Learned | None, kind: str, known: Rows | None, used: Marks, reference: Rows
    ) -> NDArray[np.float64]:
        if learned is not None:
            return learned.probability(learned.decision(rows))
        if known is not None and kind in ("wanted", "other"):
            which = np.asarray(used.wanted) == (kind == "wanted")
            return likeness(rows, known[which], wanted=kind == "wanted")
        # Vectors of coats say where spots are: of what is ordinary they know less than a glance (measured).
        glance = slice(-self._looks_length, None)
        return ordinariness(rows[:, glance], reference[:, glance])

    @staticmethod
    def _own(values: list[float], ids: list[int], learned: Learned | None, used: Marks) -> None:
        """A mark is judged without itself and its group, so that a wrong one shows."""
        if learned is None:
            return
        place = {pk: index for index, pk in enumerate(ids)}
        for pk, probability in zip(used.ids, learned.probability(learned.left_out), strict=True):
            if pk in place:
                values[place[pk]] = float(probability)

    def _read(self, ids: Sequence[int]) -> tuple[Rows, Rows | None]:
        """Appearance and vectors of boxes, NaN where there is none."""
        found = {pk: row for pk, *row in Detection.objects.filter(pk__in=ids).values_list(*_FIELDS)}
        gone = [{}, "", ""]  # a photo that was processed again meanwhile has other boxes
        files = [(pk, row[0], _file(row[1]), _file(row[2])) for pk in ids for row in [found.get(pk, gone)]]
        looks = appearances(files, self.missing.__setitem__)
        self._looks_length = looks.shape[1]
        self._keep()
        if self.model is None:
            return looks, None
        vectors = np.full((len(ids), self.model.dimension), np.nan)
        place = {pk: index for index, pk in enumerate(ids)}
        stored = Embedding.objects.filter(detection__in=ids, model=self.model).values_list("detection_id", "vector")
        for pk, vector in stored.iterator(chunk_size=200):
            vectors[place[pk]] = np.asarray(vector)
        return looks, vectors

    def _keep(self) -> None:
        """Store what was missing; a box that was redrawn meanwhile has another crop and is left alone."""
        for pk, numbers in self.missing.items():
            row = Detection.objects.filter(pk=pk).values("quality").first()
            if row is not None and KEY not in row["quality"]:
                Detection.objects.filter(pk=pk, quality=row["quality"]).update(quality={**row["quality"], KEY: numbers})
        self.missing.clear()
        triage_renew(claim=self.claim)

    def _tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total, "")

    def _store(
        self,
        ids: list[int],
        scores: Sequence[float | None],
        orders: Sequence[float | None],
        learned: Learned | None,
        kind: str,
        marks: Marks,
    ) -> None:
        report: dict[str, Any] = {"kind": kind, "boxes": len(ids), "model": self.model.name if self.model else ""}
        if learned is not None:
            report["auroc"] = round(learned.auroc, 3)
        with transaction.atomic():
            TriageRun.objects.select_for_update().get(survey=self.survey)
            with connection.cursor() as cursor:
                for part in _parts(list(zip(ids, scores, orders, strict=True)), 5000):
                    cursor.execute(_STORE, [list(column) for column in zip(*part, strict=True)])
            triage_served(
                claim=self.claim,
                learned=learned is not None,
                wanted=sum(marks.wanted),
                other=len(marks.wanted) - sum(marks.wanted),
                report=report,
                computed_at=Now(),
            )


_STORE = """
UPDATE identification_detection box SET triage_score = fresh.score, triage_order = fresh.place
FROM unnest(%s::bigint[], %s::float8[], %s::float8[]) AS fresh(id, score, place) WHERE box.id = fresh.id
"""


def _file(name: str) -> Path | None:
    return media_path(name) if name else None


def _kind(wanted: Sequence[bool]) -> str:
    """What an order without probabilities rests on: the kind that more is known of, or nothing."""
    if not wanted:
        return "nothing"
    return "wanted" if 2 * sum(wanted) >= len(wanted) else "other"


def _parts(rows: Sequence[Any], size: int = CHUNK) -> Iterator[Any]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
