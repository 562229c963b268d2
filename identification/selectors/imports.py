"""What the pages of imports show: the kinds there are, and what came of dry runs and runs, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext, gettext_noop

from ..imports.reading import Kind
from ..imports.registry import KINDS
from ..models import ImportIssue, ImportRun, Survey

SHOWN = 8
ISSUES_SHOWN = 50

# What is counted, in the order in which it is shown. Names that are not here are shown as they are.
COUNTS = {
    "photos_matched": gettext_noop("photos of the survey found in the file"),
    "photos_new": gettext_noop("photos that come along and are new here"),
    "photos_along_known": gettext_noop("photos that come along and are here already"),
    "photos_not_in_file": gettext_noop("photos of the survey of which the file says nothing"),
    "photos_changed": gettext_noop("photos of which something new is said"),
    "photos_same": gettext_noop("photos of which all is known already"),
    "boxes_animal": gettext_noop("boxes of animals"),
    "boxes_person": gettext_noop("boxes of people"),
    "boxes_vehicle": gettext_noop("boxes of vehicles"),
    "photos_empty": gettext_noop("empty photos"),
    "photos_processed_again": gettext_noop("photos that are processed again, with the imported boxes"),
    "photos_looked_at_again": gettext_noop("photos at which the detector looks again"),
    "boxes_replaced": gettext_noop("boxes that give way"),
    "boxes_kept": gettext_noop("boxes that stay, because a person has said something of them"),
    "boxes_not_used": gettext_noop("boxes that are not used"),
    "photos_named": gettext_noop("photos with a species"),
    "boxes_named": gettext_noop("animals that get a species now, the others when they are found"),
    "species_kept": gettext_noop("animals that keep the species they have"),
    "put_aside_by_name": gettext_noop("boxes put aside because they are named another species"),
    "stations_new": gettext_noop("new stations"),
    "stations_moved": gettext_noop("photos that get another station or camera"),
    "places_set": gettext_noop("places of stations set"),
    "places_same": gettext_noop("places of stations as they were"),
    "operations_set": gettext_noop("camera operations written"),
    "operations_same": gettext_noop("camera operations as they were"),
    "operations_removed": gettext_noop("camera operations replaced"),
    "boxes_made": gettext_noop("boxes of known animals that are made"),
    "boxes_said": gettext_noop("boxes of which something more is said"),
    "animals": gettext_noop("animals named in the file"),
    "animals_matches": gettext_noop("confirmed matches made"),
    "animals_declared": gettext_noop("animals declared by a single photo"),
    "animals_named": gettext_noop("animals that get their name"),
    "animals_flanks": gettext_noop("flanks set"),
    "animals_numbered": gettext_noop("animals that keep their code"),
    "animals_described": gettext_noop("animals that get their sex or age class"),
    "matches_new": gettext_noop("confirmed matches made, as they were"),
    "matches_same": gettext_noop("matches that stand already"),
    "photos_reviewed": gettext_noop("photos that count as reviewed"),
    "embeddings_new": gettext_noop("embeddings taken over"),
    "embeddings_same": gettext_noop("embeddings that are here already"),
}
# What is no change: where nothing else is counted, an import adds nothing.
UNCHANGED = {
    *("photos_matched", "photos_not_in_file", "photos_same", "places_same", "operations_same", "animals"),
    *("species_kept", "boxes_kept", "boxes_not_used", "photos_along_known", "matches_same", "embeddings_same"),
}


@dataclass(frozen=True)
class Counted:
    number: int
    words: str


@dataclass(frozen=True)
class Shown:
    """A dry run or run with its counts and the first issues. issues: how many there are, of which so many kinds."""

    run: ImportRun
    kind: str
    counts: list[Counted]
    first: list[ImportIssue]
    issues: int
    later: ImportRun | None

    @property
    def busy(self) -> bool:
        return self.run.state in ImportRun.OPEN

    @property
    def nothing(self) -> bool:
        """Whether it is through and adds, or added, nothing."""
        return self.run.state == ImportRun.State.DONE and not set(self.run.counts) - UNCHANGED

    @property
    def may_import(self) -> bool:
        """Whether this is a dry run that can be followed by the import."""
        return self.run.dry_run and self.run.state == ImportRun.State.DONE and self.later is None and not self.nothing

    @property
    def may_discard(self) -> bool:
        return self.run.dry_run and self.run.state != ImportRun.State.RUNNING and self.later is None


def counted(run: ImportRun) -> list[Counted]:
    """The counts in words, in their order."""
    known = [Counted(run.counts[name], gettext(words)) for name, words in COUNTS.items() if run.counts.get(name)]
    return known + [
        Counted(number, name.replace("_", " ")) for name, number in run.counts.items() if name not in COUNTS
    ]


def imports_of(survey: Survey) -> QuerySet[ImportRun]:
    """Dry runs and runs, newest first; a dry run that was followed by its run is left to that."""
    followed = ImportRun.objects.filter(rehearsal=OuterRef("pk")).exclude(state=ImportRun.State.FAILED)
    return survey.import_runs.filter(~Exists(followed)).order_by("-pk")


def imports_shown(rows: Iterable[ImportRun]) -> list[Shown]:
    """Some of a survey's dry runs and runs, as a page shows them. Four queries, however many."""
    ids = [row.pk for row in rows]
    runs = ImportRun.objects.filter(pk__in=ids).select_related("requested_by", "survey").in_bulk()
    counted_issues = ImportIssue.objects.filter(run__in=ids).order_by().values("run").annotate(number=Count("pk"))
    number = dict(counted_issues.values_list("run", "number"))
    place = Window(RowNumber(), partition_by=[F("run")], order_by="pk")
    issues = ImportIssue.objects.filter(run__in=ids).annotate(place=place).filter(place__lte=ISSUES_SHOWN)
    first: dict[int, list[ImportIssue]] = defaultdict(list)
    for issue in issues.order_by("pk"):
        issue.run = runs[issue.run_id]
        first[issue.run_id].append(issue)
    standing = ImportRun.objects.filter(rehearsal__in=ids).exclude(state=ImportRun.State.FAILED).order_by("-pk")
    later = {row.rehearsal_id: row for row in standing}
    return [_shown(runs[pk], number.get(pk, 0), first[pk], later.get(pk)) for pk in ids]


def _shown(row: ImportRun, number: int, first: list[ImportIssue], later: ImportRun | None) -> Shown:
    title = gettext(KINDS[row.kind].title) if row.kind in KINDS else row.kind
    return Shown(row, title, counted(row), first, number + row.issues_left_out, later)


def kinds_offered() -> list[Kind]:
    """The kinds that a page offers, in their order."""
    return list(KINDS.values())
