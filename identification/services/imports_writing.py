"""What a writer of imports is given: where to, how, and where to say what happened.

A writer does everything in steps, `with writing.step():`. In a run each step is one transaction that stays; in a dry
run it is taken back at its end, so that a dry run does and counts exactly what the run will do, step by step, and
nothing is left of it. Who reviews waits for a step: make it short. What a step of a dry run made is gone for the next
one; steps that need what others made stand within `with writing.whole():`, where a dry run works on a copy
(`imports_copy`). Work is put on the queue, and files are written, by `transaction.on_commit` alone.

A run that is killed is gone on with, and finds what it has done. What its steps have done is therefore written down
with each of them, under the claim's fence, and added up over the attempts: count within the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.db import transaction

from .. import permissions
from ..imports.reading import Issue, Options
from ..models import Survey, User
from ..permissions import Action
from .imports_copy import population_copied

MOST_ISSUES = 10_000
# Counted of the whole file by each attempt, so that the last one's number stands; with what an earlier one did, which
# this one finds as it is.
_ANEW = {
    "photos_matched": "",
    "photos_not_in_file": "",
    "animals": "",
    "photos_same": "photos_changed",
    "photos_along_known": "photos_new",
    "places_same": "places_set",
    "operations_same": "operations_set",
    "matches_same": "matches_new",
    "embeddings_same": "embeddings_new",
}


@dataclass
class Writing:
    """One import into one survey. acting_user: None for the command line, which may everything.

    file: as it was called where it comes from. stored: as it is called here.

    counts: what was done, or would be, under the names that pages and the command show (`photos_matched`, …); in
    their order of first use. issues: what could not be used, the first `MOST_ISSUES` of them. keep_in: where photos
    that come along are kept, where what was sent is deleted afterwards; None: they stay where they are. kind: the code
    of the kind of import. rows_of: the file in which rows of photos are counted, where it is another. before: what
    earlier attempts have done. keep: writes down, in the running transaction, what has been done; raises LeaseLost.
    """

    survey: Survey
    acting_user: User | None
    dry_run: bool
    options: Options
    file: str = ""
    stored: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: int = 0
    tell: Callable[[int, int], None] | None = None
    keep_in: Path | None = None
    kind: str = ""
    rows_of: str = ""
    before: Counter[str] = field(default_factory=Counter)
    keep: Callable[[dict[str, int]], None] | None = None
    _one: bool = False

    def count(self, name: str, number: int = 1) -> None:
        self.counts[name] += number

    def issue(self, issue: Issue) -> None:
        if issue.file and issue.file == self.stored:
            issue = replace(issue, file=self.file)
        if len(self.issues) < MOST_ISSUES:
            self.issues.append(issue)
        else:
            self.left_out += 1

    def problem(self, code: str, words: str, *, row: int | None = None, detail: str = "") -> None:
        """An issue of the file itself."""
        self.issue(Issue(code, words, self.file if row is None else self.rows_of or self.file, row, detail))

    def progress(self, done: int, total: int) -> None:
        """Renews the claim of the run; raises LeaseLost when somebody else has taken over."""
        if self.tell is not None:
            self.tell(done, total)

    @contextmanager
    def step(self) -> Iterator[None]:
        """One transaction; in a dry run nothing of it stays."""
        with transaction.atomic():
            yield
            if self.dry_run and not self._one:
                transaction.set_rollback(True)
            else:
                self.kept()

    def kept(self, **more: int) -> None:
        """At the end of a transaction that stays: what has been done, and more that is not counted yet."""
        if self.keep is not None and not self.dry_run:
            done = self.before + self.counts + Counter(more)
            self.keep({name: number for name, number in done.items() if name not in _ANEW})

    def total(self) -> dict[str, int]:
        """What was done in all, and what stands in the file, as if it had been done at once."""
        found = self.before + self.counts
        for name, done in _ANEW.items():
            found[name] = max(0, self.counts[name] - self.before[done])
        return {name: number for name, number in found.items() if number}

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Steps that build on each other: in a dry run they see one another, on a copy of the population's rows, for
        which nobody waits."""
        if not self.dry_run or self._one:
            yield
            return
        with population_copied(self.survey.population, lambda: self.progress(0, 0)):
            self._one = True
            try:
                yield
            finally:
                self._one = False

    @property
    def may_place(self) -> bool:
        """Whether who imports may know exact places, and so set them."""
        return self.acting_user is None or permissions.may(self.acting_user, Action.SEE_PLACES, self.survey)
