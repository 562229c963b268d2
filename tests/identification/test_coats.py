"""Stored coats: read when they are looked at, made anew when their form changes, and found by the database."""

from __future__ import annotations

import numpy as np
import pytest

from identification.inference import engines
from identification.inference.coat_store import CoatStore
from identification.matching.candidates import through_a_third
from identification.models import Candidate, Detection, Embedding, EmbeddingModel, LocalFeatureSet
from identification.selectors.nearest import nearest_detections
from identification.services import matching_run
from identification.services.coats import coats_complete, load_coats
from identification.services.media import media_path

from .test_services_processing import crops, process, survey

__all__ = ["crops", "survey"]

needs_models = pytest.mark.usefixtures("tiny_model")


def test_a_store_reads_in_portions_and_keeps_only_the_last_used() -> None:
    asked: list[list[int]] = []

    def fetch(positions):
        asked.append(list(positions))
        return [None] * len(positions)

    store = CoatStore(500, fetch, kept=3)
    assert len(list(store)) == 500 and [len(part) for part in asked] == [200, 200, 100]
    asked.clear()
    store.prefetch([1, 2, 1])
    _ = store[1], store[2]
    assert asked == [[1, 2]]
    store.prefetch([3, 4])
    _ = store[2]
    assert asked == [[1, 2], [3, 4]]
    _ = store[1]
    assert asked[-1] == [1], "the longest unused one was dropped"


def test_a_link_through_a_third_counts_half_of_its_weaker_part() -> None:
    weights = {1: {2: 8.0, 3: 1.0}, 2: {1: 8.0, 3: 6.0, 4: 20.0}, 3: {4: 9.0}}
    assert through_a_third(1, weights) == {3: 3.0, 4: 4.0}
    assert through_a_third(9, weights) == {}


@pytest.mark.django_db
@needs_models
def test_features_of_an_older_form_are_made_anew_before_matching(survey) -> None:
    process(survey)
    fresh = {row.detection_id: bytes(row.data) for row in LocalFeatureSet.objects.all()}
    LocalFeatureSet.objects.update(version="rootsift-0-of-before")
    lost = Detection.objects.order_by("pk").first()
    media_path(lost.crop).unlink()
    assert coats_complete(population=survey.population, vectors_from=250) == len(fresh) - 1
    now = LocalFeatureSet.objects.filter(version=engines.local_version())
    assert {row.detection_id: bytes(row.data) for row in now} == {k: v for k, v in fresh.items() if k != lost.pk}
    assert [row.detection_id for row in LocalFeatureSet.objects.exclude(pk__in=now)] == [lost.pk], "one form is kept"
    assert coats_complete(population=survey.population, vectors_from=250) == 0
    assert not EmbeddingModel.objects.filter(config__kind="rootsift-vlad").exists(), "few coats need no vectors"


@pytest.mark.django_db
@needs_models
def test_a_large_population_is_shortlisted_by_votes_and_aggregated_vectors(survey, monkeypatch) -> None:
    monkeypatch.setattr(matching_run, "VERIFY_ALL", 2)
    process(survey)
    model = EmbeddingModel.objects.get(config__kind="rootsift-vlad")
    assert Embedding.objects.filter(model=model).count() == Detection.objects.count() == 6
    assert model.state == "candidate", "it proposes; the model in use stays the one in use"
    for anchor in Detection.objects.select_related("image"):
        best = Candidate.objects.filter(anchor=anchor).order_by("rank").first()
        assert best.detection.image.relative_path.split("/")[0] == anchor.image.relative_path.split("/")[0]


@pytest.mark.django_db
@needs_models
def test_the_nearest_by_the_database_are_those_of_a_plain_search(survey, monkeypatch) -> None:
    monkeypatch.setattr(matching_run, "VERIFY_ALL", 2)
    process(survey)
    model = EmbeddingModel.objects.get(config__kind="rootsift-vlad")
    rows = dict(Embedding.objects.filter(model=model).values_list("detection_id", "vector"))
    vectors = {pk: np.array(vector, np.float32) for pk, vector in rows.items()}
    pks = sorted(vectors)
    found = nearest_detections(model=model, population=survey.population, anchors=pks, count=4)
    for pk in pks:
        expected = sorted((other for other in pks if other != pk), key=lambda o: -float(vectors[pk] @ vectors[o]))[:4]
        cosines = [float(vectors[pk] @ vectors[other]) for other in found[pk]]
        # Half precision orders what is equal but for rounding as it likes.
        assert np.allclose(cosines, [float(vectors[pk] @ vectors[o]) for o in expected], atol=2e-3)


@pytest.mark.django_db
@needs_models
def test_what_cannot_be_compared_is_not_among_the_nearest(survey, monkeypatch) -> None:
    monkeypatch.setattr(matching_run, "VERIFY_ALL", 2)
    process(survey)
    model = EmbeddingModel.objects.get(config__kind="rootsift-vlad")
    a, left, other, away, last, kept = Detection.objects.order_by("pk")
    for detection, values in ((a, {"flank": "right"}), (left, {"flank": "left"}), (other, {"triage": "other"})):
        Detection.objects.filter(pk=detection.pk).update(**values)
    Detection.objects.filter(pk=away.pk).update(usable=False)
    Detection.objects.filter(pk=last.pk).update(image=a.image, x1=1)
    found = nearest_detections(model=model, population=survey.population, anchors=[a.pk], count=10)
    assert found == {a.pk: [kept.pk]}
    sides, coats = load_coats(survey.population)
    assert len(sides) == len(coats) == 4
