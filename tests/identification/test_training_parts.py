"""Who is learned from and who is measured on, when earlier trainings have learned already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from identification.inference.training import (
    Parts,
    parts_of,
    read_parts,
    training_settings,
    union_of_parts,
    write_parts,
)
from identification.models import EmbeddingModel, Population, TrainingRun
from identification.selectors.training import compared_runs, latest_run
from identification.selectors.training_set import TrainingRow, training_set
from identification.services.models import free_name
from identification.services.training import training_plan, training_request
from identification.services.training_run import PARTS_FILE, training_run
from tests.identification.factories import make_population
from tests.identification.training_set import TINY, few_pictures, make_confirmed

SETTINGS = {"seed": 1, "train_share": 0.7, "validation_share": 0.15, "test_share": 0.15}
PARTS = ("train", "validation", "test")


def rows(individuals: int, photos: int = 3) -> list[TrainingRow]:
    """Detection 3 is the first photo of individual 1."""
    found = [(individual, photo) for individual in range(individuals) for photo in range(photos)]
    return [TrainingRow(photos * who + shot, who, "right", None, "c", "", "") for who, shot in found]


def parts_by_hand(train: int, validation: int, test: int) -> dict[int, str]:
    """The first individuals are learned from, the next chosen on, the last measured on."""
    parts = ["train"] * train + ["validation"] * validation + ["test"] * test
    return {row.detection: parts[row.individual] for row in rows(len(parts))}


def who(parts: Parts, part: str) -> set[int]:
    return {row.individual for row in parts.of(part)}


class TestParts:
    def test_animals_keep_the_part_in_which_most_was_learned_from_them(self) -> None:
        first, second = parts_by_hand(4, 2, 4), {9: "test", 0: "test", 27: "train"}
        assert union_of_parts([first, second])[27] == "train" and union_of_parts([second, first])[0] == "train"
        parts = parts_of(rows(12), SETTINGS, union_of_parts([first, second]), {})
        assert {0, 1, 2, 3, 9} <= who(parts, "train") and {6, 7, 8} <= who(parts, "test") and parts.doubt == ""

    def test_others_count_until_they_leave_too_few(self) -> None:
        mine = parts_by_hand(4, 2, 2)
        assert who(parts_of(rows(12), SETTINGS, mine, {33: "train", 34: "train"}), "train") >= {0, 1, 2, 3, 11}
        parts = parts_of(rows(8), SETTINGS, mine, dict.fromkeys(range(24), "train"))
        assert (who(parts, "test"), parts.doubt) == ({6, 7}, "")

    def test_parts_that_must_be_drawn_anew_leave_a_doubt_that_lasts(self, tmp_path: Path) -> None:
        parts = parts_of(rows(8), SETTINGS, dict.fromkeys(range(24), "train"), {})
        assert parts.doubt.startswith("2 of the 2 animals that are measured on") and len(parts.test) == 6
        write_parts(tmp_path / "photos.json", parts)
        assert read_parts(tmp_path / "photos.json") == parts


def made(name: str, run_of: Population | None = None, parent: EmbeddingModel | None = None) -> EmbeddingModel:
    model = EmbeddingModel.objects.create(
        name=name, architecture="x", dimension=1, weights_file=name, checksum="a" * 64, parent=parent
    )
    if run_of is not None:
        TrainingRun.objects.create(population=run_of, candidate=model, start_model=parent, state="done")
    return model


@pytest.mark.django_db
class TestTheChain:
    def test_all_trainings_behind_the_start_and_the_active_model_are_found(self) -> None:
        here, there = make_population(), make_population()
        oldest = made("oldest", there)
        parent = made("parent", here, oldest)
        start = made("start", here, parent)
        made("beside", here)
        active = made("active", there, made("published"))
        EmbeddingModel.objects.filter(pk=active.pk).update(state="active")
        oldest.parent = start
        oldest.save()
        named = [run.candidate.name for run in compared_runs(start) if run.candidate]
        assert named == ["oldest", "parent", "start", "active"]
        assert [run.candidate.name for run in compared_runs(None) if run.candidate] == ["active"]
        latest = latest_run(here)
        assert latest is not None and latest.candidate is not None and latest.candidate.name == "beside"

    def test_the_hint_for_few_animals_is_another_one_where_parts_are_kept(self) -> None:
        population = make_confirmed(individuals=8)[0].population
        plan = {"population": population, "start_model": None, "config": SETTINGS}
        assert "larger test share" in " ".join(training_plan(**plan).warnings)
        made("earlier", population)
        said = " ".join(training_plan(**plan).warnings)
        assert "larger test share" not in said and "keep their part" in said

    def test_a_name_that_other_weights_have_gets_the_hash(self) -> None:
        model = made("north-training-1")
        assert free_name("north-training-1", model.checksum, model.config) == "north-training-1"
        assert free_name("north-training-2", "b" * 64, {}) == "north-training-2"
        assert free_name("north-training-1", "b" * 64, {}) == "north-training-1-bbbbbb"


@pytest.mark.django_db
def test_a_training_that_measures_on_known_animals_says_so_and_advises_nothing(
    tiny_model, settings, monkeypatch
) -> None:
    few_pictures(monkeypatch)
    survey, animals = make_confirmed()
    known = [detection.pk for own in animals for detection in own]
    TrainingRun.objects.create(
        population=make_population(),
        candidate=tiny_model,
        state="done",
        outcome={"members": {"train": known, "validation": [], "test": []}},
    )
    run = training_request(
        population=survey.population, start_model=None, config={**TINY, "epochs": 1}, acting_user=None, enqueue=False
    )
    taken = made(f"{survey.population.name.lower().replace(' ', '-')}-training-{run.pk}")
    training_run(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.error) == ("done", "")
    said = "2 of the 2 animals that are measured on"
    assert any(sentence.startswith(said) for sentence in run.warnings)
    assert run.outcome["advice"] != "activate" and said in " ".join(run.outcome["sentences"])
    assert said in run.candidate.card["notes"]
    assert said in (Path(settings.SPOTID_HOME) / run.outcome["report"]).read_text(encoding="utf-8")
    assert sorted(pk for part in PARTS for pk in run.outcome["members"][part]) == sorted(known)
    assert run.candidate.name == f"{taken.name}-{run.candidate.checksum[:6]}"


@pytest.mark.django_db
@pytest.mark.parametrize("kept", [True, False])
def test_what_an_older_training_learned_from_is_in_its_folder_or_a_doubt(
    tiny_model, settings, monkeypatch, kept
) -> None:
    few_pictures(monkeypatch)
    population = make_confirmed()[0].population
    TrainingRun.objects.create(population=population, candidate=tiny_model, state="done", folder="training/old")
    if kept:
        folder = Path(settings.SPOTID_HOME) / "training/old"
        folder.mkdir(parents=True)
        photos = training_set(population).rows
        write_parts(folder / PARTS_FILE, Parts(photos[:12], photos[12:18], photos[18:]))
    run = training_request(
        population=population, start_model=None, config={**TINY, "backbone": "none"}, acting_user=None, enqueue=False
    )
    training_run(run_id=run.pk)
    run.refresh_from_db()
    parts = read_parts(Path(settings.SPOTID_HOME) / run.folder / PARTS_FILE)
    assert parts is not None and any("no longer known" in sentence for sentence in run.warnings) != kept
    assert (parts.doubt == "" and parts.test == photos[18:]) if kept else "no longer known" in parts.doubt


def test_settings_that_are_left_out_are_the_papers_for_the_loss() -> None:
    settings = training_settings({"loss": "triplet", "batch_size": 8})
    assert (settings["backbone"], settings["dimension"], settings["learning_rate"]) == ("resnet18", 128, 0.0008)
    assert (settings["batch_size"], settings["margin"], settings["lr_scheduler"]) == (8, 10.0, False)
    assert training_settings({})["backbone"] == "tf_efficientnetv2_b2"
    assert training_settings(json.loads(json.dumps(settings))) == settings
