"""Pairs that could be asked as checks, kept in memory for each survey, so that a request looks at a few of them.

What is kept is wide: the edges whose decision waits for a second opinion, and those whose truth may be known. Whether
one can be asked of a reviewer now, the database says, for a few at a time. Read whole once in each process, then only
what newer decisions and opinions have touched. docs/decisions/0033.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from django.db import connection
from django.db.models import CharField, Count, Exists, Func, Max, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Left
from django.utils.crypto import salted_hmac

from ..models import Adjudication, Decision, MatchEdge, Opinion, Provenance, Survey, User, Verdict
from ..permissions import curators_of
from .opinions import standing_decisions, standing_opinions
from .review_reading import last_decision

# Surveys kept in a process, the ones asked for last.
KEPT = 12
# Where more edges than this were touched at once, everything is read again.
_FOLLOWED = 2000
# What could not be asked of somebody is not looked at for her again before so many seconds.
_PASSED_OVER = 600.0
# What was found for somebody is offered so many seconds without asking again, while nothing new is said of it.
_OFFERED = 60.0
_OFFERS_KEPT = 2000
_DEFINITE = (Verdict.MATCH, Verdict.NO_MATCH)
Pair = tuple[int, int]


class HasPair(Protocol):
    """Anything that asks about a pair."""

    @property
    def pair(self) -> Pair: ...


Offer = TypeVar("Offer", bound=HasPair)


_GLANCE = """
SELECT (SELECT max(id) FROM identification_decision), (SELECT max(id) FROM identification_opinion),
       pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())
"""


class Edges:
    """Pairs of boxes by the id of their edge, in the order of these ids."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self.pairs: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[tuple[int, Pair]]:
        return ((edge, self.pairs[edge]) for edge in self._ids)

    def put(self, edge: int, pair: Pair) -> None:
        if edge not in self.pairs:
            insort(self._ids, edge)
        self.pairs[edge] = pair

    def drop(self, edge: int) -> None:
        if self.pairs.pop(edge, None) is not None:
            del self._ids[bisect_left(self._ids, edge)]

    def around(self, start: float) -> Iterator[int]:
        """All, from this part (0…1) of them on and then those before it."""
        at = int(start * len(self._ids))
        return chain(islice(self._ids, at, None), islice(self._ids, at))


