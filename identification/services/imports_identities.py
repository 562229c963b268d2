"""Imports that bring identities: photos that come along, boxes, and animals as confirmed matches.

What decides between an archive and people is `label_graph`; docs/decisions/0013-imported-labels.md and
0045-imported-identities.md.
"""

from __future__ import annotations

import re
from collections import defaultdict

from ..imports.reading import AnimalRecord, PhotoRecord, Reading
from ..matching.labels import Label, title
from ..models import Individual, User
from .catalogue import individual_describe
from .imports_boxes import Boxes, boxes_each
from .imports_photos import crops_settle, photos_take, said_yes
from .imports_write import Placed, label_report, labels_tell, operations_write, photos_write, stations_write
from .imports_writing import Writing
from .individuals import individual_number
from .label_animals import Groups, LabelReport, Naming, name_give
from .labels import labels_join
from .surveys import population_describe

_LAST = 10**9
# As this catalogue and those of other SpotIDs write them.
_CODE = re.compile(r"([A-Za-z][A-Za-z0-9]{0,11})-(\d{4,9})")
TWO_BOXES = "Two animals are claimed for one box; it is matched with neither."
TAKEN = "The code is another animal's here; this one gets a new code."
OTHER_CODE = "The animal has another code here, which stays."
SAME_NAME = "Another animal is called so here; a person has to say whether they are one."
OTHER_SEX = "Another sex or age class is known here, which stays."


def write(writing: Writing, reading: Reading) -> None:
    """Everything that a reading with identities holds, as steps that build on each other."""
    writing.notes.extend(reading.notes)
    writing.rows_of = reading.rows_of
    for issue in reading.issues:
        writing.issue(issue)
    with writing.whole():
        crops_settle(writing)
        stations_write(writing, reading)
        operations_write(writing, reading)
        reading = photos_take(writing, reading)
        placed = photos_write(writing, reading, keep=_says_more)
        source = writing.kind if reading.source is None else reading.source
        identities_write(writing, reading.animals, placed, source)


def _says_more(record: PhotoRecord) -> bool:
    return record.labelled or any(box.says_more for box in record.boxes)


def identities_write(
    writing: Writing, animals: tuple[AnimalRecord, ...], placed: list[Placed], source: str = ""
) -> None:
    """Match the boxes that show one animal, and call the animals as they are called there. source: of the labels
    (`label_graph.note_of`)."""
    if not placed:
        return
    groups = _groups(writing, placed)
    if not groups:
        return
    report = label_report(writing)
    naming = CatalogueNaming(writing, animals)
    labels_join(
        survey=writing.survey,
        groups=groups,
        acting_user=writing.acting_user,
        report=report,
        join_flanks=said_yes(writing, "join_flanks"),
        naming=naming,
        source=source,
        progress=lambda done, total, _: writing.progress(done, total),
    )
    labels_tell(writing, report)


def _groups(writing: Writing, placed: list[Placed]) -> Groups:
    """Boxes with their labels by animal."""
    said: dict[int, list[tuple[Label, PhotoRecord]]] = defaultdict(list)

    def take(boxes: Boxes, photo: Placed) -> None:
        for pk, label in _labelled(writing, boxes, photo):
            said[pk].append((label, photo.record))

    boxes_each(writing, placed, take)
    join = said_yes(writing, "join_flanks")
    groups: Groups = defaultdict(list)
    for pk, claims in sorted(said.items()):
        labels = {label.joined() if join else label for label, _ in claims}
        if len({label.identity for label in labels}) > 1:
            record = claims[0][1]
            names = ", ".join(sorted(title(label.identity) for label in labels))
            writing.problem("two_individuals", TWO_BOXES, row=record.row, detail=f"{record.path}: {names}"[:500])
            continue
        label = max(labels)
        groups[label.identity].append((pk, label))
    return groups


def _labelled(writing: Writing, boxes: Boxes, photo: Placed) -> list[tuple[int, Label]]:
    record = photo.record
    if writing.survey.crops_only:
        labels = {box.label for box in record.boxes if box.label} | ({record.label} if record.label else set())
        if len(labels) > 1:
            names = ", ".join(sorted(label.name for label in labels))
            writing.problem("two_individuals", TWO_BOXES, row=record.row, detail=f"{record.path}: {names}"[:500])
        row = boxes.of_photo(photo.pk, record) if len(labels) == 1 else None
        return [(row.pk, next(iter(labels)))] if row is not None else []
    found = []
    for box in record.boxes:
        row = boxes.of_box(photo.pk, record, box) if box.says_more else None
        if row is not None and box.label is not None:
            found.append((row.pk, box.label))
    if record.label is not None:
        row = boxes.of_photo(photo.pk, record)
        if row is not None:
            found.append((row.pk, record.label))
    return found


