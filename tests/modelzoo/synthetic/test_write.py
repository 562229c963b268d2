"""Surveys on disk: paths, EXIF, truth, repetition and interruption."""

import csv
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from modelzoo.synthetic import SurveyPlan, plan_survey, write_survey
from modelzoo.synthetic.write import COLUMNS

CONFIG = SurveyPlan(seed=2, individuals=2, stations=1, photos=5, width=160, height=120)


def _rows(table):
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _bytes(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    root = tmp_path_factory.mktemp("survey") / "photos"
    steps = []
    table = write_survey(CONFIG, root, lambda *step: steps.append(step), workers=1)
    return root, table, steps


def test_empty_survey_has_a_table_of_headings_only(tmp_path):
    table = write_survey(replace(CONFIG, photos=0), tmp_path / "photos", workers=1)
    assert table.read_text(encoding="utf-8").strip() == ",".join(COLUMNS)
    assert (tmp_path / "photos").is_dir() and _bytes(tmp_path / "photos") == {}


def test_files_are_those_of_the_plan_and_the_table_lies_outside(survey):
    root, table, steps = survey
    assert set(_bytes(root)) == {photo.file for photo in plan_survey(CONFIG)}
    assert table == root.parent / "truth.csv"
    assert [step[:2] for step in steps] == [(n, 5) for n in range(1, 6)]


def test_exif_tells_time_and_maker_and_no_place(survey):
    root, _, _ = survey
    for planned in plan_survey(CONFIG):
        with Image.open(root / planned.file) as image:
            image.load()
            exif = image.getexif()
            assert image.size == (160, 120)
        assert exif[0x010F] == "SpotID" and exif[0x0110] == "Synthetic camera"
        original = exif.get_ifd(0x8769)[0x9003]
        assert datetime.strptime(original, "%Y:%m:%d %H:%M:%S") == planned.captured_at
        assert not exif.get_ifd(0x8825)


def test_truth_agrees_with_the_plan_and_boxes_lie_in_the_photo(survey):
    _, table, _ = survey
    rows = _rows(table)
    plan = plan_survey(CONFIG)
    assert [row["file"] for row in rows] == [photo.file for photo in plan]
    for row, planned in zip(rows, plan):
        assert datetime.fromisoformat(row["captured_at"]) == planned.captured_at
        assert row["infrared"] == str(int(planned.infrared))
        if planned.individual is None:
            assert row["individual"] == row["flank"] == row["x1"] == "" and float(row["visible_fraction"]) == 0
        elif row["x1"]:
            x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
            assert 0 <= x1 < x2 <= 160 and 0 <= y1 < y2 <= 120
            assert row["individual"] == planned.individual_name and row["flank"] == planned.flank
    assert sum(bool(row["x1"]) for row in rows) >= 3


def test_second_run_draws_nothing_again(survey):
    root, table, _ = survey
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.JPG")}
    text = table.read_bytes()
    steps = []
    assert write_survey(CONFIG, root, lambda *step: steps.append(step), workers=1) == table
    assert steps == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.JPG")} == before
    assert table.read_bytes() == text


def test_another_run_is_the_same_byte_for_byte_and_repairs_what_is_broken(survey, tmp_path):
    root, table, _ = survey
    copy = tmp_path / "photos"
    second = write_survey(CONFIG, copy, workers=1)
    assert _bytes(copy) == _bytes(root)
    assert second.read_bytes() == table.read_bytes()
    files = sorted(copy.rglob("*.JPG"))
    files[0].unlink()
    files[1].write_bytes(b"not a photo")
    assert write_survey(CONFIG, copy, workers=1).read_bytes() == table.read_bytes()
    assert _bytes(copy) == _bytes(root)


def test_interrupted_run_goes_on_and_leaves_no_scraps(survey, tmp_path):
    root, table, _ = survey

    class Stop(Exception):
        pass

    def stop(done, total, file):
        if done == 3:
            raise Stop

    copy = tmp_path / "photos"
    with pytest.raises(Stop):
        write_survey(CONFIG, copy, stop, workers=1)
    assert len(list(copy.rglob("*.JPG"))) == 3
    assert write_survey(CONFIG, copy, workers=1).read_bytes() == table.read_bytes()
    assert _bytes(copy) == _bytes(root)


def test_other_settings_replace_the_files(tmp_path):
    config = replace(CONFIG, photos=2, empty_fraction=1.0)
    table = write_survey(config, tmp_path / "photos", workers=1)
    first = _bytes(tmp_path / "photos")
    sharper = replace(config, quality=95)
    assert write_survey(sharper, tmp_path / "photos", workers=1) == table
    second = _bytes(tmp_path / "photos")
    assert set(first) == set(second)
    assert all(len(second[name]) > len(first[name]) for name in first)


def test_photos_are_not_flat(survey):
    root, _, _ = survey
    for path in root.rglob("*.JPG"):
        with Image.open(path) as image:
            assert np.asarray(image).std() > 8
