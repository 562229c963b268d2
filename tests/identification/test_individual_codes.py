"""Codes of individuals: unique, with the prefix of their population, and what they are for ever."""

from __future__ import annotations

import csv
import hashlib
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from identification.exports import survey_export_zip
from identification.models import Detection, Individual, Population, Role, Survey
from identification.selectors.individuals import successors_of
from identification.services.curation import batch_undo, individual_split, individuals_merge
from identification.services.individuals import individual_rename
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def leopards() -> Population:
    return make.make_population(code_prefix="DL")


def _season(population: Population, animals: int, **values: Any) -> tuple[Survey, list[list[Detection]]]:
    """A survey with animals of three photos each, joined by decisions."""
    survey, found = make.make_reviewable_survey(population=population, individuals=animals, photos=3, **values)
    for photos in found:
        for first, second in pairwise(photos):
            match(None, first, second)
    return survey, found


def _codes(*animals: list[Detection]) -> list[str]:
    """The code that all photos of each animal have."""
    found = []
    for photos in animals:
        owners = {Detection.objects.get(pk=photo.pk).individual for photo in photos}
        (owner,) = owners
        assert owner is not None and not owner.retired
        found.append(owner.code)
    return found


def _give_originals(survey: Survey, folder: Path) -> None:
    """Files on disk for the survey's photos, as ingest would have read them."""
    folder.mkdir()
    for image in survey.images.all():
        data = make.jpeg(make.frame_pixels(image.pk))
        file = folder / f"{image.pk}.jpg"
        file.write_bytes(data)
        image.source_path, image.size_bytes = str(file), len(data)
        image.sha256 = hashlib.sha256(data).hexdigest()
        image.save(update_fields=["source_path", "size_bytes", "sha256"])


def _exported(survey: Survey) -> dict[str, str]:
    """The code of each photo in the export's table, by its hash."""
    with zipfile.ZipFile(survey_export_zip(survey=survey, acting_user=None)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("leopard_matches.csv"))
        rows = csv.DictReader(archive.read(name).decode("utf-8-sig").splitlines())
        return {row["sha256"]: row["individual_code"] for row in rows}


def test_each_population_counts_by_itself_with_its_prefix(leopards) -> None:
    first, second = _season(leopards, 2)[1], _season(make.make_population(code_prefix="TG"), 2)[1]
    assert _codes(*first, *second) == ["DL-0001", "DL-0002", "TG-0001", "TG-0002"]


def test_neither_an_export_nor_another_survey_renumbers(leopards, settings, tmp_path: Path) -> None:
    settings.SPOTID_HOME = tmp_path
    survey, old = _season(leopards, 3)
    _give_originals(survey, tmp_path / "originals")
    before = _exported(survey)
    assert sorted(set(before.values())) == ["DL-0001", "DL-0002", "DL-0003"] and len(before) == 9
    _, new = _season(leopards, 2)
    assert _codes(*old, *new) == ["DL-0001", "DL-0002", "DL-0003", "DL-0004", "DL-0005"]
    assert _exported(survey) == before
    # An animal of the first survey is seen again in the second one: the older code stands for both.
    match(None, old[2][0], new[0][0])
    assert _codes(*old, old[2] + new[0], new[1]) == ["DL-0001", "DL-0002", "DL-0003", "DL-0003", "DL-0005"]
    assert _exported(survey) == before


def test_merge_split_and_undo_leave_the_codes_as_they_were(leopards) -> None:
    _, (a, b, c) = _season(leopards, 3)
    curator = make.make_user("curator")
    as_they_were = ["DL-0001", "DL-0002", "DL-0003"]
    merged = individuals_merge(acting_user=curator, detections=[b[0], c[0]])
    assert _codes(a, b + c) == ["DL-0001", "DL-0002"]
    again = individuals_merge(acting_user=curator, detections=[a[0], c[1]])
    assert _codes(a + b + c) == ["DL-0001"]
    gone = Individual.objects.get(number=3)
    assert [row.code for row in successors_of(gone)] == ["DL-0001"], "at the end of its chain"
    split = individual_split(acting_user=curator, detections=[a[2]])
    assert Individual.objects.filter(retired=False).count() == 1, "a photo alone is no animal yet"
    for done in (split, again, merged):
        batch_undo(acting_user=curator, decisions=done.decisions)
    assert _codes(a, b, c) == as_they_were


def test_a_spent_number_is_never_given_out_again(leopards) -> None:
    survey, (a,) = _season(leopards, 1)
    extra = [make.make_sighting(survey, coat=7) for _ in range(5)]
    for first, second in pairwise([*a, *extra[:3]]):
        match(None, first, second)
    curator = make.make_user("curator")
    split = individual_split(acting_user=curator, detections=extra[1:3])
    assert _codes(a + extra[:1], extra[1:3]) == ["DL-0001", "DL-0002"]
    batch_undo(acting_user=curator, decisions=split.decisions)
    assert _codes(a + extra[:3]) == ["DL-0001"]
    spent = Individual.objects.get(number=2)
    assert spent.retired and [row.code for row in successors_of(spent)] == ["DL-0001"]
    match(None, extra[3], extra[4])
    assert _codes(extra[3:]) == ["DL-0003"]
    individual_rename(acting_user=curator, individual=Individual.objects.get(number=1), name="Tara")
    assert _codes(a) == ["DL-0001"]
    page = client_of(survey, Role.VIEWER).get(reverse("individual-detail", args=[spent.pk])).content.decode()
    assert "DL-0002 is retired" in page and reverse("individual-detail", args=[spent.merged_into_id]) in page