@dataclass
class Pool:
    """What one survey could ask. Hold it (`pool_of`) while reading.

    wanted: by who decided, edges whose decision waits for a second opinion; drawn: the share and secret that they were
    drawn with, None before they are read. known: by truth, edges that may be known; labelled: matches of an archive;
    curators: whose decisions count as known, None before they are read. decision, opinion: the last that were followed.
    """

    survey: int
    population: int
    decision: int
    opinion: int
    wanted: dict[int, Edges] = field(default_factory=lambda: defaultdict(Edges))
    drawn: tuple[float, str] | None = None
    known: dict[str, Edges] = field(default_factory=lambda: defaultdict(Edges))
    labelled: Edges = field(default_factory=Edges)
    curators: frozenset[int] | None = None
    _passed: dict[tuple[int, str], tuple[float, set[int]]] = field(default_factory=dict)
    _said: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    _offers: dict[tuple[int, str], tuple[float, list[Any]]] = field(default_factory=dict)

    # ---- what could be asked ----
    def waiting(self, user: User, survey: Survey, *, without: Collection[Pair], most: int) -> list[int]:
        """Edges on which somebody else's decision waits for a second opinion, the oldest first."""
        drawn = survey.second_review_share, _secret(survey)
        if self.drawn != drawn:
            self.wanted.clear()
            self._read_wanted(survey)
            self.drawn = drawn
        others = [edges for who, edges in self.wanted.items() if who != user.pk]
        free = (edge for edge, pair in merge(*others) if pair not in without)
        return self._first(free, user, "second", sum(map(len, others)), most)

    def could_be_known(self, user: User, survey: Survey, truth: str, *, start: float, most: int) -> list[int]:
        """Edges that may be known to have this truth, from a part (0…1) of them on."""
        self._know(survey)
        edges = self.known[truth]
        return self._first(edges.around(start), user, truth, len(edges), most)

    def labels(self, user: User, survey: Survey, *, start: float, most: int) -> dict[int, Pair]:
        """Matches that an archive's labels made, from a part (0…1) of them on."""
        self._know(survey)
        found = self._first(self.labelled.around(start), user, "labelled", len(self.labelled), most)
        return {edge: self.labelled.pairs[edge] for edge in found}

    def pass_over(self, user: User, what: str, edges: Iterable[int]) -> None:
        """Leave these out for a while: they cannot be asked of her. what: "second", a truth, or "labelled"."""
        self._passed_over(user, what).update(edges)

    def offers(
        self, user: User, what: str, without: Collection[Pair], find: Callable[[], list[Offer] | None]
    ) -> list[Offer]:
        """What could be asked of her, as it was found a moment ago; found now where none of that is left.

        what: "second", or the place of a known pair among her questions. without: pairs that cannot be asked now. find:
        None where nothing was found now, and something may be the next time.
        """
        now = time.monotonic()
        until, found = self._offers.get((user.pk, what), (0.0, []))
        free = [one for one in found if one.pair not in without]
        if now >= until or (found and not free):
            if len(self._offers) >= _OFFERS_KEPT:
                self._offers.clear()
            if (anew := find()) is None:
                return []
            self._offers[user.pk, what] = now + _OFFERED, anew
            free = [one for one in anew if one.pair not in without]
        return free

    def forget_offers(self, user: User) -> None:
        """Find anew what could be asked of her."""
        self._offers = {key: found for key, found in self._offers.items() if key[0] != user.pk}

    def said(self, user: User) -> int:
        """How much somebody has said in the survey so far; grows by one with every answer and every step back."""
        number, *after = self._said.get(user.pk, (0, 0, 0))
        decided = Decision.objects.filter(acting_user=user, anchor__image__survey=self.survey, pk__gt=after[0])
        opined = Opinion.objects.filter(user=user, survey=self.survey, pk__gt=after[1]).exclude(kind=Opinion.Kind.SEEN)
        for place, rows in enumerate((decided, opined)):
            more = rows.aggregate(number=Count("pk"), last=Max("pk"))
            number += more["number"]
            after[place] = more["last"] or after[place]
        self._said[user.pk] = number, after[0], after[1]
        return number

    def _first(self, edges: Iterable[int], user: User, what: str, size: int, most: int) -> list[int]:
        if size <= most:
            return list(edges)
        passed = self._passed_over(user, what)
        return list(islice((edge for edge in edges if edge not in passed), most))

    def _passed_over(self, user: User, what: str) -> set[int]:
        until, passed = self._passed.get((user.pk, what), (0.0, set()))
        if time.monotonic() >= until:
            passed = set()
            self._passed[user.pk, what] = time.monotonic() + _PASSED_OVER, passed
        return passed

    # ---- following ----
    def follow(self, survey: Survey, newest: tuple[int | None, int | None, bool]) -> None:
        """Read again what newer decisions and opinions have touched. newest: their last ids, and whether nobody writes.

        Both are numbered in the order of their commits within a population, whose lock is held; ids of others are
        passed by only while nothing is being written.
        """
        decision, opinion, quiet = newest
        decided = Decision.objects.filter(pk__gt=self.decision, edge__a__image__survey__population=self.population)
        opined = Opinion.objects.filter(pk__gt=self.opinion, survey__population=self.population)
        touched: dict[int | None, Pair] = {}
        pairs: set[Pair] = set()
        if (decision or 0) > self.decision:
            rows = list(decided.values_list("pk", "edge_id", "edge__a_id", "edge__b_id"))
            self.decision = decision if quiet and decision else max((row[0] for row in rows), default=self.decision)
            touched |= {edge: (a, b) for _, edge, a, b in rows}
        if (opinion or 0) > self.opinion:
            said = list(opined.values_list("pk", "decision__edge_id", "a_id", "b_id", "withdraws"))
            self.opinion = opinion if quiet and opinion else max((row[0] for row in said), default=self.opinion)
            touched |= {row[1]: (row[2], row[3]) for row in said}
            pairs = {(row[2], row[3]) for row in said}
            if any(row[4] for row in said):
                # It is to be asked again, perhaps before what is offered.
                self._offers.clear()
        edges = {edge for edge in touched if edge is not None}
        self._withdraw_offers(pairs | set(touched.values()))
        if len(edges) > _FOLLOWED:
            self.drawn = self.curators = None
        elif edges:
            self._take_in(survey, edges)

    def _withdraw_offers(self, pairs: set[Pair]) -> None:
        """Offer none of these any more without asking whether they can be."""
        for key, (until, found) in list(self._offers.items()) if pairs else ():
            kept = [one for one in found if one.pair not in pairs]
            if found and not kept:
                del self._offers[key]
            else:
                self._offers[key] = until, kept

    def _take_in(self, survey: Survey, touched: set[int]) -> None:
        for edges in (*self.wanted.values(), *self.known.values(), self.labelled):
            for edge in touched:
                edges.drop(edge)
        for _, passed in self._passed.values():
            passed -= touched
        gained = 0
        if self.drawn is not None:
            gained += self._read_wanted(survey, touched)
        if self.curators is not None:
            gained += self._read_known(survey, touched)
        if gained:
            # There is something for those for whom nothing was found.
            self._offers = {key: offer for key, offer in self._offers.items() if offer[1]}

    def _know(self, survey: Survey) -> None:
        curators = frozenset(curators_of(survey).values_list("pk", flat=True))
        if self.curators != curators:
            self.known.clear()
            self.labelled = Edges()
            self.curators = curators
            self._read_known(survey)

    def _read_wanted(self, survey: Survey, some: Collection[int] | None = None) -> int:
        rows = seconds_wanted(survey=survey).order_by()
        if some is not None:
            rows = rows.filter(edge__in=some)
        found = list(rows.values_list("edge_id", "edge__a_id", "edge__b_id", "acting_user_id"))
        for edge, a, b, who in found:
            self.wanted[who].put(edge, (a, b))
        return len(found)

    def _read_known(self, survey: Survey, some: Collection[int] | None = None) -> int:
        said = Decision.objects.filter(edge=OuterRef("pk"), undoes__isnull=True, acting_user__in=self.curators or ())
        second = Opinion.objects.filter(kind=Opinion.Kind.SECOND, decision__edge=OuterRef("pk"))
        rows = MatchEdge.objects.filter(
            Q(a__image__survey=survey) | Q(b__image__survey=survey),
            Q(provenance=Provenance.IMPORTED) | Exists(said) | Exists(second),
            verdict__in=_DEFINITE,
        )
        if some is not None:
            rows = rows.filter(pk__in=some)
        found = list(rows.values_list("pk", "a_id", "b_id", "verdict", "provenance"))
        for edge, a, b, verdict, provenance in found:
            self.known[verdict].put(edge, (a, b))
            if verdict == Verdict.MATCH and provenance == Provenance.IMPORTED:
                self.labelled.put(edge, (a, b))
        return len(found)


