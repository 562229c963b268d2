"""Animals that come with folders, HotSpotter's tables and the desktop SpotID: what is matched, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from identification.imports.registry import kind_of
from identification.models import (
    Detection,
    DetectionSource,
    Embedding,
    EmbeddingModel,
    Image,
    Individual,
    MatchEdge,
    Provenance,
    ReviewPosition,
    Survey,
    Verdict,
    Work,
)
from identification.selectors.imports import UNCHANGED
from identification.services.annotation import detection_annotate
from identification.services.decisions import decision_undo
from identification.services.imports import import_begin, kind_by_code
from identification.services.imports_run import import_run
from identification.services.individuals import individual_rename
from identification.services.labels import labels_import, labels_undo
from identification.services.processing import survey_process_inline
from tests.identification import factories as make
from tests.identification.factories import match
from tests.identification.test_imports_identity_readers import HEAD
from tests.identification.test_imports_round_trip import bring, codes, state

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"


def animals(survey: Survey) -> dict[str, set[str]]:
    """Photos by the name of the animal."""
    return {
        one.name: set(one.detections.values_list("image__relative_path", flat=True))
        for one in Individual.objects.filter(population=survey.population, retired=False)
    }


def folders(root: Path, *names: str) -> Path:
    """Files of these names below `root`; those that begin alike behind `=` have the same content."""
    for number, name in enumerate(names):
        path, _, same = name.partition("=")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(make.jpeg(make.frame_pixels(int(same) if same else 100 + number)))
    return root


def test_finished_crops_in_folders_are_animals_at_once(tmp_path: Path, tiny_model: Any) -> None:
    survey = make.make_survey()
    root = folders(
        tmp_path / "sorted", "Asha_left/1.jpg", "Asha_left/2.jpg", "Asha_right/3.jpg", "Bela/4.jpg", "unknown/5.jpg"
    )
    dry = bring(survey, root, "labelled", dry_run=True, crops="yes")
    survey.refresh_from_db()
    assert not survey.images.exists() and not survey.crops_only and not Individual.objects.exists()
    run = bring(survey, root, "labelled", crops="yes")
    assert run.counts == dry.counts and codes(run) == codes(dry)
    survey.refresh_from_db()
    assert survey.crops_only and survey.images.count() == 5
    known = {
        "Asha left": {"Asha_left/1.jpg", "Asha_left/2.jpg"},
        "Asha right": {"Asha_right/3.jpg"},
        "Bela": {"Bela/4.jpg"},
    }
    assert animals(survey) == known
    edge = MatchEdge.objects.get()
    assert edge.provenance == Provenance.IMPORTED and edge.a.flank == "left" and edge.a.flank_by_person
    standing = state()
    assert set(bring(survey, root, "labelled", crops="yes").counts) - UNCHANGED == set() and state() == standing
    survey_process_inline(survey=survey)
    assert animals(survey) == known and Detection.objects.count() == 5
    assert set(Detection.objects.values_list("source", flat=True)) == {DetectionSource.CROP}
    assert not Detection.objects.filter(crop="").exists()
    assert labels_undo(survey=survey, acting_user=None).animals == 3 and not animals(survey)


def test_whole_photos_are_matched_when_they_are_processed(tmp_path: Path, tiny_model: Any) -> None:
    survey = make.make_survey()
    root = folders(tmp_path / "sorted", "Asha/1.jpg", "Asha/2.jpg")
    run = bring(survey, root, "labelled")
    assert codes(run) == {"not_processed": 2} and run.counts["photos_new"] == 2
    survey_process_inline(survey=survey)
    assert bring(survey, root, "labelled").counts["animals_matches"] == 1
    assert animals(survey) == {"Asha": {"Asha/1.jpg", "Asha/2.jpg"}}


def test_one_photo_in_two_animals_folders_is_nobody_s(tmp_path: Path) -> None:
    survey = make.make_survey(crops_only=True)
    root = folders(tmp_path / "sorted", "Asha/1.jpg=1", "Asha/2.jpg", "Bela/1.jpg=1", "Bela/2.jpg", "Bela/3.jpg")
    run = bring(survey, root, "labelled")
    assert codes(run)["two_individuals"] == 1 and survey.images.count() == 4
    assert run.issues.get(code="two_individuals").detail == "Asha/1.jpg = Bela/1.jpg"
    assert animals(survey) == {"Asha": {"Asha/2.jpg"}, "Bela": {"Bela/2.jpg", "Bela/3.jpg"}}


def test_crops_do_not_come_into_a_survey_of_whole_photos(tmp_path: Path) -> None:
    survey = make.make_survey()
    make.make_image(survey, files=False)
    root = folders(tmp_path / "sorted", "Asha/1.jpg")
    run = import_begin(
        survey=survey, kind=kind_by_code("labelled"), path=root, options={"crops": "yes"}, acting_user=None
    )
    import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and "another survey" in run.error and survey.images.count() == 1


def test_a_damaged_photo_is_told_and_the_others_come(tmp_path: Path) -> None:
    survey = make.make_survey(crops_only=True)
    root = folders(tmp_path / "sorted", "Asha/1.jpg", "Asha/2.jpg")
    (root / "Asha/0.jpg").write_bytes(b"\xff\xd8 no photo")
    run = bring(survey, root, "labelled")
    assert run.counts["photos_new"] == 2 and len(animals(survey)["Asha"]) == 2
    assert {"no_photo"} < set(codes(run))


def table(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "flat_table.csv").write_text(HEAD + "\n".join(lines) + "\n")
    return folder


def test_hotspotter_s_regions_become_boxes_of_their_animals(tmp_path: Path, tiny_model: Any) -> None:
    survey = make.make_survey()
    folder = folders(tmp_path / "cats", "a.jpg", "b.jpg", "c.jpg")
    lines = ("1, a.jpg, Cat1, [10 20 60 40], 0", "2, b.jpg, Cat1, [12 22 60 40], 0", "3, b.jpg, ____, [90 20 60 60], 0")
    table(folder, *lines, "4, c.jpg, Cat2, [10 20 60 40], 0", "5, gone.jpg, Cat2, [10 20 60 40], 0")
    dry = bring(survey, folder, "hotspotter", dry_run=True, flank="left")
    run = bring(survey, folder, "hotspotter", flank="left")
    assert run.counts == dry.counts and codes(run) == codes(dry) == {"no_photo": 1}
    assert animals(survey) == {"cats Cat1": {"a.jpg", "b.jpg"}, "cats Cat2": {"c.jpg"}}
    standing = state()
    assert set(bring(survey, folder, "hotspotter", flank="left").counts) - UNCHANGED == set() and state() == standing
    survey_process_inline(survey=survey)
    boxes = Detection.objects.filter(image__relative_path="b.jpg").order_by("x1")
    assert [(row.x1, row.y1, row.x2, row.y2, row.flank) for row in boxes] == [
        (12, 22, 72, 62, "left"),
        (90, 20, 150, 80, boxes[1].flank),
    ]
    assert boxes[1].individual is None and not Detection.objects.filter(crop="").exists()
    assert animals(survey) == {"cats Cat1": {"a.jpg", "b.jpg"}, "cats Cat2": {"c.jpg"}}


def test_a_box_that_is_there_is_used_and_one_of_another_species_is_not(tmp_path: Path) -> None:
    survey = make.make_survey()
    rows = []
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        rows.append(make.make_detection(make.make_image(survey, relative_path=name, files=False), files=False))
    Detection.objects.filter(pk=rows[2].pk).update(triage="other")
    x1, y1, x2, y2 = rows[0].x1, rows[0].y1, rows[0].x2, rows[0].y2
    roi = f"[{x1 + 2} {y1} {x2 - x1} {y2 - y1}]"
    folder = table(
        tmp_path / "cats", *(f"{n}, {name}, Cat1, {roi}, 0" for n, name in enumerate(("a.jpg", "b.jpg", "c.jpg")))
    )
    run = bring(survey, folder, "hotspotter")
    assert codes(run) == {"not_usable": 1} and Detection.objects.count() == 3
    assert animals(survey) == {"cats Cat1": {"a.jpg", "b.jpg"}}


def test_animals_of_different_names_are_not_joined_and_others_are_told(tmp_path: Path) -> None:
    survey = make.make_survey(crops_only=True)
    rows = []
    for number in range(6):
        image = make.make_image(survey, relative_path=f"{number}.jpg", files=False)
        rows.append(make.make_detection(image, flank="unknown", files=False))
    for at, name in ((0, "Mira"), (2, "Nila"), (4, "")):
        match(None, rows[at], rows[at + 1])
        if name:
            individual = Individual.objects.get(detections=rows[at])
            individual_rename(acting_user=None, individual=individual, name=name)
    folder = table(tmp_path / "cats", *(f"{n}, {n}.jpg, Cat1, [1 2 30 40], 0" for n in range(6)))
    run = bring(survey, folder, "hotspotter")
    told = "\n".join(run.issues.values_list("words", flat=True))
    assert "L-0001 Mira and L-0002 Nila are two animals here" in told
    assert "were two animals here, and are one as cats Cat1" in told
    assert animals(survey) == {"Mira": {"0.jpg", "1.jpg", "4.jpg", "5.jpg"}, "Nila": {"2.jpg", "3.jpg"}}


def test_a_table_of_animals_is_read_as_import_labels_reads_it(tmp_path: Path) -> None:
    survey = make.make_survey()
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        make.make_detection(make.make_image(survey, relative_path=name, files=False), flank="unknown", files=False)
    file = tmp_path / "ours.csv"
    rows = ("a.jpg;Asha;left", "b.jpg;Asha;R", "c.jpg;Bela;", "c.jpg;Cleo;", ";Asha;", "d.jpg;unknown;", "e.jpg;Asha;")
    file.write_text("Photo;Individual;Flank\n" + "\n".join(rows) + "\n")
    kind = kind_of(file)
    assert kind is not None and kind.code == "animals"
    dry = bring(survey, file, "animals", dry_run=True)
    run = bring(survey, file, "animals")
    assert run.counts == dry.counts and codes(run) == {"no_name": 1, "several_individuals": 1, "no_photo": 1}
    assert animals(survey) == {"Asha": {"a.jpg", "b.jpg"}}
    assert set(Detection.objects.filter(individual__name="Asha").values_list("flank", flat=True)) == {"left", "right"}
    standing = state()
    assert set(bring(survey, file, "animals").counts) - UNCHANGED == set() and state() == standing
    # The command says the same of it.
    report = labels_import(survey=survey, truth=str(file), acting_user=None)
    assert (report.matches, report.named, report.flanks) == (0, 0, 0) and state() == standing
    assert labels_undo(survey=survey, acting_user=None).animals == 1 and not animals(survey)
    file.write_text("Photo;Colour\na.jpg;red\n")
    run = import_begin(survey=survey, kind=kind_by_code("animals"), path=file, options={}, acting_user=None)
    import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and run.error == "The table has no column Individual."


def test_names_of_another_catalogue_take_nothing_back_and_contradict_aloud(tmp_path: Path) -> None:
    survey = make.make_survey(crops_only=True)
    root = folders(tmp_path / "sorted", *(f"{name}/{n}.jpg" for name, n in zip("AAABB", range(5), strict=True)))
    bring(survey, root, "labelled")
    before = animals(survey)
    # Of A only two photos are known there, under another name; the last of B is called like them.
    lines = ("1, A/0.jpg, X, [1 2 30 40], 0", "2, A/1.jpg, X, [1 2 30 40], 0", "3, B/4.jpg, X, [1 2 30 40], 0")
    run = bring(survey, table(tmp_path / "cats", *lines), "hotspotter")
    assert animals(survey) == before
    told = "\n".join(run.issues.values_list("words", flat=True))
    assert "L-0001 A" in told and "L-0002 B" in told and "taken back" not in told
    other = ("1, A/0.jpg, X, [1 2 30 40], 0", "2, A/1.jpg, Y, [1 2 30 40], 0")
    run = bring(survey, table(tmp_path / "dogs", *other), "hotspotter")
    assert animals(survey) == before
    assert "Conflict: dogs X and dogs Y" in "\n".join(run.issues.values_list("words", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_renews_its_claim_beside_its_own_transaction(tmp_path: Path, monkeypatch: Any) -> None:
    from identification.services import imports_run

    monkeypatch.setattr(imports_run, "_RENEW_EVERY", -1.0)
    survey = make.make_survey()
    root = folders(tmp_path / "sorted", *(f"Asha/{number}.jpg" for number in range(3)))
    dry = bring(survey, root, "labelled", dry_run=True, crops="yes")
    assert dry.counts["photos_new"] == 3 and (dry.done, dry.total) != (0, 0)
    assert not survey.images.exists() and not Individual.objects.exists()
    assert bring(survey, root, "labelled", crops="yes").counts == dry.counts


@pytest.fixture
def crops() -> tuple[Survey, list[Detection]]:
    """Five processed crops a to e."""
    survey = make.make_survey(crops_only=True)
    rows = []
    for letter in "abcde":
        image = make.make_image(survey, relative_path=f"Leo/0_0_{letter}.jpg", files=False)
        rows.append(make.make_detection(image, flank="unknown", files=False))
    return survey, rows


def desk(folder: Path, pairs: list[str], *, last: int = -1) -> Path:
    folder.mkdir(exist_ok=True)
    names = [f"/Users/x/crops/Leo/0_0_{letter}.jpg" for letter in "abcdez"]
    (folder / "image_filenames.txt").write_text("\n".join(names) + "\n")
    (folder / "binary_image_filenames.txt").write_text("\n".join(names) + "\n")
    links = [{"source": names["abcdez".index(one)], "target": names["abcdez".index(two)]} for one, two in pairs]
    graph = {"directed": False, "multigraph": False, "graph": {}, "nodes": [{"id": n} for n in names], "links": links}
    (folder / "matches.json").write_text(json.dumps({"graph": graph, "last_processed_index": last}))
    return folder


def test_matches_of_the_desktop_program_are_kept_one_by_one(crops: Any, tmp_path: Path) -> None:
    survey, rows = crops
    user = make.make_member(survey, "curator")
    folder = desk(tmp_path / "desk", ["ab", "bc", "ac", "dz"], last=2)
    dry = bring(survey, folder, "spotid", dry_run=True, user=user)
    assert not MatchEdge.objects.exists() and not ReviewPosition.objects.exists()
    run = bring(survey, folder, "spotid", user=user)
    assert run.counts == dry.counts and run.counts["matches_new"] == 3
    assert codes(run) == codes(dry) == {"no_photo": 1, "match_without_photo": 1}
    edges = set(MatchEdge.objects.values_list("a", "b", "verdict", "provenance"))
    a, b, c, d, _ = (row.pk for row in rows)
    assert edges == {(one, two, Verdict.MATCH, Provenance.IMPORTED) for one, two in ((a, b), (b, c), (a, c))}
    assert [one.detections.count() for one in Individual.objects.all()] == [3]
    position = ReviewPosition.objects.get(user=user)
    assert position.anchor_id == d and position.mode == "photo"
    assert set(position.passed.values_list("pk", flat=True)) == {a, b, c}
    standing = state()
    again = bring(survey, folder, "spotid", user=user)
    assert set(again.counts) - UNCHANGED == set() and state() == standing and again.counts["matches_same"] == 3
    assert labels_undo(survey=survey, acting_user=None).matches == 3
    assert not Individual.objects.filter(retired=False).exists()
    assert bring(survey, folder, "spotid", user=user).counts["matches_new"] == 3


def test_a_position_that_was_begun_here_stays(crops: Any, tmp_path: Path) -> None:
    survey, rows = crops
    user = make.make_member(survey, "curator")
    ReviewPosition.objects.create(user=user, survey=survey, anchor=rows[4])
    run = bring(survey, desk(tmp_path / "desk", ["ab"], last=2), "spotid", user=user)
    assert ReviewPosition.objects.get().anchor == rows[4] and "photos_reviewed" not in run.counts


def test_people_s_decisions_outweigh_those_of_the_desktop(crops: Any, tmp_path: Path) -> None:
    survey, rows = crops
    user = make.make_user()
    match(user, rows[0], rows[1], Verdict.NO_MATCH)
    detection_annotate(acting_user=None, detections=[rows[2]], flank="left")
    detection_annotate(acting_user=None, detections=[rows[3]], flank="right")
    folder = desk(tmp_path / "desk", ["ab", "cd", "ae", "be", "ce"])
    run = bring(survey, folder, "spotid")
    # a and b are told apart, so that e cannot be both.
    assert codes(run) == {"no_photo": 1, "decided_otherwise": 1, "flanks_differ": 1, "contradiction": 1}
    assert run.counts["matches_new"] == 2
    assert MatchEdge.objects.get(a=rows[0], b=rows[1]).verdict == Verdict.NO_MATCH
    edge = MatchEdge.objects.get(a=rows[2], b=rows[4])
    decision_undo(acting_user=user, decision=edge.decisions.get(), any_user=True)
    again = bring(survey, folder, "spotid")
    assert codes(again)["decided_otherwise"] == 2 and "matches_new" not in again.counts


def test_embeddings_come_only_with_the_model_that_made_them(
    crops: Any, tmp_path: Path, tiny_model: EmbeddingModel
) -> None:
    survey, rows = crops
    folder = desk(tmp_path / "desk", [])
    vectors = np.random.default_rng(1).normal(size=(6, tiny_model.dimension))
    vectors[4] = 0
    np.save(folder / "embeddings.npy", vectors)
    assert codes(bring(survey, folder, "spotid"))["embeddings_left_out"] == 1
    assert codes(bring(survey, folder, "spotid", model="nobody"))["embeddings_left_out"] == 1
    assert not Embedding.objects.exists()
    run = bring(survey, folder, "spotid", model="tiny")
    assert run.counts["embeddings_new"] == 4 and "embeddings_left_out" not in codes(run)
    kept = Embedding.objects.get(detection=rows[0])
    assert kept.vector == pytest.approx(vectors[0] / np.linalg.norm(vectors[0]), abs=1e-6)
    again = bring(survey, folder, "spotid", model="tiny")
    assert set(again.counts) - UNCHANGED == set() and Embedding.objects.count() == 4
    np.save(folder / "embeddings.npy", -vectors)
    assert codes(bring(survey, folder, "spotid", model="tiny"))["embeddings_left_out"] == 1
    np.save(folder / "embeddings.npy", vectors[:, :5])
    assert codes(bring(survey, folder, "spotid", model="tiny"))["embeddings_left_out"] == 1


def test_the_folder_s_own_crops_come_along(tmp_path: Path, tiny_model: Any) -> None:
    survey = make.make_survey()
    folder = folders(tmp_path / "desk", *(f"Leo/0_0_{letter}.jpg" for letter in "abcde"))
    run = bring(survey, desk(folder, ["ab", "ce"]), "spotid", crops="yes")
    assert run.counts["photos_new"] == 5 and run.counts["matches_new"] == 2
    assert set(Image.objects.values_list("relative_path", flat=True)) == {f"Leo/0_0_{letter}.jpg" for letter in "abcde"}
    assert Work.objects.filter(state="pending").count() == 5
    survey_process_inline(survey=survey)
    assert Individual.objects.filter(retired=False).count() == 2 and Detection.objects.count() == 5
