"""One photo through every real stage, with engines of an installation without weights."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from identification.inference import engines, photos
from identification.models import (
    Candidate,
    Detection,
    Embedding,
    EmbeddingModel,
    EncodingFailure,
    Image,
    LocalFeatureSet,
    MatchEdge,
    StationBackgroundRecord,
    Survey,
    Verdict,
    Work,
)
from identification.services.annotation import detection_annotate, detection_draw, detection_redraw
from identification.services.decisions import decision_record
from identification.services.ingest import survey_ingest
from identification.services.matching_run import survey_match
from identification.services.media import media_path
from identification.services.processing import batch_process, image_process, survey_process_inline
from identification.services.queue import work_requeue
from identification.services.surveys import survey_delete

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_model")]


def spotted(seed: int, view: int = 0) -> np.ndarray:
    """A picture of irregular spots; another view is the same spots, shifted, darker and noisy."""
    import cv2

    rng = np.random.default_rng(seed)
    pixels = np.full((260, 420, 3), (190, 160, 110), np.uint8)
    for _ in range(90):
        centre = (int(rng.integers(0, 420)), int(rng.integers(0, 260)))
        axes = (int(rng.integers(5, 14)), int(rng.integers(4, 10)))
        cv2.ellipse(pixels, centre, axes, int(rng.integers(0, 180)), 0, int(rng.integers(200, 360)), (40, 30, 20), 3)
    if view:
        pixels = np.roll(pixels, (3 * view, 5 * view), (0, 1))
        noise = np.random.default_rng(view).normal(0, 6, pixels.shape)
        pixels = np.clip(pixels * (1 - 0.1 * view) + noise, 0, 255).astype(np.uint8)
    return pixels


@pytest.fixture
def crops(tmp_path) -> Path:
    """Finished crops: three views of two animals, in folders that say which."""
    for animal in range(2):
        for view in range(3):
            path = tmp_path / "crops" / f"animal{animal}" / f"view{view}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(spotted(animal, view)).save(path)
    return tmp_path / "crops"


@pytest.fixture
def survey(crops) -> Survey:
    return survey_ingest(root=crops, survey_name="Crops", crops_only=True).survey


def process(survey: Survey) -> None:
    survey_process_inline(survey=survey)
    survey_match(survey_id=survey.pk)


def state_of(survey: Survey) -> dict:
    """Everything that processing makes, as comparable values."""
    return {
        "detections": sorted(
            Detection.objects.values_list("image_id", "engine", "x1", "y1", "x2", "y2", "crop", "edges")
        ),
        "embeddings": sorted(Embedding.objects.values_list("detection_id", "model_id")),
        "features": sorted(
            (d, v, bytes(b)) for d, v, b in LocalFeatureSet.objects.values_list("detection_id", "version", "data")
        ),
        "candidates": sorted(Candidate.objects.values_list("anchor_id", "detection_id", "rank", "inliers")),
        "works": sorted(Work.objects.values_list("image_id", "state")),
    }


def test_a_survey_without_photos_is_matched_to_nothing(tmp_path) -> None:
    survey = survey_ingest(root=tmp_path, survey_name="Empty").survey
    process(survey)
    survey.refresh_from_db()
    assert survey.matching_state == "done"
    assert not Candidate.objects.exists()


def test_every_photo_goes_through_every_stage(survey) -> None:
    process(survey)
    assert set(Work.objects.values_list("state", flat=True)) == {"done"}
    assert Detection.objects.count() == Embedding.objects.count() == LocalFeatureSet.objects.count() == 6
    for detection in Detection.objects.all():
        for name in (detection.crop, detection.mask, detection.cutout, detection.edges):
            assert media_path(name).is_file()
        assert detection.source == "crop" and detection.segmenter
    norms = [np.linalg.norm(np.asarray(v, float)) for v in Embedding.objects.values_list("vector", flat=True)]
    assert norms == pytest.approx([1.0] * 6, abs=1e-5)


def test_the_best_candidates_show_the_same_animal_and_say_so(survey) -> None:
    process(survey)
    for anchor in Detection.objects.all():
        animal = anchor.image.relative_path.split("/")[0]
        ranked = list(anchor.candidates.select_related("detection__image").order_by("rank"))
        assert [c.detection.image.relative_path.split("/")[0] == animal for c in ranked] == [
            True,
            True,
            False,
            False,
            False,
        ]
        assert ranked[1].probability > 0.5 > ranked[2].probability
    survey.refresh_from_db()
    assert survey.matching_state == "done"


def test_processing_again_changes_nothing(survey) -> None:
    process(survey)
    before = state_of(survey)
    work_requeue(images=survey.images.all())
    survey.refresh_from_db()
    assert survey.matching_state == "stale", "photos that are tried again are matched again"
    process(survey)
    assert state_of(survey) == before


def test_the_same_batch_twice_works_once(survey) -> None:
    ids = list(Image.objects.values_list("pk", flat=True))
    assert batch_process(image_ids=ids) == 6
    assert batch_process(image_ids=ids) == 0


def test_a_broken_photo_fails_with_stage_and_reason_and_stops_nothing_else(survey, crops) -> None:
    (crops / "animal0" / "view0.png").unlink()
    (crops / "animal0" / "view1.png").write_bytes(b"something else")
    process(survey)
    works = {work.image.relative_path: work for work in Work.objects.select_related("image")}
    assert (works["animal0/view0.png"].state, works["animal0/view0.png"].reason_code) == ("failed", "missing")
    assert (works["animal0/view1.png"].state, works["animal0/view1.png"].reason_code) == ("failed", "changed")
    assert works["animal0/view0.png"].stage == "decode"
    assert sum(work.state == "done" for work in works.values()) == 4


def test_an_engine_that_fails_is_tried_three_times_and_named(survey, monkeypatch) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(engines, "extract", broken)
    survey_process_inline(survey=survey)
    assert set(Work.objects.values_list("state", "stage", "attempts", "reason")) == {
        ("failed", "features", 3, "no such operator")
    }


def test_a_full_disk_pauses_and_costs_no_attempt(survey, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(photos, "save", full)
    assert batch_process(image_ids=list(Image.objects.values_list("pk", flat=True))) == 0
    assert set(Work.objects.values_list("state", "attempts")) == {("pending", 0)}
    assert Work.objects.filter(reason_code="disk_full").count() == 1
    assert not Work.objects.exclude(queued_at=None).exists(), "all wait to be queued as soon as there is room"
    monkeypatch.undo()
    process(survey)
    assert set(Work.objects.values_list("state", flat=True)) == {"done"}


def test_a_survey_deleted_while_it_is_processed_leaves_nothing(survey) -> None:
    ids = list(Image.objects.values_list("pk", flat=True))
    process(survey)
    a, b = Detection.objects.order_by("pk")[:2]
    decision_record(acting_user=None, first=a, second=b, verdict=Verdict.MATCH)
    survey_delete(acting_user=None, survey=survey)
    assert not Image.objects.exists() and not MatchEdge.objects.exists() and not Embedding.objects.exists()
    assert not image_process(image_id=ids[0])


def test_a_flank_set_by_a_person_keeps_left_from_right(survey) -> None:
    process(survey)
    one, two = Detection.objects.filter(image__relative_path__startswith="animal0").order_by("pk")[:2]
    detection_annotate(acting_user=None, detections=[one], flank="left")
    detection_annotate(acting_user=None, detections=[two], flank="right")
    survey.refresh_from_db()
    assert survey.matching_state == "done", "what is ruled out needs no new run"
    assert not Candidate.objects.filter(anchor=one, detection=two).exists()
    assert Candidate.objects.filter(anchor=one).count() == 4
    detection_annotate(acting_user=None, detections=[two], flank="unknown")
    assert survey_match(survey_id=survey.pk)
    assert Candidate.objects.filter(anchor=one, detection=two).exists()


def test_an_unusable_detection_leaves_matching(survey) -> None:
    process(survey)
    gone = Detection.objects.first()
    detection_annotate(acting_user=None, detections=[gone], usable=False, unusable_reason="only the tail")
    assert not Candidate.objects.filter(detection=gone).exists()
    assert not Candidate.objects.filter(anchor=gone).exists()


def test_a_redrawn_box_keeps_its_decisions_and_gets_a_new_crop(survey) -> None:
    process(survey)
    a, b = Detection.objects.order_by("pk")[:2]
    decision_record(acting_user=None, first=a, second=b, verdict=Verdict.MATCH)
    detection_redraw(acting_user=None, detection=a, box=(20, 30, 300, 200))
    process(survey)
    a.refresh_from_db()
    assert photos.load(media_path(a.crop)).shape[:2] == (170, 280)
    assert a.individual is not None and a.source == "drawn"
    assert Detection.objects.filter(image=a.image).count() == 1
    assert a.local_features.count() == a.embeddings.count() == 1


def test_a_box_drawn_by_hand_is_processed(survey) -> None:
    process(survey)
    image = Image.objects.first()
    drawn = detection_draw(acting_user=None, image=image, box=(10, 10, 90, 90))
    process(survey)
    drawn.refresh_from_db()
    assert drawn.edges and drawn.local_features.exists()
    assert image.detections.get() == drawn, "a box by hand takes the place of the machine's around it"


def test_a_new_installation_gets_the_model_that_comes_with_it(offline) -> None:
    from modelzoo.shipped import shipped_model

    EmbeddingModel.objects.all().delete()
    model = engines.ensure_model()
    assert (model.name, model.trained, model.state) == ("rootsift-vlad-2", True, "active")
    assert model.checksum == shipped_model().sha256 and model.config["kind"] == "rootsift-vlad"
    assert (offline.SPOTID_WEIGHTS_DIR / model.weights_file).is_file()
    assert engines.ensure_model() == model and EmbeddingModel.objects.count() == 1


def test_an_installation_with_an_untrained_network_is_offered_the_shipped_model_and_keeps_its_own(tiny_model) -> None:
    EmbeddingModel.objects.filter(pk=tiny_model.pk).update(name="tf_efficientnetv2_b2-untrained")
    assert engines.ensure_model() == tiny_model and engines.ensure_model() == tiny_model
    offered = EmbeddingModel.objects.exclude(pk=tiny_model.pk).get()
    assert (offered.name, offered.state) == ("rootsift-vlad-2", "candidate")


def test_a_coat_of_which_no_vector_can_be_made_does_not_fail_its_photo(crops) -> None:
    EmbeddingModel.objects.all().delete()
    model = engines.ensure_model()
    Pillow.fromarray(np.full((120, 200, 3), 120, np.uint8)).save(crops / "animal0" / "flat.png")
    survey = survey_ingest(root=crops, survey_name="Crops", crops_only=True).survey
    process(survey)
    assert set(Work.objects.values_list("state", flat=True)) == {"done"}
    failure = EncodingFailure.objects.get()
    assert failure.detection.image.relative_path == "animal0/flat.png" and failure.model == model
    assert "no spot or edge" in failure.reason
    assert Embedding.objects.count() == 6 and not failure.detection.embeddings.exists()
    matched = Candidate.objects.filter(anchor=failure.detection)
    assert matched.exists() and set(matched.values_list("similarity", flat=True)) == {None}


def test_vectors_that_have_no_direction_are_refused_by_the_database(survey, tiny_model) -> None:
    from django.db import IntegrityError, transaction

    process(survey)
    for vector in ([0.0] * 16, [2.0] + [0.0] * 15):
        with pytest.raises(IntegrityError), transaction.atomic():
            Embedding.objects.update(vector=vector)


def test_each_model_has_an_index_of_its_own(survey, tiny_model) -> None:
    from django.db import connection

    engines.create_vector_index(tiny_model)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = %s", [f"embedding_hnsw_model_{tiny_model.pk}"]
        )
        definition = cursor.fetchone()[0]
    assert "hnsw" in definition and f"WHERE (model_id = {tiny_model.pk})" in definition and "vector(16)" in definition


def test_whole_photos_without_weights_and_background_use_the_whole_frame_and_say_so(crops) -> None:
    for last in crops.glob("*/view2.png"):
        last.unlink()
    survey = survey_ingest(root=crops, survey_name="Whole").survey
    survey_process_inline(survey=survey)
    image = Image.objects.filter(survey=survey).first()
    assert image.detections.get().source == "whole_frame"
    assert "MDV6-yolov9-c.pt" in image.detector_note and "whole frame" in image.detector_note


def test_a_station_with_enough_frames_makes_its_own_background(tmp_path) -> None:
    from modelzoo.synthetic import SurveyPlan, write_survey

    write_survey(SurveyPlan(seed=3, individuals=2, stations=1, photos=16, width=640, height=480), tmp_path / "photos")
    survey = survey_ingest(root=tmp_path / "photos", survey_name="Station").survey
    survey_process_inline(survey=survey)
    assert StationBackgroundRecord.objects.filter(frames__gte=5).exists()
    assert Detection.objects.filter(source="background").exists()


def test_what_stands_behind_the_animals_of_one_camera_does_not_match(survey) -> None:
    """The same picture in the same place of the frame at two events is scenery; in one event it may be an animal."""
    from identification.inference.comparison import CoatSet, Framed

    process(survey)
    stored = bytes(LocalFeatureSet.objects.first().data)
    here = (100.0, 100.0, 520.0, 360.0)

    def inliers(first: Framed | None, second: Framed | None) -> int:
        return CoatSet([stored, stored], None, trained=False, framed=[first, second]).compare(0, 1).inliers

    same_place = inliers(Framed("A", 1, here), Framed("A", 2, here))
    assert same_place == 0
    assert inliers(None, None) > 20
    assert inliers(Framed("A", 1, here), Framed("A", 1, here)) > 20
    assert inliers(Framed("A", 1, here), Framed("B", 2, here)) > 20


def test_the_loss_of_the_database_costs_no_attempt_and_is_raised(survey, monkeypatch) -> None:
    from django.db import OperationalError

    def away(*args, **kwargs):
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(engines, "extract", away)
    # In a test's transaction the connection must not be closed.
    monkeypatch.setattr("identification.services.processing.close_old_connections", lambda: None)
    with pytest.raises(OperationalError):
        image_process(image_id=Image.objects.first().pk)
    work = Work.objects.get(image=Image.objects.first())
    assert (work.state, work.attempts, work.reason_code) == ("pending", 0, "database_away")


def test_failure_reasons_name_no_path_of_the_server(survey, monkeypatch) -> None:
    def missing(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/srv/secret/weights.onnx")

    monkeypatch.setattr(engines, "extract", missing)
    survey_process_inline(survey=survey)
    assert set(Work.objects.values_list("reason", flat=True)) == {
        "FileNotFoundError: No such file or directory. The worker's log says more."
    }


def test_deleting_a_survey_keeps_the_names_of_animals_that_live_on_elsewhere(survey, crops, tmp_path) -> None:
    from identification.models import Individual
    from identification.services.individuals import individual_rename

    process(survey)
    other_crops = tmp_path / "more"
    for number in range(2):
        path = other_crops / "animal0" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(spotted(0, 3 + number)).save(path)
    other = survey_ingest(
        root=other_crops, survey_name="Next year", population_name=survey.population.name, crops_only=True
    ).survey
    process(other)
    a, b = Detection.objects.filter(image__survey=survey).order_by("pk")[:2]
    c, d = Detection.objects.filter(image__survey=other).order_by("pk")
    decision_record(acting_user=None, first=a, second=b, verdict=Verdict.MATCH)
    decision_record(acting_user=None, first=c, second=d, verdict=Verdict.MATCH)
    individual_rename(acting_user=None, individual=Individual.objects.get(number=1), name="Kali")
    decision_record(acting_user=None, first=b, second=c, verdict=Verdict.MATCH)
    survey_delete(acting_user=None, survey=survey)
    c.refresh_from_db()
    d.refresh_from_db()
    assert c.individual == d.individual and c.individual.name == "Kali"
