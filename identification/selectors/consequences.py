"""What follows from taking a decision back, and what a new one collides with."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.utils.translation import gettext

from ..matching.graph import LoggedDecision, SignedGraph, fold, weakest_links
from ..models import Decision, Detection, MatchEdge, User, Verdict
from ..permissions import Action, detections_for, surveys_for
from .graph import component_of, edges_among, match_doubts

# Of one group.
PHOTOS_SHOWN = 16


@dataclass(frozen=True)
class PairShown:
    """Two detections, as far as the account may see them (None: a photo of another survey), and what stands of them."""

    a: Detection | None
    b: Detection | None
    edge: MatchEdge | None
    decision: Decision | None
    may_undo: bool

    @property
    def words(self) -> str:
        if self.edge is None or not self.edge.verdict:
            return gettext("Two animals on one photo")
        return str(Verdict(self.edge.verdict).label)


@dataclass(frozen=True)
class Clash:
    """What a verdict collides with: the forbidding pairs, and the matches that connect them.

    weakest: those of the matches that are likeliest wrong if the verdict is right.
    """

    pairs: list[PairShown]
    weakest: list[PairShown]
    path: list[PairShown]

    @property
    def others(self) -> list[PairShown]:
        return [pair for pair in self.path if pair not in self.weakest]


@dataclass(frozen=True)
class GroupLeft:
    """A group that is left: the ids of its boxes, and the first PHOTOS_SHOWN of them as rows."""

    boxes: list[int]
    photos: list[Detection]


@dataclass(frozen=True)
class UndoPreview:
    """What taking a decision back would leave.

    verdict: of its pair, '' when none stands. joined: whether matches connect the pair now. groups: what the photos of
    both sides fall into afterwards, as far as the account may see them; hidden: how many others there are.
    """

    verdict: str
    joined: bool
    before: int
    groups: list[GroupLeft]
    hidden: int

    @property
    def splits(self) -> bool:
        return self.joined and len(self.groups) > 1

    @property
    def joins(self) -> bool:
        """Whether an earlier match stands again and joins what is apart now."""
        return self.verdict == Verdict.MATCH and not self.joined

    @property
    def verdict_words(self) -> str:
        return str(Verdict(self.verdict).label) if self.verdict else ""

    @property
    def sizes(self) -> str:
        return " + ".join(str(len(group.boxes)) for group in self.groups)


def standing_decisions(edges: Iterable[MatchEdge]) -> dict[int, Decision]:
    """For each edge id the decision that its verdict comes from."""
    rows = (
        Decision.objects.filter(edge__in=list(edges), undoes__isnull=True, undone_by__isnull=True)
        .exclude(verdict=Decision.PROPOSED)
        .select_related("acting_user", "anchor__image")
        .order_by("id")
    )
    return {decision.edge_id: decision for decision in rows}


def pairs_shown(*, user: User, pairs: Collection[tuple[int, int]]) -> list[PairShown]:
    """The pairs (a < b) with what the account may see of them, in the order given. A constant number of queries."""
    ids = {pk for pair in pairs for pk in pair}
    visible = {
        detection.pk: detection
        for detection in detections_for(user)
        .filter(pk__in=ids)
        .select_related("image__station", "image__survey", "individual__population")
    }
    edges = {
        (edge.a_id, edge.b_id): edge
        for edge in MatchEdge.objects.filter(a__in=ids, b__in=ids)
        if (edge.a_id, edge.b_id) in set(pairs)
    }
    standing = standing_decisions(edges.values())
    curated = set(surveys_for(user, Action.UNDO_ANY).values_list("pk", flat=True))
    decided = set(surveys_for(user, Action.DECIDE).values_list("pk", flat=True))
    shown = []
    for pair in pairs:
        a, b, edge = visible.get(pair[0]), visible.get(pair[1]), edges.get(pair)
        decision = standing.get(edge.pk) if edge else None
        may_undo = False
        if decision is not None and a is not None and b is not None:
            surveys = {a.image.survey_id, b.image.survey_id}
            own = decision.acting_user_id == user.pk
            may_undo = surveys <= (decided if own else curated)
        shown.append(PairShown(a, b, edge, decision, may_undo))
    return shown


def clash_read(*, user: User, pairs: list[tuple[int, int]], first: Detection, second: Detection) -> Clash:
    """The forbidding pairs, and when the two are joined already, the matches in between."""
    path: list[tuple[int, int]] = []
    weakest: list[tuple[int, int]] = []
    component = component_of([first.pk])
    if second.pk in component:
        weakest = weakest_links(match_doubts(component), first.pk, second.pk)
        path = match_path(edges_among(component, Verdict.MATCH), first.pk, second.pk)
        pairs = [pair for pair in pairs if set(pair) != {first.pk, second.pk}]
    wanted = [*pairs[:20], *weakest, *path]
    shown = dict(zip(wanted, pairs_shown(user=user, pairs=wanted), strict=True))
    return Clash(*([shown[pair] for pair in group] for group in (pairs[:20], weakest, path)))


def match_path(matches: Iterable[tuple[int, int]], start: int, goal: int) -> list[tuple[int, int]]:
    """The fewest matches that connect two detections, as pairs (a < b); empty when nothing does."""
    neighbours: dict[int, list[int]] = {}
    for a, b in matches:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    came: dict[int, int] = {start: start}
    queue = deque([start])
    while queue and goal not in came:
        here = queue.popleft()
        for there in sorted(neighbours.get(here, [])):
            if there not in came:
                came[there] = here
                queue.append(there)
    path = []
    at = goal if goal in came else start
    while at != start:
        path.append((min(at, came[at]), max(at, came[at])))
        at = came[at]
    return path[::-1]


def undo_preview(*, user: User, decision: Decision) -> UndoPreview:
    """What would be left if the decision were taken back now."""
    edge = decision.edge
    log = [
        LoggedDecision(id=pk, verdict=verdict, undoes=undoes)
        for pk, verdict, undoes in edge.decisions.order_by("id").values_list("id", "verdict", "undoes_id")
    ]
    standing = fold([*log, LoggedDecision(id="undo", verdict="", undoes=decision.pk)])
    verdict = standing.verdict if standing else ""
    left = component_of([edge.a_id])
    members = left | component_of([edge.b_id])
    matches = {pair for pair in edges_among(members, Verdict.MATCH) if pair != (edge.a_id, edge.b_id)}
    if verdict == Verdict.MATCH:
        matches.add((edge.a_id, edge.b_id))
    groups = SignedGraph.of(matches).components(members)
    seen = detections_for(user).filter(pk__in=members).order_by("image__captured_at", "pk")
    visible = list(seen.values_list("pk", flat=True))
    boxes = [[pk for pk in visible if pk in group] for group in groups]
    firsts = {pk for own in boxes for pk in own[:PHOTOS_SHOWN]}
    photos = seen.filter(pk__in=firsts).select_related("image__station", "image__survey").in_bulk()
    shown = [GroupLeft(own, [photos[pk] for pk in own[:PHOTOS_SHOWN]]) for own in boxes]
    return UndoPreview(verdict, edge.b_id in left, len(visible), shown, len(members) - len(visible))


def undo_outcome(*, user: User, decision: Decision) -> str:
    """What a decision that was just taken back has left behind, in a sentence or two, in photos the account may see."""
    edge = MatchEdge.objects.get(pk=decision.edge_id)
    what = gettext("Taken back: %(verdict)s.") % {"verdict": decision.get_verdict_display()}
    if edge.verdict:
        stands = gettext("Another decision on the pair stands: %(verdict)s.") % {"verdict": Verdict(edge.verdict).label}
        return f"{what} {stands}"
    if decision.verdict != Verdict.MATCH:
        return f"{what} {gettext('The pair is open again.')}"
    left, right = component_of([edge.a_id]), component_of([edge.b_id])
    if edge.b_id in left:
        return f"{what} {gettext('Other matches still join the two photos.')}"
    if len(left) == len(right) == 1:
        return f"{what} {gettext('The two photos stand alone again.')}"
    visible = set(detections_for(user).filter(pk__in=left | right).values_list("pk", flat=True))
    apart = gettext("The individual has come apart into %(one)s + %(other)s photos.")
    return f"{what} {apart % {'one': len(left & visible), 'other': len(right & visible)}}"
