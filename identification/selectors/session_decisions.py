"""What a reviewer decided in a survey, the last first, each with what would follow if it were taken back now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext, ngettext

from ..matching.graph import LoggedDecision, SignedGraph, fold
from ..models import Decision, Detection, Opinion, Remark, Survey, User, Verdict
from ..permissions import detections_for
from .graph import component_matches
from .joins import answered_proposal
from .opinions import standing_opinions
from .remarks import remark_follows, remark_words, standing_remarks

SHOWN = 30
# A glance confirms at most 200 pairs.
_ROWS = SHOWN + 220
# What the words of an animal are made of.
_NAMED = [f"individual__{name}" for name in ("number", "name", "population__code_prefix")]


@dataclass(frozen=True)
class OwnDecision:
    """One answer that stands; of a glance the last one stands for all.

    decision: or the answer to a check, which to her is one like any other, or what she said of one photo (a). a, b: the
    photos, None where there is none, or one of a survey that the account does not see any more. together: how many were
    confirmed at once. words: what follows from taking it back. asks: whether that is to be asked before it is done,
    because more than the two photos are concerned.
    """

    decision: Decision | Opinion | Remark
    a: Detection | None
    b: Detection | None
    together: int
    words: str
    asks: bool

    @property
    def by_key(self) -> bool:
        """Whether it is taken back by its key; a decision is by its id."""
        return not isinstance(self.decision, Decision)

    @property
    def remark(self) -> bool:
        return isinstance(self.decision, Remark)

    @property
    def said(self) -> str:
        """What she said, in words."""
        if isinstance(self.decision, Remark):
            return remark_words(self.decision)
        if self.together == 1:
            return str(self.decision.get_verdict_display())
        if self.decision.verdict == Verdict.NO_MATCH:
            words = ngettext("%(n)s refusal", "%(n)s refusals", self.together)
        else:
            words = ngettext("%(n)s match", "%(n)s matches", self.together)
        return words % {"n": self.together}


def own_decisions(*, user: User, survey: Survey, most: int = SHOWN, remarks: bool = True) -> list[OwnDecision]:
    """The last standing decisions of the account in a survey. As many queries for thirty as for one.

    remarks: with what she said of photos from questions.
    """
    rows = (
        Decision.objects.filter(
            acting_user=user, undoes__isnull=True, undone_by__isnull=True, anchor__image__survey=survey
        )
        .exclude(answered_proposal())
        .select_related("edge")
        .order_by("-id")
    )
    steps: dict[object, list[Decision]] = {}
    found = list(rows[:most])
    if any(row.batch for row in found):
        # All that were confirmed in the same glance are read, too.
        found = list(rows[:_ROWS])
    for row in found:
        key = row.batch or row.pk
        if key not in steps and len(steps) == most:
            break
        steps.setdefault(key, []).append(row)
    read = _own_opinions(user, survey, most)
    if remarks:
        read += _own_remarks(user, survey, most)
    if steps:
        graph = _Graph(user, [row for step in steps.values() for row in step], listed=most > 1)
        read += [graph.read(step) for step in steps.values()]
    return sorted(read, key=lambda own: own.decision.created_at, reverse=True)[:most]


def _own_remarks(user: User, survey: Survey, most: int) -> list[OwnDecision]:
    rows = list(standing_remarks(user=user, survey=survey)[:most])
    if not rows:
        return []
    boxes = detections_for(user).filter(pk__in={row.detection_id for row in rows}).order_by()
    visible = {box.pk: box for box in boxes.select_related("image__station", "image__survey")}
    return [
        OwnDecision(row, visible.get(row.detection_id), None, 1, remark_follows(row), False)
        for row in rows
        if row.detection_id in visible
    ]


def _own_opinions(user: User, survey: Survey, most: int) -> list[OwnDecision]:
    if not Opinion.objects.filter(user=user, survey=survey).exists():
        # So it is where nothing is checked; what stands of them takes longer to ask.
        return []
    rows = standing_opinions().filter(user=user, survey=survey, verdict__in=Verdict.values).order_by("-pk")[:most]
    opinions = list(rows)
    if not opinions:
        return []
    ends = detections_for(user).filter(pk__in={end for row in opinions for end in (row.a_id, row.b_id)})
    visible = {box.pk: box for box in ends.select_related("image__station", "image__survey")}
    return [
        OwnDecision(row, visible.get(row.a_id), visible.get(row.b_id), 1, gettext("The pair is open again."), False)
        for row in opinions
    ]


class _Graph:
    """The components that decisions touch, read once for all of them."""

    def __init__(self, user: User, decisions: list[Decision], *, listed: bool) -> None:
        members, found = component_matches({end for row in decisions for end in (row.edge.a_id, row.edge.b_id)})
        self.matches: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self.members: dict[int, set[int]] = defaultdict(set)
        self.now = SignedGraph.of(found)
        for member in members:
            self.members[self.now.root(member)].add(member)
        for a, b in found:
            self.matches[self.now.root(a)].add((a, b))
        self._boxes = detections_for(user)
        self._everyone = members
        # Of a group of hundreds only the photos that were decided about are read whole, and these only for a list: a
        # button names an animal where one comes apart, and nothing else.
        wanted = {end for row in decisions for end in (row.edge.a_id, row.edge.b_id)}
        ends = self._boxes.filter(pk__in=wanted).order_by()
        related = ends.select_related("image__station", "image__survey", "individual__population")
        named = ends.select_related("individual__population").only("crop", *_NAMED)
        self.ends = {detection.pk: detection for detection in (related if listed else named)}
        self.logs: dict[int, list[LoggedDecision]] = defaultdict(list)
        log = Decision.objects.filter(edge__in={row.edge_id for row in decisions}).order_by("id")
        for edge, pk, verdict, undoes in log.values_list("edge_id", "id", "verdict", "undoes_id"):
            self.logs[edge].append(LoggedDecision(id=pk, verdict=verdict, undoes=undoes))

    @cached_property
    def visible(self) -> set[int]:
        """Of all members those that the account may see: asked for where an animal would come apart."""
        return set(self._boxes.filter(pk__in=self._everyone).order_by().values_list("pk", flat=True))

    def read(self, step: list[Decision]) -> OwnDecision:
        last = step[0]
        roots = {self.now.root(end) for row in step for end in (row.edge.a_id, row.edge.b_id)}
        matches = {pair for root in roots for pair in self.matches[root]}
        after = {(row.edge.a_id, row.edge.b_id): self._left(row) for row in step}
        changed = {pair for pair, verdict in after.items() if (verdict == Verdict.MATCH) != (pair in matches)}
        then = SignedGraph.of(matches ^ changed)
        # Animals that come apart, and what of each.
        apart = [then.components(self.members[root]) for root in roots]
        split = [parts for parts in apart if len(parts) > 1]
        joined = any(then.root(a) == then.root(b) != self.now.root(a) for a, b in changed - matches)
        if len(step) > 1:
            if last.verdict == Verdict.NO_MATCH:
                words = gettext("Takes back all %(n)s refusals that were given together.") % {"n": len(step)}
            else:
                words = gettext("Takes back all %(n)s matches that were confirmed together.") % {"n": len(step)}
            if split:
                words += " " + " ".join(dict.fromkeys(self._split_words(parts) for parts in split[:3]))
            asks = True
        else:
            words, asks = self._words(last, after[(last.edge.a_id, last.edge.b_id)], split, joined)
        a, b = (self.ends.get(end) for end in (last.edge.a_id, last.edge.b_id))
        return OwnDecision(last, a, b, len(step), words, asks)

    def _left(self, decision: Decision) -> str:
        """The verdict that is left on a pair without the decision."""
        standing = fold([*self.logs[decision.edge_id], LoggedDecision(id="undo", verdict="", undoes=decision.pk)])
        return standing.verdict if standing else ""

    def _words(
        self, decision: Decision, left: str, split: list[list[frozenset[int]]], joined: bool
    ) -> tuple[str, bool]:
        if decision.proposed:
            return gettext("Nothing is joined before a curator says so, too."), False
        if split:
            parts = split[0]
            return self._split_words(parts), sum(map(len, parts)) > 2
        if joined:
            return gettext("An earlier match of the pair stands again and joins them."), True
        if left:
            words = gettext("An earlier answer on the pair stands again: %(verdict)s.")
            return words % {"verdict": Verdict(left).label}, False
        if decision.verdict == Verdict.MATCH and self.now.root(decision.edge.a_id) == self.now.root(decision.edge.b_id):
            return gettext("Other matches still join the two photos."), False
        return gettext("The pair is open again."), False

    def _split_words(self, parts: list[frozenset[int]]) -> str:
        """What an animal comes apart into, in photos that the account may see."""
        if sum(map(len, parts)) == 2:
            return gettext("The two photos stand alone again.")
        sizes = sorted((len(part & self.visible) for part in parts), reverse=True)
        hidden = sum(map(len, parts)) - sum(sizes)
        seen = (self.ends[pk] for part in parts for pk in sorted(part) if pk in self.ends)
        name = next((str(detection.individual) for detection in seen if detection.individual), gettext("the group"))
        said = {"name": name, "sizes": " + ".join(str(size) for size in sizes if size), "hidden": hidden}
        if hidden:
            return (
                gettext("Splits %(name)s into %(sizes)s photos, and %(hidden)s of surveys that you do not see.") % said
            )
        return gettext("Splits %(name)s into %(sizes)s photos.") % said
