"""`import_labels`: a sorted archive becomes matches that people's decisions outweigh, and that can be taken back."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from identification.errors import SpotIDError
from identification.models import AuditEntry, Decision, Detection, Flank, Individual, MatchEdge, Provenance, Verdict
from identification.services.annotation import detection_annotate
from identification.services.decisions import decision_undo
from identification.services.individuals import individual_rename
from identification.services.labels import labels_import, labels_undo
from tests.identification.factories import (
    make_detection,
    make_image,
    make_member,
    make_survey,
    make_user,
    match,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def survey():
    return make_survey()


def photo(survey, path: str, *, boxes: int = 1, **values) -> Detection:
    image = make_image(survey, relative_path=path, files=False, **values)
    made = [
        make_detection(image, box=(10.0 + 100 * n, 10, 90.0 + 100 * n, 90), files=False, flank=Flank.UNKNOWN)
        for n in range(boxes)
    ]
    return made[0] if made else None  # type: ignore[return-value]


def archive(survey, **animals: int) -> dict[str, list[Detection]]:
    return {name: [photo(survey, f"{name}/{n}.jpg") for n in range(number)] for name, number in animals.items()}


def take_in(survey, truth: str = "folders", **options):
    return labels_import(survey=survey, truth=truth, acting_user=None, **options)


def animals() -> dict[str, set[int]]:
    return {
        individual.name: set(individual.detections.values_list("pk", flat=True))
        for individual in Individual.objects.filter(retired=False)
    }


def state() -> list:
    return [
        list(MatchEdge.objects.order_by("pk").values_list("a_id", "b_id", "verdict", "provenance")),
        list(Individual.objects.order_by("pk").values_list("name", "retired", "declared", "founder_id")),
        list(Detection.objects.order_by("pk").values_list("individual_id", "flank", "flank_by_person")),
        Decision.objects.count(),
    ]


def pks(rows) -> set[int]:
    return {row.pk for row in rows}


def test_photos_of_a_folder_become_one_named_animal_by_a_star_of_imported_matches(survey) -> None:
    rows = archive(survey, Asha=4, Bela=2)
    report = take_in(survey)
    assert (report.photos, report.animals, report.matches, report.named) == (6, 2, 4, 2)
    assert animals() == {"Asha": pks(rows["Asha"]), "Bela": pks(rows["Bela"])}
    edges = MatchEdge.objects.filter(verdict=Verdict.MATCH)
    assert set(edges.values_list("provenance", flat=True)) == {Provenance.IMPORTED}
    hub = rows["Asha"][0].pk
    assert set(edges.filter(a__in=pks(rows["Asha"])).values_list("a_id", flat=True)) == {hub}
    assert AuditEntry.objects.filter(action="labels.import").count() == 2
    assert not report.told


def test_a_second_run_adds_nothing_and_new_photos_are_added(survey) -> None:
    rows = archive(survey, Asha=3, Bela_left=2, Cleo=1)
    take_in(survey)
    before = state()
    report = take_in(survey)
    assert state() == before and (report.matches, report.named, report.declared, report.flanks) == (0, 0, 0, 0)
    late = photo(survey, "Asha/late.jpg")
    assert take_in(survey).matches == 1
    assert animals()["Asha"] == pks(rows["Asha"]) | {late.pk}


def test_an_animal_of_one_photo_is_declared(survey) -> None:
    rows = archive(survey, Cleo=1)
    assert take_in(survey).declared == 1
    assert animals() == {"Cleo": pks(rows["Cleo"])}
    assert Individual.objects.get().declared


def test_sides_in_names_set_flanks_and_stay_apart_until_somebody_joins_them(survey) -> None:
    rows = archive(survey, Asha_left=2, Asha_Right=2)
    report = take_in(survey)
    assert animals() == {"Asha left": pks(rows["Asha_left"]), "Asha right": pks(rows["Asha_Right"])}
    assert set(Detection.objects.values_list("flank", "flank_by_person")) == {("left", True), ("right", True)}
    assert report.flanks == 4 and "kept apart" in report.told[0]


def test_joined_sides_are_one_animal_with_one_match_across(survey) -> None:
    rows = archive(survey, Asha_left=3, Asha_right=3)
    report = take_in(survey, join_flanks=True)
    assert animals() == {"Asha": pks(rows["Asha_left"] + rows["Asha_right"])}
    left = pks(rows["Asha_left"])
    across = [edge for edge in MatchEdge.objects.all() if (edge.a_id in left) != (edge.b_id in left)]
    assert len(across) == 1 and report.matches == 5


def test_a_table_with_flanks_joins_sides_by_its_own_word(survey, tmp_path) -> None:
    left, right, other = (photo(survey, name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    table = tmp_path / "truth.csv"
    table.write_bytes("photo;individual;flank\na.jpg;Asha;left\nb.jpg;Asha;right\nc.jpg;Bela;\n".encode("utf-16"))
    take_in(survey, str(table))
    assert animals() == {"Asha": {left.pk, right.pk}, "Bela": {other.pk}}
    left.refresh_from_db()
    assert left.flank == "left" and left.flank_by_person


def test_people_s_refusals_stand_and_are_told(survey) -> None:
    rows = archive(survey, Asha=4)["Asha"]
    user = make_user()
    match(user, rows[0], rows[1])
    match(user, rows[0], rows[2], Verdict.NO_MATCH)
    report = take_in(survey)
    assert animals() == {"Asha": {rows[0].pk, rows[1].pk, rows[3].pk}}
    assert MatchEdge.objects.get(a=rows[0], b=rows[2]).verdict == Verdict.NO_MATCH
    assert len(report.told) == 1 and "Asha/2.jpg" in report.told[0]
    assert take_in(survey).matches == 0


def test_an_unsure_pair_is_passed_round_and_not_overwritten(survey) -> None:
    rows = archive(survey, Asha=3)["Asha"]
    match(make_user(), rows[0], rows[2], Verdict.UNSURE)
    take_in(survey)
    assert animals() == {"Asha": pks(rows)}
    assert MatchEdge.objects.get(a=rows[0], b=rows[2]).verdict == Verdict.UNSURE
    assert MatchEdge.objects.get(a=rows[1], b=rows[2]).provenance == Provenance.IMPORTED


def test_a_match_that_a_person_took_back_does_not_come_again(survey) -> None:
    rows = archive(survey, Asha=3)["Asha"]
    take_in(survey)
    wrong = Decision.objects.get(edge__b=rows[2])
    decision_undo(acting_user=make_user(), decision=wrong, any_user=True)
    report = take_in(survey)
    assert animals() == {"Asha": pks(rows[:2])}
    assert report.matches == 0 and "decided otherwise" in report.told[0]


def test_a_name_and_a_flank_that_people_gave_stand(survey) -> None:
    rows = archive(survey, Asha_left=3)["Asha_left"]
    user = make_user()
    match(user, rows[0], rows[1])
    individual_rename(acting_user=user, individual=Individual.objects.get(), name="Queen")
    detection_annotate(acting_user=user, detections=[rows[2]], flank="right")
    report = take_in(survey)
    assert animals() == {"Queen": pks(rows[:2])}
    rows[2].refresh_from_db()
    assert rows[2].flank == "right"
    assert any("keeps that name" in line for line in report.told)
    assert any("a person right" in line for line in report.told)


def test_a_hub_whose_matches_were_all_taken_back_leaves_the_others_to_each_other(survey) -> None:
    rows = archive(survey, Asha=4)["Asha"]
    take_in(survey)
    for wrong in Decision.objects.filter(edge__a=rows[0]):
        decision_undo(acting_user=make_user(f"u{wrong.pk}"), decision=wrong, any_user=True)
    report = take_in(survey)
    assert report.matches == 2 and animals() == {"Asha": pks(rows[1:])}
    assert any("Asha/0.jpg: a person decided otherwise" in line for line in report.told)
    before = state()
    assert take_in(survey).matches == 0 and state() == before


def table(tmp_path, *lines: str) -> str:
    path = tmp_path / f"truth{len(list(tmp_path.iterdir()))}.csv"
    path.write_text("\n".join(["photo,individual", *lines]) + "\n")
    return str(path)


def numbered(survey, number: int) -> list[Detection]:
    return [photo(survey, f"{n}.jpg") for n in range(1, number + 1)]


@pytest.mark.parametrize("whole", [True, False])
def test_a_corrected_table_takes_back_the_matches_that_it_contradicts(survey, tmp_path, whole) -> None:
    one, two, three, four = numbered(survey, 4)
    take_in(survey, table(tmp_path, "1.jpg,Asha", "2.jpg,Asha", "3.jpg,Bela", "4.jpg,Bela"))
    first = ["1.jpg,Asha"] if whole else []
    corrected = table(tmp_path, *first, "2.jpg,Bela", "3.jpg,Bela", "4.jpg,Bela")
    report = take_in(survey, corrected)
    assert animals() == {"Asha": {one.pk}, "Bela": {two.pk, three.pk, four.pk}}
    assert "1 imported matches are taken back" in report.told[0] and "1.jpg (Asha) and 2.jpg (Bela)" in report.told[0]
    before = state()
    assert not take_in(survey, corrected).told and state() == before
    take_in(survey, table(tmp_path, "1.jpg,Asha", "2.jpg,Asha", "3.jpg,Bela", "4.jpg,Bela"))
    assert animals() == {"Asha": {one.pk, two.pk}, "Bela": {three.pk, four.pk}}, "what an import took back may come"
    labels_undo(survey=survey, acting_user=None)
    assert animals() == {}


def test_a_corrected_hub_leaves_its_name_and_the_others_together(survey, tmp_path) -> None:
    one, two, three, four, five = numbered(survey, 5)
    take_in(survey, table(tmp_path, "1.jpg,Asha", "2.jpg,Asha", "3.jpg,Asha", "4.jpg,Bela", "5.jpg,Bela"))
    take_in(survey, table(tmp_path, "1.jpg,Bela", "4.jpg,Bela"))
    assert animals() == {"Asha": {two.pk, three.pk}, "Bela": {one.pk, four.pk, five.pk}}


def test_what_a_person_confirmed_is_not_taken_back_by_a_corrected_table(survey, tmp_path) -> None:
    one, two, *_ = numbered(survey, 4)
    take_in(survey, table(tmp_path, "1.jpg,Asha", "2.jpg,Asha", "3.jpg,Bela", "4.jpg,Bela"))
    match(make_user(), one, two)
    before = state()
    report = take_in(survey, table(tmp_path, "1.jpg,Asha", "2.jpg,Bela", "3.jpg,Bela", "4.jpg,Bela"))
    assert state() == before
    assert report.told == [
        "Conflict: Asha and Bela are joined by what people decided (1.jpg (Asha) and 2.jpg (Bela)). Left alone."
    ]


def test_one_match_of_a_person_does_not_join_two_animals_of_the_archive(survey) -> None:
    rows = archive(survey, Asha=3, Bela=3)
    match(make_user(), rows["Asha"][1], rows["Bela"][2])
    report = take_in(survey)
    linked = {rows["Asha"][1].pk, rows["Bela"][2].pk}
    assert animals() == {"Asha": pks(rows["Asha"]) - linked, "Bela": pks(rows["Bela"]) - linked, "": linked}
    photos = "Asha/1.jpg (Asha) and Bela/2.jpg (Bela)"
    assert report.matches == 2
    assert report.told == [f"Conflict: Asha and Bela are joined by what people decided ({photos}). Left alone."]


def test_animals_that_a_person_merged_after_an_import_stay_as_they_are(survey) -> None:
    rows = archive(survey, Asha=3, Bela=2)
    take_in(survey)
    match(make_member(survey, "curator"), rows["Asha"][1], rows["Bela"][1])
    late = photo(survey, "Asha/late.jpg")
    before = animals()
    report = take_in(survey)
    assert animals() == before and report.matches == 0 and late.pk not in set().union(*before.values())
    assert len(report.told) == 1 and "Asha/1.jpg (Asha) and Bela/1.jpg (Bela)" in report.told[0]


def test_a_person_may_join_a_left_and_a_right_side_of_other_names(survey) -> None:
    rows = archive(survey, Asha_left=2, Bela_right=2)
    match(make_user(), rows["Asha_left"][0], rows["Bela_right"][0])
    report = take_in(survey)
    assert animals() == {"Asha left": pks(rows["Asha_left"] + rows["Bela_right"])}
    assert report.matches == 2 and not any("Conflict" in line for line in report.told)


def test_folders_that_name_no_animal_are_left_out_and_told(survey) -> None:
    good = archive(survey, Asha=1)["Asha"][0]
    for folder in ("Left", "Right", "left_flank", "unknown_2019", "No ID", "Unidentified leopards"):
        for n in range(2):
            photo(survey, f"{folder}/{n}.jpg")
    report = take_in(survey)
    assert animals() == {"Asha": {good.pk}} and report.photos == 1
    assert len(report.told) == 1 and "12 photos are labelled unknown" in report.told[0]
    assert "Left" in report.told[0] and "No ID" in report.told[0]


def test_a_folder_of_animals_folders_is_left_out_and_told(survey) -> None:
    kept = [photo(survey, "Cleo/near/1.jpg"), photo(survey, "Cleo/2.jpg")]
    photo(survey, "2019/Asha_left/a.jpg")
    photo(survey, "2019/Bela/b.jpg")
    report = take_in(survey)
    assert animals() == {"Cleo": pks(kept)}
    assert "2019/ is left out: all its 2 photos" in report.told[0] and "2019/Asha_left/a.jpg" in report.told[0]
    assert "1 folders hold subfolders (Cleo/: Cleo/near/1.jpg)" in report.told[1]


def test_an_archive_that_lies_too_deep_is_refused_with_the_reason(survey) -> None:
    photo(survey, "2019/Asha/a.jpg")
    photo(survey, "2019/Bela/b.jpg")
    with pytest.raises(SpotIDError, match="2019/ is left out"):
        take_in(survey)


def test_photos_that_say_nothing_of_one_animal_are_told(survey, tmp_path) -> None:
    photo(survey, "Asha/two.jpg", boxes=2)
    photo(survey, "Asha/none.jpg", boxes=0)
    photo(survey, "Asha/waits.jpg", state="pending")
    photo(survey, "unknown/1.jpg")
    photo(survey, "unknown/2.jpg")
    good = photo(survey, "Asha/good.jpg")
    report = take_in(survey)
    assert animals() == {"Asha": {good.pk}}
    told = "\n".join(report.told)
    assert "Asha/two.jpg: several animals" in told and "Asha/none.jpg: no usable animal" in told
    assert "1 labelled photos are not processed" in told and "2 photos are labelled unknown" in told
    table = tmp_path / "t.csv"
    table.write_text("photo,individual\nAsha/good.jpg,Asha\nAsha/good.jpg,Bela\n")
    assert "several animals (Asha, Bela)" in take_in(survey, str(table)).told[0]


def test_an_import_is_taken_back_as_a_whole_and_can_be_made_again(survey) -> None:
    archive(survey, Asha_left=3, Bela=2, Cleo=1)
    before = state()
    take_in(survey)
    after = state()
    report = labels_undo(survey=survey, acting_user=None)
    assert (report.animals, report.matches, report.named, report.declared, report.flanks) == (3, 3, 3, 1, 3)
    assert animals() == {}
    edges, _, detections, _ = state()
    assert {edge[2] for edge in edges} == {""} and detections == before[2]
    with pytest.raises(Exception, match="Nothing that was imported"):
        labels_undo(survey=survey, acting_user=None)
    assert take_in(survey).matches == 3
    assert state()[2] == after[2]
    assert sorted(animals()) == ["Asha left", "Bela", "Cleo"]


def test_what_people_said_since_outlives_the_undo(survey) -> None:
    rows = archive(survey, Asha_left=3)["Asha_left"]
    take_in(survey)
    user = make_user()
    match(user, rows[0], rows[1])
    individual_rename(acting_user=user, individual=Individual.objects.get(), name="Queen")
    detection_annotate(acting_user=user, detections=[rows[2]], flank="right")
    labels_undo(survey=survey, acting_user=None)
    assert animals() == {"Queen": pks(rows[:2])}
    rows[2].refresh_from_db()
    assert rows[2].flank == "right"


def test_other_surveys_are_left_alone(survey) -> None:
    archive(survey, Asha=2)
    other = make_survey(survey.population)
    archive(other, Asha=2)
    take_in(survey)
    take_in(other)
    assert Individual.objects.filter(name="Asha", retired=False).count() == 2
    labels_undo(survey=survey, acting_user=None)
    assert Individual.objects.filter(name="Asha", retired=False).count() == 1


def test_the_command_says_what_came_of_it_and_in_whose_name(survey) -> None:
    archive(survey, Asha=2)
    curator = make_member(survey, "curator")
    reviewer = make_member(survey, "reviewer")
    out = io.StringIO()
    call_command("import_labels", survey=survey.name, truth="folders", user=curator.username, stdout=out)
    assert "2 photos of 1 animals: 1 matches made, 1 named" in out.getvalue()
    assert Decision.objects.get().acting_user == curator
    with pytest.raises(CommandError, match="no curator"):
        call_command("import_labels", survey=survey.name, truth="folders", user=reviewer.username)
    with pytest.raises(CommandError, match="no active account"):
        call_command("import_labels", survey=survey.name, truth="folders", user="nobody")
    call_command("import_labels", survey=survey.name, undo=True, stdout=out)
    assert "Taken back: 1 matches" in out.getvalue()
    with pytest.raises(CommandError, match="no survey"):
        call_command("import_labels", survey="elsewhere", truth="folders")


def test_a_truth_of_other_photos_is_refused(survey, tmp_path) -> None:
    photo(survey, "loose.jpg")
    with pytest.raises(Exception, match="No photo of this survey"):
        take_in(survey)
    with pytest.raises(Exception, match="cannot be read"):
        take_in(survey, str(tmp_path / "none.csv"))
