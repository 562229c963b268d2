"""Joining one animal of a sorted archive: its photos become confirmed matches, it is named, its flanks are set.

Of an animal with many photos some are joined at a time, each in a transaction of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from ..matching.labels import Identity, Label, title
from ..models import Detection, Individual, Survey, User
from .annotation import detection_annotate
from .audit import audit_record
from .individuals import individual_declare, individual_rename, population_lock
from .label_graph import IMPORTED, labelled_join

# Photos of one animal in one transaction.
_PIECE = 20

Members = list[tuple[int, Label]]
Groups = dict[Identity, Members]


@dataclass
class LabelReport:
    """What came of an import. told: sentences about what was left alone and why. kept: called with the numbers so far
    at the end of each transaction."""

    photos: int = 0
    animals: int = 0
    matches: int = 0
    declared: int = 0
    named: int = 0
    flanks: int = 0
    told: list[str] = field(default_factory=list)
    kept: Callable[[LabelReport], None] = lambda report: None


class Naming:
    """How the animals of an archive are called here: as they are there."""

    def rank(self, label: str) -> int:
        """Those of a lower rank come first."""
        return 0

    def name(
        self, individual: Individual, label: str, *, fresh: bool, acting_user: User | None, report: LabelReport
    ) -> bool:
        """Name an individual; returns whether it was named now. fresh: it was made in this transaction."""
        return name_give(individual, label, acting_user, report)


class Animal:
    """One animal of an archive that is joined."""

    def __init__(
        self,
        survey: Survey,
        identity: Identity,
        known: Mapping[int, Identity],
        acting_user: User | None,
        report: LabelReport,
        naming: Naming,
        source: str,
    ) -> None:
        self.survey, self.name, self.known, self.source = survey, title(identity), known, source
        self.acting_user, self.report, self.naming = acting_user, report, naming
        self.joined: list[Detection] = []
        self.kept: set[int] = set()
        self.met: set[int] = set()

    def join(self, members: Members) -> None:
        self.report.animals += 1
        labels = dict(members)
        for piece, last in _pieces(members):
            with transaction.atomic():
                self._piece([*((row.pk, labels[row.pk]) for row in _each_side(self.joined)), *piece], last)
                self.report.kept(self.report)

    def _piece(self, members: Members, last: bool) -> None:
        """members: those of an earlier piece first, one of each flank."""
        population_lock(self.survey.population_id)
        newest = Individual.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        rows = Detection.objects.in_bulk([pk for pk, _ in members])
        flanks, kept = _set_flanks(rows, members, self.acting_user, self.report)
        self.kept.update(kept)
        fresh = Detection.objects.select_related("image__survey").filter(pk__in=kept).order_by("pk")
        decisions, joined = labelled_join(
            list(fresh), self.name, self.known, self.acting_user, self.report.told, self.source
        )
        self.joined = joined or self.joined
        declared = named = False
        individual = None
        if joined:
            first = joined[0]
            first.refresh_from_db()
            if first.individual is None and last and len(self.kept) == 1:
                individual_declare(acting_user=self.acting_user, detection=first)
                first.refresh_from_db()
                declared = True
            individual = first.individual
            named = individual is not None and self._name(individual, newest)
        self._report(individual, [decision.pk for decision in decisions], declared, named, flanks)

    def _name(self, individual: Individual, newest: int) -> bool:
        if individual.pk in self.met:
            return False
        self.met.add(individual.pk)
        return self.naming.name(
            individual, self.name, fresh=individual.pk > newest, acting_user=self.acting_user, report=self.report
        )

    def _report(
        self, individual: Individual | None, decisions: list[int], declared: bool, named: bool, flanks: dict[int, str]
    ) -> None:
        self.report.matches += len(decisions)
        self.report.declared += declared
        self.report.named += named
        self.report.flanks += len(flanks)
        if decisions or declared or named or flanks:
            audit_record(
                acting_user=self.acting_user,
                action=IMPORTED,
                target=individual or self.survey,
                survey=self.survey,
                before={"flanks": {str(pk): flank for pk, flank in flanks.items()}},
                after={
                    "label": self.name,
                    "decisions": decisions,
                    "declared": individual.pk if individual and declared else None,
                    "named": individual.pk if individual and named else None,
                    "name": individual.name if individual and named else "",
                },
            )


def _pieces(members: Members) -> Iterator[tuple[Members, bool]]:
    """Some photos at a time, those that are one animal here already first; and whether they are the last."""
    if len(members) > _PIECE:
        ids = [pk for pk, _ in members]
        stands = dict(Detection.objects.filter(pk__in=ids).values_list("pk", "individual"))
        size = Counter(individual for individual in stands.values() if individual is not None)
        members = sorted(members, key=lambda one: (-size[stands[one[0]]], stands[one[0]] or 0, one[0]))
    for start in range(0, len(members), _PIECE):
        yield members[start : start + _PIECE], start + _PIECE >= len(members)


def _each_side(joined: list[Detection]) -> list[Detection]:
    """The first of each flank, to which others of it are matched."""
    first: dict[str, Detection] = {}
    for row in joined:
        first.setdefault(row.flank, row)
    return list(first.values())


def _set_flanks(
    rows: dict[int, Detection], members: Members, acting_user: User | None, report: LabelReport
) -> tuple[dict[int, str], list[int]]:
    """Former flanks of those that were set, and the detections that go on. A person's other word stands."""
    former, kept = {}, []
    anew: dict[str, list[Detection]] = defaultdict(list)
    for pk, label in members:
        row = rows[pk]
        if label.flank and row.flank_by_person and row.flank != label.flank:
            report.told.append(
                f"{row.image.relative_path}: the truth says {label.flank} flank and a person {row.flank}; left alone."
            )
            continue
        kept.append(pk)
        if label.flank and not row.flank_by_person:
            former[pk] = row.flank
            anew[label.flank].append(row)
    for flank, own in sorted(anew.items()):
        detection_annotate(acting_user=acting_user, detections=own, flank=flank)
    return former, kept


def name_give(individual: Individual, name: str, acting_user: User | None, report: LabelReport) -> bool:
    """Name an individual that has no name yet; one that it has stays and is told."""
    if individual.name == name:
        return False
    if individual.name:
        report.told.append(f"{individual.code} is called {individual.name} already and keeps that name; here {name}.")
        return False
    individual_rename(acting_user=acting_user, individual=individual, name=name)
    return True
