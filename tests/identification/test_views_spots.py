"""Matched spots of a pair: what verification found, for those who may decide about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from identification.inference import engines
from identification.inference.comparison import CoatSet
from identification.inference.spots import matched_spots
from identification.models import Detection, EncounterEvent, LocalFeatureSet, Role, Survey
from identification.selectors import spots as selector
from tests.identification import factories as make

ROOT = Path(__file__).resolve().parents[2]


def coat(animal: int, view: int) -> bytes:
    return engines.extract(*make.coat_pixels(animal, view))[1]


def store_features(detection: Detection, animal: int, version: str = "") -> bytes:
    """Local features of the crop that a factory made for the detection."""
    count, data = engines.extract(*make.coat_pixels(animal, detection.pk))
    LocalFeatureSet.objects.create(
        detection=detection, version=version or engines.local_version(), count=count, data=data
    )
    return data


def ask(client: Client, survey: Survey, first: Detection, second: Detection):  # type: ignore[no-untyped-def]
    return client.get(reverse("review-spots", args=[survey.pk]), {"anchor": first.pk, "candidate": second.pk})


@pytest.fixture
def pair() -> tuple[Client, Survey, Detection, Detection]:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    first, second = animals[0]
    for detection in animals[0]:
        store_features(detection, 0)
    return make.client_of(survey, Role.REVIEWER), survey, first, second


def test_matched_spots_are_those_of_verification_in_place_and_most_distinctive_first() -> None:
    a, b = coat(0, 1), coat(0, 2)
    found = matched_spots(a, b)
    evidence = CoatSet([a, b], None, trained=False).evidence(0, 1)
    assert len(found) == evidence.inliers > 10
    assert sum(spot.weight for spot in found) == pytest.approx(evidence.weight, rel=1e-5)
    assert [spot.weight for spot in found] == sorted((spot.weight for spot in found), reverse=True)
    # The factory draws an animal's spots in the same place of every crop: the truth of where they are.
    apart = np.array([np.subtract(spot.a, spot.b) for spot in found])
    assert np.abs(apart).max() < 0.05
    back = matched_spots(b, a)
    assert {(spot.b, spot.a) for spot in back} == {(spot.a, spot.b) for spot in found}


def test_a_crop_without_keypoints_matches_nothing() -> None:
    blank = engines.extract(np.zeros((80, 120, 3), np.uint8), None)[1]
    assert matched_spots(blank, coat(0, 1)) == matched_spots(coat(0, 1), blank) == matched_spots(blank, blank) == []


@pytest.mark.django_db
def test_a_reviewer_gets_the_spots_of_a_pair(pair, monkeypatch) -> None:
    client, survey, first, second = pair
    response = ask(client, survey, first, second)
    found = response.json()
    data = {row.detection_id: bytes(row.data) for row in LocalFeatureSet.objects.all()}
    spots = matched_spots(data[first.pk], data[second.pk])
    assert len(found["pairs"]) == min(len(spots), selector.MOST)
    for row, spot in zip(found["pairs"], spots, strict=False):
        assert row == pytest.approx([*spot.a, *spot.b, spot.weight], abs=1e-5)
    width, height = make.FRAME
    x1, y1, x2, y2 = make.BOX
    assert found["boxes"][0] == pytest.approx([x1 / width, y1 / height, x2 / width, y2 / height])
    assert "no-store" in response["Cache-Control"]
    monkeypatch.setattr(selector, "MOST", 4)
    fewer = ask(client, survey, first, second).json()
    assert fewer["pairs"] == found["pairs"][:4]
    assert fewer["words"] == f"The 4 most distinctive of {len(spots)} matched spots."


@pytest.mark.django_db
def test_without_features_of_the_present_version_it_says_so(pair) -> None:
    client, survey, first, second = pair
    LocalFeatureSet.objects.filter(detection=second).update(version="rootsift-0-former")
    found = ask(client, survey, first, second).json()
    assert found["pairs"] == [] and "No spots are stored" in found["words"]


@pytest.mark.django_db
def test_where_nothing_matches_it_says_so(pair) -> None:
    client, survey, first, second = pair
    count, data = engines.extract(np.zeros((80, 120, 3), np.uint8), None)
    LocalFeatureSet.objects.filter(detection=second).update(count=count, data=data)
    found = ask(client, survey, first, second).json()
    assert found["pairs"] == [] and found["words"] == "No spots of these two photos were matched."


@pytest.mark.django_db
def test_scenery_of_one_camera_is_left_out_as_in_verification(pair) -> None:
    """The spots lie in the same place of both frames here: of one camera at two events, that is what scenery does."""
    client, survey, first, second = pair
    before = ask(client, survey, first, second).json()
    for detection in (first, second):
        image, station = detection.image, first.image.station
        time = image.captured_at
        image.station, image.camera = station, "A"
        image.event = EncounterEvent.objects.create(survey=survey, station=station, started_at=time, ended_at=time)
        image.save()
    after = ask(client, survey, first, second).json()
    assert len(after["pairs"]) < len(before["pairs"])


@pytest.mark.django_db
def test_only_pairs_that_the_account_may_decide_about_are_there(pair) -> None:
    client, survey, first, second = pair
    foreign = make.make_sighting(make.make_survey(survey.population))
    store_features(foreign, 0)
    assert ask(client, survey, first, foreign).status_code == 404
    assert ask(client, survey, foreign, first).status_code == 404
    assert ask(client, survey, first, first).status_code == 404
    assert client.get(reverse("review-spots", args=[survey.pk])).status_code == 404
    assert client.post(reverse("review-spots", args=[survey.pk])).status_code == 405
    assert ask(make.client_of(survey, Role.VIEWER), survey, first, second).status_code == 403


def test_spots_are_matched_without_torch() -> None:
    """A fresh interpreter, as the web process is one."""
    code = (
        "import sys, numpy, django; django.setup();"
        "from identification.inference import engines, spots;"
        "grain = numpy.random.default_rng(1).integers(0, 255, (120, 160, 3), numpy.uint8);"
        "data = engines.extract(grain, None)[1];"
        "found = spots.matched_spots(data, data);"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'timm', 'ultralytics', 'onnxruntime')];"
        "print(len(found), bad); sys.exit(bool(bad) or not found)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