class CatalogueNaming(Naming):
    """Animals keep the codes and names of the catalogue that they come from, as far as these are free here."""

    def __init__(self, writing: Writing, animals: tuple[AnimalRecord, ...]) -> None:
        self.writing = writing
        self.population = writing.survey.population
        self.by_label = {title((animal.label, "")): animal for animal in animals}
        self.prefix = writing.options.values.get("prefix", "").strip()
        self._taken = set(Individual.objects.filter(population=self.population).values_list("number", flat=True))
        self._letters_adopt(animals)
        self._form = re.compile(re.escape(self.population.code_prefix) + r"-(\d{1,9})")

    def _letters_adopt(self, animals: tuple[AnimalRecord, ...]) -> None:
        """Let codes of a catalogue that knows no animal yet begin as those that come do, so that all can stay."""
        heads = {found[1] for animal in animals if (found := _CODE.fullmatch(animal.code))}
        if len(heads) != 1 or self.population.code_prefix in heads:
            return
        if Individual.objects.filter(population=self.population).exists():
            return
        head = heads.pop()
        population_describe(population=self.population, species=self.population.species, code_prefix=head)
        self.population.code_prefix = head
        self.writing.notes.append(f"Codes begin with {head} here from now on, as in the file.")

    def _number(self, code: str) -> int | None:
        found = self._form.fullmatch(code)
        return int(found[1]) if found else None

    def rank(self, label: str) -> int:
        """Those whose code is free here first, so that nobody new takes it."""
        animal = self.by_label.get(label)
        number = self._number(animal.code) if animal else None
        return _LAST if number is None or number in self._taken else number

    def name(
        self, individual: Individual, label: str, *, fresh: bool, acting_user: User | None, report: LabelReport
    ) -> bool:
        animal = self.by_label.get(label)
        if animal is None:
            return name_give(individual, label, acting_user, report)
        name = self._coded(individual, animal, fresh, acting_user)
        self._describe(individual, animal, acting_user)
        if not name:
            return False
        others = Individual.objects.filter(population=self.population, name=name, retired=False)
        if others.exclude(pk=individual.pk).exists():
            if self.prefix and not name.startswith(self.prefix):
                name = f"{self.prefix}{name}"[:120]
            else:
                self._tell("name_taken", SAME_NAME, animal, f"{name}: {individual.code}")
        individual.refresh_from_db()
        return name_give(individual, name[:120], acting_user, report)

    def _coded(self, individual: Individual, animal: AnimalRecord, fresh: bool, acting_user: User | None) -> str:
        """Give it its code where that is free; returns the name that it should have."""
        number = self._number(animal.code)
        if number is None:
            # A code of another form is what people know it by.
            return animal.name or animal.code
        if individual.number == number:
            if fresh:
                self.writing.count("animals_numbered")
            return animal.name
        taken = Individual.objects.filter(population=self.population, number=number).exists()
        if fresh and not taken and number:
            individual_number(acting_user=acting_user, individual=individual, number=number)
            individual.refresh_from_db()
            self.writing.count("animals_numbered")
            return animal.name
        code, words = ("code_taken", TAKEN) if fresh else ("code_differs", OTHER_CODE)
        self._tell(code, words, animal, f"{animal.code}: {individual.code}")
        if self.prefix:
            return f"{self.prefix}{animal.name or animal.code}"
        return animal.name

    def _describe(self, individual: Individual, animal: AnimalRecord, acting_user: User | None) -> None:
        individual.refresh_from_db()
        known = {"sex": individual.sex, "age_class": individual.age_class}
        said = {"sex": animal.sex, "age_class": animal.age_class}
        new = {name: value for name, value in said.items() if value and not known[name]}
        if any(value and known[name] not in ("", value) for name, value in said.items()):
            self._tell("described_otherwise", OTHER_SEX, animal, individual.code)
        if new:
            individual_describe(acting_user=acting_user, individual=individual, **new)
            self.writing.count("animals_described")

    def _tell(self, code: str, words: str, animal: AnimalRecord, detail: str) -> None:
        self.writing.problem(code, words, detail=detail[:500])
