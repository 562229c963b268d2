"""Contradictions: what people joined and forbade at once, animals that would have had to fly, left matched with right.

docs/decisions/0029-merge-and-split.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F
from django.utils.translation import gettext

from ..matching.graph import SignedGraph, weakest_links
from ..matching.travel import Journey
from ..models import Detection, Population, User
from ..permissions import Action, detections_for, surveys_for
from ..presenting import span_words
from .conflicts_found import (
    Group,
    deciding_populations,
    journeys_of,
    journeys_of_sound,
    mixed_groups,
    opposed_pairs,
)
from .consequences import PairShown, match_path, pairs_shown
from .graph import component_of, match_doubts

# Of one group. Each asks for the weakest link anew, and nobody reads more.
_MOST_PAIRS = 12
# Of each kind, on one page.
MOST_SHOWN = 20
PHOTOS_SHOWN = 24
# Said with one key; whatever needs more is no case for one key.
MOST_SETTLED = 40

Pair = tuple[int, int]


@dataclass(frozen=True)
class Settlement:
    """One verdict on pairs that settles a conflict. sizes: what the group falls into, '' where it stays whole.

    tokens: the pairs with the version of their edge, as the page sends them back. Empty for those who may not.
    """

    tokens: list[str]
    sizes: str = ""


@dataclass
class Conflict:
    """A component in which people both joined and forbade.

    photos: the first PHOTOS_SHOWN of photos_in_all; hidden: those of other surveys. forbidden: at most MOST_SETTLED.
    path: the matches that join each of these; weakest: those that are likeliest wrong where it is two animals.
    """

    population: Population
    photos: list[Detection]
    photos_in_all: int
    hidden: int
    forbidden: list[PairShown]
    weakest: list[PairShown]
    path: list[PairShown]
    part: Settlement
    keep: Settlement

    @property
    def kinds(self) -> list[str]:
        """What contradicts: two boxes of one photo, or a refusal within the group."""
        twice = any(pair.edge is None or not pair.edge.verdict for pair in self.forbidden)
        refused = any(pair.edge is not None and pair.edge.verdict for pair in self.forbidden)
        said = [gettext("Twice on one photo")] if twice else []
        return [*said, gettext("Refused and joined")] if refused else said

    @property
    def others(self) -> list[PairShown]:
        return [pair for pair in self.path if pair not in self.weakest]


@dataclass
class Jump:
    """Two photos of one animal that are too far apart for the time between: a warning, which changes nothing.

    kilometres: None for those who may not know places.
    """

    population: Population
    first: Detection
    second: Detection
    kilometres: int | None
    seconds: float
    weakest: list[PairShown]
    part: Settlement

    @property
    def apart(self) -> str:
        return span_words(timedelta(seconds=self.seconds))


@dataclass
class Opposed:
    """A match of a left with a right flank, which no comparison of coats can have shown."""

    population: Population
    pair: PairShown
    part: Settlement

    @property
    def weakest(self) -> list[PairShown]:
        return [self.pair]

    @property
    def estimated(self) -> bool:
        """Whether a flank is no person's word: then it may be the estimate that is wrong."""
        return not all(end is not None and end.flank_by_person for end in (self.pair.a, self.pair.b))


@dataclass
class Contradictions:
    """One page of what the conflicts page shows: of each kind the next MOST_SHOWN, and how many there are in all.

    jumps: of surveys that the account curates. page: of the kind that goes on longest.
    """

    conflicts: list[Conflict]
    conflicts_in_all: int
    jumps: list[Jump]
    jumps_in_all: int
    opposed: list[Opposed]
    opposed_in_all: int
    page: Page[Any]


@dataclass(frozen=True)
class _Chosen:
    """What one page is about, before anything of it is read but ids."""

    torn: list[Group]
    jumps: list[tuple[Population, Journey]]
    opposed: list[tuple[Population, Pair]]


