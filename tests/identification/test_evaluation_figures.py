"""`evaluate` in four variants, with intervals, a baseline and a page, from what is stored of a survey."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from identification.inference import engines
from identification.inference.coats import load_coat
from identification.models import Detection, Embedding, EmbeddingModel, EncounterEvent, LocalFeatureSet, Survey
from identification.services.media import detection_file, media_path
from tests.identification.factories import (
    START,
    crop_files,
    make_detection,
    make_image,
    make_station,
    make_survey,
    store,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("offline")]
FOLDERS = ("lion_left", "lion_right", "bear")


@pytest.fixture
def survey(tiny_model: EmbeddingModel, settings: Any) -> Survey:
    """Two flanks of one animal and another animal, three photos each: two of one event, one of another."""
    settings.SPOTID_RUNTIME = "torch"
    survey = make_survey(name="North")
    station = make_station(survey, "ST01")
    events = [
        EncounterEvent.objects.create(survey=survey, station=station, started_at=time, ended_at=time)
        for time in (START, START + timedelta(hours=2))
    ]
    for coat, folder in enumerate(FOLDERS):
        for shot in range(3):
            path = f"{folder}/{shot}.jpg"
            image = make_image(survey, station=station, relative_path=path, event=events[shot // 2])
            flank = "left" if folder == "lion_left" else "right"
            detection = make_detection(image, flank=flank, files=False)
            for kind, name, data in crop_files(coat, shot):
                setattr(detection, kind, store(detection_file(survey.pk, image.pk, detection.pk, name), data))
            detection.save()
            encode(detection, tiny_model)
    return survey


def encode(detection: Detection, model: EmbeddingModel) -> None:
    """What the stages would have stored of it."""
    coat = load_coat(media_path(detection.crop), media_path(detection.edges), media_path(detection.mask))
    count, data = features_of(media_path(detection.crop).read_bytes(), coat)
    LocalFeatureSet.objects.create(detection=detection, version=engines.local_version(), count=count, data=data)
    Embedding.objects.create(detection=detection, model=model, vector=engines.encode(model, [coat])[0])


_features: dict[bytes, tuple[int, bytes]] = {}


def features_of(key: bytes, coat: Any) -> tuple[int, bytes]:
    """The same drawn coats come in every test."""
    if key not in _features:
        _features[key] = engines.extract(coat.crop, coat.mask)
    return _features[key]


def evaluate(tmp_path: Path, *options: str) -> dict[str, Any]:
    out = tmp_path / "figures.json"
    call_command(
        "evaluate", "--survey", "North", "--truth", "folders", "--json", str(out), "--resamples", "50", *options
    )
    return dict(json.loads(out.read_text()))


def test_every_ranking_has_four_tables_and_the_first_says_what_the_old_keys_say(
    survey: Survey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(tmp_path)
    assert set(found["evaluation"]) == {"embedding", "local", "combined"}
    for name in ("embedding", "local", "combined"):
        said = found["evaluation"][name]
        assert (said["photos"], said["identities"], said["individuals"]) == (9, 3, 2)
        figures = said["tables"]["all"]["as_seen"]["figures"]
        for key in ("t1", "t5", "dt5ap"):
            assert figures[key]["value"] == pytest.approx(found[name][key])
        assert figures["dt5ap"]["low"] <= figures["dt5ap"]["value"] <= figures["dt5ap"]["high"]
        strict = said["tables"]["other_events"]["normalised"]
        # The third photo of each is alone in its event, and two photos share the other one.
        assert strict["known"] and strict["queries"] == 9 and "2 individuals" in strict["reason"]
    assert found["evaluation"]["embedding"]["tables"]["all"]["as_seen"]["figures"]["ccdr"]["value"] is not None
    text = capsys.readouterr().out
    for title in ("All photos, as seen", "Other events only, headings normalised", "chance", "AUROC known/new"):
        assert title in text
    assert "unknown" not in text


def test_left_coats_are_mirrored_when_headings_are_normalised(survey: Survey, tmp_path: Path) -> None:
    from modelzoo.evaluation import EvaluationPhoto, evaluate_vectors
    from modelzoo.evaluation.shortcuts import mirrored_coats

    found = evaluate(tmp_path, "--seed", "3")["evaluation"]["embedding"]["tables"]["all"]
    model = EmbeddingModel.objects.get()
    photos, rows, turned = [], [], []
    for detection in Detection.objects.order_by("pk").select_related("image"):
        folder = detection.image.relative_path.split("/")[0]
        photos.append(EvaluationPhoto(str(detection.pk), folder, folder.split("_")[0], flank=detection.flank))
        coat = load_coat(media_path(detection.crop), media_path(detection.edges), media_path(detection.mask))
        rows.append(engines.encode(model, [coat])[0])
        turned.append(engines.encode(model, mirrored_coats([coat]))[0])
    expected = evaluate_vectors(np.array(rows), photos, mirrored=np.array(turned), seed=3, resamples=50)
    for heading in ("as_seen", "normalised"):
        for name, figure in expected["all", heading].figures.items():  # type: ignore[index]
            assert found[heading]["figures"][name]["value"] == pytest.approx(figure.value, abs=1e-3), name


def test_mirrored_coats_can_be_left_out_and_then_their_tables_are_unknown(
    survey: Survey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = evaluate(tmp_path, "--no-headings")["evaluation"]["local"]["tables"]
    assert tables["all"]["as_seen"]["known"]
    assert tables["all"]["normalised"] == {"known": False, "reason": "Mirrored coats were not asked for."}
    assert "All photos, headings normalised: unknown. Mirrored coats were not asked for." in capsys.readouterr().out


def test_an_untrained_network_stands_beside_a_trained_one(survey: Survey, tmp_path: Path) -> None:
    assert evaluate(tmp_path, "--no-headings")["untrained"] is None
    EmbeddingModel.objects.update(trained=True)
    found = evaluate(tmp_path, "--no-headings")
    assert found["untrained"]["t1"] is not None and found["untrained"]["seconds_per_query"] is None
    assert found["untrained"]["dt5ap"] != found["embedding"]["dt5ap"]
    assert found["evaluation"]["untrained"]["tables"]["all"]["as_seen"]["queries"] == 9
    assert evaluate(tmp_path, "--no-headings", "--no-baseline")["untrained"] is None


def test_a_page_is_written_for_its_owner_only(
    survey: Survey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "evaluation.html"
    found = evaluate(tmp_path, "--report", str(page))
    text = page.read_text(encoding="utf-8")
    for word in ("Evaluation of North", "embedding and local features", "Map of the embedding space", "Shortcuts"):
        assert word in text
    assert "data:image/jpeg" in text and "<script" not in text
    assert page.stat().st_mode & 0o077 == 0
    assert found["shortcuts"]["background"]["photos"] == 9
    out = capsys.readouterr().out
    assert "With the query mirrored" in out and f"Report: {page}" in out


def test_what_is_missing_of_a_survey_makes_figures_poorer_and_no_error(survey: Survey, tmp_path: Path) -> None:
    first, second = Detection.objects.order_by("pk")[:2]
    Embedding.objects.filter(detection=first).delete()
    media_path(second.crop).unlink()
    survey.images.filter(relative_path="bear/2.jpg").update(event=None)
    make_image(survey, relative_path="unlabelled.jpg", files=False)
    page = tmp_path / "evaluation.html"
    found = evaluate(tmp_path, "--report", str(page))
    assert (found["photos"], found["without_label"], found["without_detection"]) == (10, 1, 1)
    assert found["evaluation"]["embedding"]["identities"] == 3
    tables = found["evaluation"]["embedding"]["tables"]
    assert "known of 8 of 10 photos" in tables["other_events"]["as_seen"]["reason"]
    assert tables["all"]["as_seen"]["queries"] == 9
    assert "Unknown" not in page.read_text(encoding="utf-8")


def test_without_a_model_local_features_are_evaluated_alone(survey: Survey, tmp_path: Path) -> None:
    EmbeddingModel.objects.update(state="candidate")
    found = evaluate(tmp_path, "--report", str(tmp_path / "r.html"))
    assert found["embedding"] is None and set(found["evaluation"]) == {"local", "combined"}
    assert found["shortcuts"] is None


def test_options_that_make_no_sense_are_refused_before_anything_is_ranked(survey: Survey, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no folder .*nowhere to write the report"):
        evaluate(tmp_path, "--report", str(tmp_path / "nowhere" / "r.html"))
    with pytest.raises(CommandError, match="not negative"):
        evaluate(tmp_path, "--resamples", "-1")