# ---- keeping ----
@dataclass
class _Place:
    lock: threading.RLock = field(default_factory=threading.RLock)
    pool: Pool | None = None
    held: bool = False


_kept: OrderedDict[tuple[str, int], _Place] = OrderedDict()
_keeping = threading.Lock()


@contextmanager
def pool_of(survey: Survey) -> Iterator[Pool]:
    """The pairs of a survey as they stand now, locked for the caller. Hold it for small queries only."""
    key = (str(connection.settings_dict["NAME"]), survey.pk)
    with _keeping:
        place = _kept.setdefault(key, _Place())
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    with place.lock:
        outermost = not place.held
        if outermost:
            place.pool = _current(place.pool, survey)
        place.held = True
        try:
            assert place.pool is not None
            yield place.pool
        finally:
            place.held = not outermost


def _current(pool: Pool | None, survey: Survey) -> Pool:
    with connection.cursor() as cursor:
        cursor.execute(_GLANCE)
        newest = cursor.fetchone()
    if pool is None:
        decision, opinion, quiet = newest
        if not quiet:
            # What is being written in this population has higher ids than these, if not than those of others.
            decision = last_decision(survey.population_id)
            opinion = Opinion.objects.filter(survey__population=survey.population_id).aggregate(last=Max("pk"))["last"]
        return Pool(survey.pk, survey.population_id, decision or 0, opinion or 0)
    pool.follow(survey, newest)
    return pool


# ---- what waits for a second opinion ----
def seconds_wanted(*, survey: Survey) -> QuerySet[Decision]:
    """Decisions on the survey's photos that wait for somebody's second opinion, the oldest first."""
    judged = standing_opinions().filter(kind=Opinion.Kind.SECOND, decision=OuterRef("pk"))
    rows = (
        standing_decisions()
        .filter(
            anchor__image__survey=survey,
            verdict__in=_DEFINITE,
            provenance=Provenance.REVIEWER,
            acting_user__isnull=False,
        )
        .exclude(Exists(judged))
        .exclude(Exists(Adjudication.objects.filter(decision=OuterRef("pk"))))
    )
    return _share_of_pairs(rows, survey, survey.second_review_share).order_by("pk")


def _share_of_pairs(rows: QuerySet[Decision], survey: Survey, share: float) -> QuerySet[Decision]:
    """Those whose pair is drawn for a second opinion."""
    if share >= 1:
        return rows
    text = [Value(_secret(survey)), Cast("edge__a_id", CharField()), Value(":"), Cast("edge__b_id", CharField())]
    drawn = Left(Func(Concat(*text, output_field=CharField()), function="md5", output_field=CharField()), 8)
    return rows.annotate(drawn=drawn).filter(drawn__lt=f"{int(share * 16**8):08x}")


def _secret(survey: Survey) -> str:
    return salted_hmac("spotid.second", str(survey.pk), algorithm="sha256").hexdigest()