def contradictions_read(*, user: User, number: str | int | None = 1) -> Contradictions:
    """A page of what contradicts in the populations in which the account decides.

    A constant number of queries, whatever there is. They read in full only the groups that the page is about.
    """
    populations = deciding_populations(user)
    mixed = mixed_groups(user=user, populations=populations)
    torn, mixed_jumps = mixed.torn, journeys_of(user=user, groups=mixed.groups)
    opposed = opposed_pairs(user=user)
    asked = str(number or "")
    wanted = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 1
    while True:
        start = (max(wanted, 1) - 1) * MOST_SHOWN
        jumps = mixed_jumps[start : start + MOST_SHOWN]
        others, more = journeys_of_sound(
            user=user,
            populations=populations,
            apart=mixed.individuals,
            start=max(0, start - len(mixed_jumps)),
            most=MOST_SHOWN - len(jumps),
        )
        totals = len(torn), len(mixed_jumps) + more, opposed.count()
        page = Paginator(range(max(totals)), MOST_SHOWN).get_page(wanted)
        if page.number == max(wanted, 1):
            break
        wanted = page.number
    rows = opposed.values_list("a_id", "b_id", "a__image__survey__population")[start : start + MOST_SHOWN]
    chosen = _Chosen(
        torn[start : start + MOST_SHOWN], jumps + others, [(populations[home], (a, b)) for a, b, home in rows]
    )
    conflicts, shown_jumps, shown_opposed = _shown(user, chosen)
    return Contradictions(conflicts, totals[0], shown_jumps, totals[1], shown_opposed, totals[2], page)


class _Groups:
    """The groups that a page is about: their matches with how doubtful each is, and their photos that are visible."""

    def __init__(self, user: User, chosen: _Chosen) -> None:
        ends = {pk for group in chosen.torn for pk in group.members}
        ends |= {journey.first for _, journey in chosen.jumps} | {pair[0] for _, pair in chosen.opposed}
        self.members = component_of(ends) if ends else frozenset()
        doubts = match_doubts(self.members)
        self._graph = SignedGraph.of(doubts)
        self._doubts: dict[int, dict[Pair, float]] = {}
        for pair, wrong in doubts.items():
            self._doubts.setdefault(self._graph.root(pair[0]), {})[pair] = wrong
        self._of = {self._graph.root(min(part)): part for part in self._graph.components(self.members)}
        at = F("image__captured_at").asc(nulls_last=True)
        seen = detections_for(user).filter(pk__in=self.members).order_by(at, "pk")
        self._visible = list(seen.values_list("pk", flat=True))

    def around(self, photo: int) -> frozenset[int]:
        return self._of[self._graph.root(photo)]

    def doubts(self, photo: int) -> Mapping[Pair, float]:
        """Of every match in the group of the photo."""
        return self._doubts.get(self._graph.root(photo), {})

    def visible(self, photo: int) -> list[int]:
        """Of the group of the photo, in the order of their times."""
        group = self.around(photo)
        return [pk for pk in self._visible if pk in group]

    def sizes(self, photo: int, cut: Collection[Pair]) -> str:
        """What the group falls into without the matches of the cut, in photos that the account may see."""
        left = SignedGraph.of(pair for pair in self.doubts(photo) if pair not in cut)
        visible = set(self.visible(photo))
        parts = [len(group & visible) for group in left.components(self.around(photo))]
        return " + ".join(str(size) for size in sorted(parts, reverse=True) if size)


