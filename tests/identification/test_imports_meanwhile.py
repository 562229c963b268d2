"""While an import is rehearsed or runs, people go on deciding; an import that was killed ends as if it had not been."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from identification.models import Decision, Detection, Image, ImportRun, Individual, MatchEdge, Survey, Verdict
from identification.services import imports, imports_copy, label_animals, label_graph, labels
from identification.services.imports_copy import population_copied
from identification.services.imports_run import import_run
from tests.identification import factories as make
from tests.identification.factories import match
from tests.identification.test_imports_identities import animals, desk, folders, table
from tests.identification.test_imports_round_trip import bring, codes, state

# Of a moment: reviewers' own pages answer within half a second, and this machine may be busy.
_MOMENT = "3s"


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0


def crops(survey: Survey, *names: str) -> list[Detection]:
    rows = []
    for name in names:
        image = make.make_image(survey, relative_path=name, files=False)
        rows.append(make.make_detection(image, flank="unknown", files=False))
    return rows


class Paused:
    """An import on a connection of its own that stands still where it says how far it is."""

    def __init__(self, run: ImportRun, stop: Callable[[int, int], bool]) -> None:
        self.run, self.stop = run, stop
        self.there, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._work)

    def _tell(self, done: int, total: int, _: str) -> None:
        if not self.there.is_set() and self.stop(done, total):
            self.there.set()
            assert self.go.wait(60)

    def _work(self) -> None:
        try:
            import_run(run_id=self.run.pk, progress=self._tell)
        finally:
            self.there.set()
            connections["default"].close()

    def __enter__(self) -> Paused:
        self.thread.start()
        assert self.there.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.run.refresh_from_db()


@pytest.fixture
def impatient() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_MOMENT}'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")


def begin(survey: Survey, path: Path, kind: str, *, dry_run: bool) -> ImportRun:
    return imports.import_begin(
        survey=survey, kind=imports.kind_by_code(kind), path=path, options={}, acting_user=None, dry_run=dry_run
    )


def sorted_table(folder: Path, names: list[str]) -> Path:
    """Animals of four photos each."""
    file = folder / "ours.csv"
    rows = [f"{name};Cat {index // 4}" for index, name in enumerate(names)]
    file.write_text("Photo;Individual\n" + "\n".join(rows) + "\n")
    return file


@pytest.mark.django_db(transaction=True)
def test_people_decide_while_a_large_dry_run_is_under_way(tmp_path: Path, impatient: None) -> None:
    survey = make.make_survey(crops_only=True)
    names = [f"{number:03}.jpg" for number in range(240)]
    rows = crops(survey, *names)
    run = begin(survey, sorted_table(tmp_path, names), "animals", dry_run=True)
    user = make.make_member(survey, "reviewer")
    # After half of sixty animals: all that a run holds would be held now.
    with Paused(run, lambda done, total: total == 60 and done == 30) as paused:
        began = time.monotonic()
        # The very boxes that the dry run has matched already, and others.
        match(user, rows[0], rows[1])
        match(user, rows[0], rows[5], Verdict.NO_MATCH)
        match(user, rows[-1], rows[-2])
        took = time.monotonic() - began
        assert paused.thread.is_alive() and took < 3
    assert run.state == "done", run.error
    # It says what would have come of what stood when it began, and left nothing.
    assert run.counts["animals"] == 60 and run.counts["animals_matches"] == 180
    assert Decision.objects.count() == MatchEdge.objects.count() == 3 and not Individual.objects.exclude(name="")
    done = bring(survey, Path(run.path), "animals")
    assert done.counts["animals_matches"] == 178 and len(animals(survey)) == 60


@pytest.mark.django_db(transaction=True)
def test_people_decide_between_the_animals_of_a_run(tmp_path: Path, impatient: None) -> None:
    survey = make.make_survey(crops_only=True)
    names = [f"{number}.jpg" for number in range(16)]
    rows = crops(survey, *names)
    run = begin(survey, sorted_table(tmp_path, names), "animals", dry_run=False)
    with Paused(run, lambda done, total: total == 4 and done == 2) as paused:
        match(make.make_member(survey, "reviewer"), rows[0], rows[-1], Verdict.NO_MATCH)
        assert paused.thread.is_alive()
    assert run.state == "done" and run.counts["animals_matches"] == 12 and len(animals(survey)) == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["labelled", "hotspotter", "animals", "spotid", "camtrapr"])
def test_a_dry_run_writes_and_holds_nothing_that_is_real(kind: str, tmp_path: Path) -> None:
    """The database refuses any other write in it; what it foretells is what the run then does."""
    survey = make.make_survey(make.make_population(species="Panthera pardus"), crops_only=kind != "hotspotter")
    user = make.make_member(survey, "curator")
    names = [f"S1/leopard/Leo/0_0_{letter}.jpg" for letter in "abcde"]
    rows = crops(survey, *names) if kind != "labelled" else []
    if rows:
        match(None, rows[0], rows[1])
    path = {
        "labelled": lambda: folders(tmp_path / "sorted", "Asha_left/1.jpg", "Asha_left/2.jpg", "Bela/3.jpg"),
        "hotspotter": lambda: table(
            tmp_path / "cats", *(f"{n}, {name}, Cat{n // 3}, [10 20 60 40], 0" for n, name in enumerate(names))
        ),
        "animals": lambda: sorted_table(tmp_path, names),
        "spotid": lambda: desk(tmp_path / "desk", ["ab", "bc", "de"], last=1),
        "camtrapr": lambda: None,
    }[kind]()
    if kind == "camtrapr":
        survey.crops_only = False
        survey.save()
    options = {"layout": "station/species/individual"} if kind == "camtrapr" else {"user": user}
    before = state()
    dry = bring(survey, path, kind, dry_run=True, **options)  # type: ignore[arg-type]
    assert state() == before and not survey.stations.exists()
    run = bring(survey, path, kind, **options)  # type: ignore[arg-type]
    assert run.counts == dry.counts and codes(run) == codes(dry) and state() != before
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_a_copy_holds_one_population_with_all_rules(tmp_path: Path) -> None:
    survey, other = make.make_survey(), make.make_survey(make.make_population("Others"), "Other")
    rows, others = [make.make_sighting(survey) for _ in range(3)], [make.make_sighting(other) for _ in range(2)]
    match(None, rows[0], rows[1])
    match(None, *others)
    tables = {model._meta.db_table for model, _ in imports_copy._COPIED}
    with population_copied(survey.population, lambda: None):
        assert set(Detection.objects.values_list("pk", flat=True)) == {row.pk for row in rows}
        assert MatchEdge.objects.count() == Decision.objects.count() == Individual.objects.count() == 1
        match(None, rows[1], rows[2])
        image = make.make_image(survey, files=False)
        assert image.pk > 10**12
        station = survey.stations.create(code="NEW")
        station.refresh_from_db()
        assert station.number is not None
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
                "WHERE l.pid = pg_backend_pid() AND c.relpersistence <> 't' AND c.relkind = 'r' "
                "AND c.relname LIKE 'identification%' AND l.mode <> 'AccessShareLock'"
            )
            assert cursor.fetchall() == []
    assert len(tables) == len(imports_copy._COPIED) and MatchEdge.objects.count() == 2 and Image.objects.count() == 5


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Survey, list[Detection], Path]:
    """An animal of more photos than are joined at a time, of both flanks, and one of few."""
    monkeypatch.setattr(label_animals, "_PIECE", 4)
    survey = make.make_survey(crops_only=True)
    rows = crops(survey, *(f"{number:02}.jpg" for number in range(14)))
    sides = ["left", "right", "", "left", "right", "left"] * 2
    lines = [f"{at:02}.jpg;Asha;{side}" for at, side in enumerate(sides)] + ["12.jpg;Bela;", "13.jpg;Bela;"]
    file = tmp_path / "ours.csv"
    file.write_text("Photo;Individual;Side\n" + "\n".join(lines) + "\n")
    return survey, rows, file


@pytest.mark.django_db
def test_an_animal_of_many_photos_is_joined_in_pieces(many: Any) -> None:
    survey, _, file = many
    options = {"join_flanks": "yes"}
    dry = bring(survey, file, "animals", dry_run=True, **options)
    run = bring(survey, file, "animals", **options)
    assert run.counts == dry.counts and run.counts["animals"] == 2 and run.counts["animals_named"] == 2
    assert run.counts["animals_matches"] == 12 == MatchEdge.objects.count()
    seen = animals(survey)
    assert {name: len(photos) for name, photos in seen.items()} == {"Asha": 12, "Bela": 2}
    # A star on each flank, and one match between the flanks.
    across = [
        edge for edge in MatchEdge.objects.select_related("a", "b") if {edge.a.flank, edge.b.flank} == {"left", "right"}
    ]
    assert len(across) <= 1 and {one.number for one in Individual.objects.all()} == {1, 2}
    standing = state()
    bring(survey, file, "animals", **options)
    assert state() == standing
    assert labels.labels_undo(survey=survey, acting_user=None).animals == 2 and animals(survey) == {}


@pytest.mark.django_db
def test_a_run_that_was_killed_within_an_animal_ends_the_same(many: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    survey, _, file = many
    run = begin(survey, file, "animals", dry_run=False)
    piece, times = label_animals.Animal._piece, []

    def killed(*args: Any) -> None:
        times.append(1)
        if len(times) == 2:
            raise RuntimeError("killed")
        piece(*args)

    with monkeypatch.context() as patch:
        patch.setattr(label_animals.Animal, "_piece", killed)
        assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "pending" and 0 < MatchEdge.objects.count() < 11
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "done"
    assert {name: len(seen) for name, seen in animals(survey).items()} == {"Asha": 12, "Bela": 2}
    assert sorted(one.code for one in Individual.objects.all()) == ["L-0001", "L-0002"]


@pytest.mark.django_db
def test_what_a_killed_correction_took_apart_is_joined_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second table knows one photo alone to be another animal's; the others of its animal stay together."""
    monkeypatch.setattr(label_graph, "_PIECE", 1)
    survey = make.make_survey(crops_only=True)
    crops(survey, *(f"{letter}.jpg" for letter in "abcde"))
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("Photo;Individual\n" + "".join(f"{letter}.jpg;Asha\n" for letter in "abcd"))
    second.write_text("Photo;Individual\na.jpg;Bela\ne.jpg;Bela\n")
    bring(survey, first, "animals")
    run = begin(survey, second, "animals", dry_run=False)
    with monkeypatch.context() as patch:
        patch.setattr(label_animals.Animal, "join", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        assert import_run(run_id=run.pk)
    assert MatchEdge.objects.filter(verdict=Verdict.MATCH).count() == 0
    assert import_run(run_id=run.pk)
    assert animals(survey) == {"Asha": {"b.jpg", "c.jpg", "d.jpg"}, "Bela": {"a.jpg", "e.jpg"}}
    standing = state()
    bring(survey, second, "animals")
    assert state() == standing
