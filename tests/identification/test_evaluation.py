"""`evaluate`: against a ranking worked out by hand, and on real coats."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from identification.inference.ranking import Ranked, by_photo, report
from identification.models import Detection
from tests.identification.factories import make_image, make_survey

pytestmark = pytest.mark.django_db


def test_an_unknown_survey_is_named_with_those_there_are() -> None:
    make_survey(name="North")
    with pytest.raises(CommandError, match=r"no survey named 'South'.*There are: North"):
        call_command("evaluate", "--survey", "South", "--truth", "folders")


def test_a_survey_without_labels_says_so() -> None:
    survey = make_survey(name="Flat")
    make_image(survey, relative_path="a.jpg", files=False)
    with pytest.raises(CommandError, match="No photo of this survey has a label"):
        call_command("evaluate", "--survey", "Flat", "--truth", "folders")


def test_a_photo_scores_as_its_best_pair_of_detections_and_without_any_as_none() -> None:
    scores = np.array([[np.nan, 1.0, 5.0], [1.0, np.nan, 2.0], [5.0, 2.0, np.nan]])
    found = by_photo(scores, [0, 0, 2], 3)
    assert found[0, 2] == found[2, 0] == 5.0
    assert np.isnan(found[0, 1]) and np.isnan(found[1]).all()


def test_the_figures_of_a_ranking_worked_out_by_hand() -> None:
    """Four photos of A, A, B, B: one query right at once, one at the second rank, two wrong until the third."""
    scores = np.array([[0, 9, 5, 1], [4, 0, 8, 2], [7, 6, 0, 1], [3, 2, 1, 0]], float)
    np.fill_diagonal(scores, np.nan)
    figures = report(Ranked(scores, 0.5), ["A", "A", "B", "B"])
    assert figures["t1"] == pytest.approx(1 / 4)
    assert figures["tkrmd"][:3] == pytest.approx([1 / 4, 2 / 4, 1.0])
    assert figures["dt5ap"] == pytest.approx(1 / 4)
    assert figures["seconds_per_query"] == 0.5


@pytest.mark.shared_data
@pytest.mark.usefixtures("offline")
def test_real_leopard_crops_reach_what_was_asked(shared_data: Path, tmp_path: Path, tiny_model) -> None:
    crops = shared_data / "spotid" / "crops"
    call_command(
        "ingest", str(crops), "--survey", "Leopards", "--crops", "--edges", str(shared_data / "spotid" / "edges")
    )
    call_command("process", "--survey", "Leopards", "--inline")
    assert Detection.objects.count() == 36
    out = tmp_path / "figures.json"
    call_command("evaluate", "--survey", "Leopards", "--truth", "folders", "--json", str(out))
    figures = json.loads(out.read_text())
    assert (figures["photos"], figures["identities"]) == (36, 3)
    assert figures["combined"]["t1"] >= 0.95 and figures["combined"]["dt5ap"] >= 0.95
    assert len(figures["combined"]["tkrmd"]) == 10
    assert figures["embedding"]["t1"] < figures["combined"]["t1"]
    strict = figures["evaluation"]["combined"]["tables"]["other_events"]["normalised"]
    assert strict["known"] and strict["figures"]["t1"]["value"] >= 0.9

    table = tmp_path / "truth.csv"
    with table.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Image Path", "Leopard ID", "more"])
        writer.writerows([p.relative_to(crops).as_posix(), p.parent.name, ""] for p in sorted(crops.rglob("*.jpg")))
    again = tmp_path / "again.json"
    call_command("evaluate", "--survey", "Leopards", "--truth", str(table), "--json", str(again), "--no-headings")
    assert json.loads(again.read_text())["combined"]["tkrmd"] == figures["combined"]["tkrmd"]


def test_labels_of_a_table_follow_the_export_and_leave_the_ambiguous_out(tmp_path: Path) -> None:
    from identification.services.evaluation import AMBIGUOUS, _from_table

    odd = 'a "quoted", name.jpg'
    table = tmp_path / "t.csv"
    table.write_text(
        "Image Path,Leopard ID,x1\n"
        '"a ""quoted"", name.jpg",leopard_1,0\n'
        "'=sum.jpg,leopard_1,0\n"
        "line\\u000abreak.jpg,leopard_2,0\n"
        "two.jpg,leopard_1,0\ntwo.jpg,leopard_2,0\n"
    )
    images = [(1, odd), (2, "=sum.jpg"), (3, "line\nbreak.jpg"), (4, "two.jpg"), (5, "unlabelled.jpg")]
    assert _from_table(table, images) == {1: "leopard_1", 2: "leopard_1", 3: "leopard_2", 4: AMBIGUOUS}


def test_figures_have_somewhere_to_go_before_anything_is_ranked(tmp_path: Path) -> None:
    make_survey(name="S")
    with pytest.raises(CommandError, match=r"no folder .*nowhere"):
        call_command("evaluate", "--survey", "S", "--truth", "folders", "--json", str(tmp_path / "nowhere" / "f.json"))
