"""What a training says of the similarity: asked of the validation individuals alone, kept for the candidate alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from identification.inference import engines, training_calibration
from identification.inference.comparison import CoatSet, calibration_of
from identification.inference.training import Trained
from identification.matching.candidates import Side
from identification.models import Detection, EmbeddingModel
from identification.selectors.training_set import TrainingRow
from identification.services.training import training_request
from identification.services.training_run import training_run
from modelzoo.calibration import Calibration
from modelzoo.coats import EncodingError
from tests.identification.training_set import TINY, few_pictures, make_confirmed

SHA256 = "d" * 64
TRAINED = Trained(Path("new"), SHA256, {}, [], 1, 1, cancelled=False, stopped_early=False, left_out=[])


class Oracle:
    """A network that knows who is who, by the shade that the crops of each individual have."""

    dimension = 8

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, coats):
        shades = [round(float(coat.crop.mean()) / 10) for coat in coats]
        if 3 in shades:
            raise EncodingError("the third animal cannot be encoded")
        self.seen += shades
        rows = np.array([np.random.default_rng(shade).normal(size=self.dimension) for shade in shades])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def oracle(monkeypatch):
    found = Oracle()
    monkeypatch.setattr("modelzoo.embedders.open_embedder", lambda *given, **options: found)
    return found


@pytest.fixture
def rows(media_root) -> list[TrainingRow]:
    """Nine animals of four photos, each in an event of its own; a crop is one shade of grey, without any spot."""
    rows = []
    for animal in range(1, 10):
        name = f"{animal}.png"
        Pillow.new("RGB", (48, 24), (10 * animal,) * 3).save(media_root / name)
        rows += [
            TrainingRow(10 * animal + photo, animal, "left", 10 * animal + photo, name, "", "") for photo in range(4)
        ]
    return rows


def judged(asked: list[TrainingRow], there: list[TrainingRow], coats: CoatSet | None = None):
    """What is said when matching meets all detections that are there, of which some are asked."""
    sides = [Side(row.detection, row.detection, row.flank, 1) for row in there]
    coats = coats or CoatSet([None] * len(there), None, trained=False)
    return training_calibration.judge_similarity(asked, sides, coats, trained=TRAINED, tell=lambda *told: None)


def test_only_the_given_individuals_have_a_part_and_their_similarity_counts(rows, oracle) -> None:
    asked = [row for row in rows if row.individual > 3]
    found = judged(asked, rows)
    assert Counter(oracle.seen) == dict.fromkeys(range(4, 10), 4), "each coat once, and nobody else's"
    assert (found.individuals, found.right) == (6, 24 * 3)
    assert found.calibration is not None and found.calibration.counts(SHA256)
    assert found.calibration.version == f"{engines.local_version()}-{SHA256[:12]}"
    assert found.with_similarity < 0.5 * found.without, "the oracle knows"
    assert judged(asked, asked) == found, "whoever else is there has no part"

    kept = training_calibration.evaluation_of(found)
    assert Calibration.from_dict(kept["calibration"]) == found.calibration
    assert calibration_of("new", SHA256, kept) == found.calibration
    assert calibration_of("old", "e" * 64, kept) == Calibration.default()
    assert kept["similarity"]["counts"] and kept["similarity"]["sentence"].startswith("Similarity counts")


def test_too_few_individuals_leave_the_default_and_say_why(rows, oracle) -> None:
    found = judged([row for row in rows if row.individual > 5], rows)
    assert found.calibration is None and found.individuals == 4
    kept = training_calibration.evaluation_of(found)
    assert "calibration" not in kept and calibration_of("new", SHA256, kept) == Calibration.default()
    assert not kept["similarity"]["counts"] and "are needed to tell" in kept["similarity"]["sentence"]
    assert judged([], rows).pairs == 0 and judged(rows, []).pairs == 0


def test_coats_that_are_gone_or_cannot_be_encoded_do_not_end_it(rows, oracle, media_root) -> None:
    (media_root / "9.png").unlink()
    found = judged(rows, rows)
    assert set(oracle.seen) == {1, 2, 4, 5, 6, 7, 8}
    assert found.calibration is not None and found.individuals == 9


def test_photos_of_one_event_and_other_flanks_are_no_candidates(rows, oracle) -> None:
    compared: list[frozenset[int]] = []

    class Watched(CoatSet):
        def under(self, vectors, checksum, chosen):
            under = super().under(vectors, checksum, chosen)
            real = under.evidence

            def evidence(i: int, j: int):
                compared.append(frozenset((rows[i].detection, rows[j].detection)))
                return real(i, j)

            under.evidence = evidence
            return under

    rows[0] = replace(rows[0], flank="right")
    rows[1] = replace(rows[1], flank="unknown")
    rows[2] = replace(rows[2], event=rows[3].event)
    judged(rows, rows, Watched([None] * len(rows), None, trained=False))
    first, second, third, fourth = (row.detection for row in rows[:4])
    assert {other for pair in compared if first in pair for other in pair} == {first, second}
    assert frozenset((third, fourth)) not in compared and frozenset((second, third)) in compared
    assert len(set(compared)) == len(compared), "each pair once"


@pytest.mark.django_db
def test_a_training_tells_its_candidate_whether_similarity_counts(
    tiny_model, media_root, settings, monkeypatch
) -> None:
    few_pictures(monkeypatch)
    settings.MEDIA_ROOT = Path(settings.SPOTID_HOME) / "media"
    survey, animals = make_confirmed(individuals=10, photos=4)
    for own in animals:
        # An animal that stood in the same place each time would be taken for scenery.
        for step, detection in enumerate(own):
            Detection.objects.filter(pk=detection.pk).update(x1=100.0 + 40 * step, x2=420.0 + 40 * step)
    asked: list[list[int]] = []
    real = training_calibration.judge_similarity

    def judge(rows, *given, **options):
        asked.append([row.detection for row in rows])
        return real(rows, *given, **options)

    monkeypatch.setattr("identification.services.training_run.judge_similarity", judge)
    shares = {"train_share": 0.3, "validation_share": 0.5, "test_share": 0.2}
    run = training_request(
        population=survey.population,
        start_model=None,
        config={**TINY, **shares, "epochs": 1},
        acting_user=None,
        enqueue=False,
    )
    training_run(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.error) == ("done", "")
    assert [len(ids) for ids in asked] == [run.outcome["parts"]["validation"]["photos"]]
    candidate = EmbeddingModel.objects.get(state="candidate")
    said = candidate.evaluation["similarity"]
    assert said["individuals"] == run.outcome["parts"]["validation"]["individuals"] == 5
    assert said["sentence"] in run.outcome["sentences"] and "Brier" in said["sentence"]
    assert ("calibration" in candidate.evaluation) == said["counts"]
    found = calibration_of(candidate.name, candidate.checksum, candidate.evaluation)
    assert found.counts(candidate.checksum) == said["counts"]
    page = (Path(settings.SPOTID_HOME) / candidate.report).read_text(encoding="utf-8")
    assert said["sentence"].split(":")[0] in page