def _shown(user: User, chosen: _Chosen) -> tuple[list[Conflict], list[Jump], list[Opposed]]:
    groups = _Groups(user, chosen)
    forbidden = {group: sorted(group.forbidden)[:MOST_SETTLED] for group in chosen.torn}
    weak = {group: _weakest(groups.doubts(min(group.members)), pairs) for group, pairs in forbidden.items()}
    paths = {group: _paths(groups.doubts(min(group.members)), pairs) for group, pairs in forbidden.items()}
    links = {j: set(weakest_links(groups.doubts(j.first), j.first, j.second)) for _, j in chosen.jumps}
    opposed = [pair for _, pair in chosen.opposed]
    wanted = sorted({*opposed}.union(*forbidden.values(), *weak.values(), *paths.values(), *links.values()))
    shown = dict(zip(wanted, pairs_shown(user=user, pairs=wanted), strict=True))
    strips = {group: groups.visible(min(group.members)) for group in chosen.torn}
    ends = {pk for journey in links for pk in (journey.first, journey.second)}
    photos = _photos(user, ends.union(*(strip[:PHOTOS_SHOWN] for strip in strips.values())))
    curated = set(surveys_for(user, Action.CURATE).values_list("pk", flat=True))

    def parting(photo: int, cut: Collection[Pair]) -> Settlement:
        return Settlement(_tokens([shown[pair] for pair in sorted(cut)], curated), groups.sizes(photo, cut))

    conflicts = [
        Conflict(
            population=group.population,
            photos=[photos[pk] for pk in strips[group][:PHOTOS_SHOWN]],
            photos_in_all=len(strips[group]),
            hidden=len(group.members) - len(strips[group]),
            forbidden=[shown[pair] for pair in pairs],
            weakest=[shown[pair] for pair in sorted(weak[group])],
            path=[shown[pair] for pair in sorted(paths[group])],
            part=parting(min(group.members), weak[group]),
            keep=Settlement(
                _tokens([shown[pair] for pair in pairs], curated) if len(pairs) == len(group.forbidden) else []
            ),
        )
        for group, pairs in forbidden.items()
    ]
    steps = {j: ([shown[p] for p in sorted(links[j])], parting(j.first, links[j])) for j in links}
    matched = [Opposed(home, shown[pair], parting(pair[0], {pair})) for home, pair in chosen.opposed]
    return conflicts, _jumps(user, chosen.jumps, steps, photos), matched


def _tokens(pairs: list[PairShown], curated: Collection[int]) -> list[str]:
    """What the page sends back to settle the pairs; empty where one is not the account's to settle, or no decision."""
    tokens = []
    for pair in pairs:
        if pair.edge is None or not pair.edge.verdict or pair.a is None or pair.b is None:
            return []
        if not {pair.a.image.survey_id, pair.b.image.survey_id} <= set(curated):
            return []
        tokens.append(f"{pair.edge.a_id}-{pair.edge.b_id}-{pair.edge.version}")
    return tokens if len(tokens) <= MOST_SETTLED else []


def _jumps(
    user: User,
    journeys: Iterable[tuple[Population, Journey]],
    steps: Mapping[Journey, tuple[list[PairShown], Settlement]],
    photos: Mapping[int, Detection],
) -> list[Jump]:
    """The journeys whose photos the account may see, with the distance where it may know both places."""
    placed = set(surveys_for(user, Action.SEE_PLACES).values_list("pk", flat=True))
    jumps = []
    for population, journey in journeys:
        if journey.first in photos and journey.second in photos:
            first, second = photos[journey.first], photos[journey.second]
            tells = {first.image.survey_id, second.image.survey_id} <= placed
            kilometres = round(journey.kilometres) if tells else None
            jumps.append(Jump(population, first, second, kilometres, journey.seconds, *steps[journey]))
    return jumps


def _photos(user: User, ids: Collection[int]) -> dict[int, Detection]:
    rows = detections_for(user).filter(pk__in=ids)
    return {row.pk: row for row in rows.select_related("image__station", "image__survey", "individual__population")}


def _weakest(doubts: Mapping[Pair, float], pairs: Collection[Pair]) -> set[Pair]:
    return {link for a, b in sorted(pairs)[:_MOST_PAIRS] for link in weakest_links(doubts, a, b)}


def _paths(inside: Collection[Pair], pairs: Collection[Pair]) -> set[Pair]:
    return {edge for a, b in pairs for edge in match_path(inside, a, b)}
