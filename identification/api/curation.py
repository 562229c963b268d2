"""Merging and splitting animals, and settling what contradicts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext
from rest_framework import serializers as s

from .. import permissions
from ..models import Detection, Individual, Verdict
from ..permissions import Action
from ..selectors.conflicts import MOST_SETTLED, contradictions_read
from ..selectors.curation import surveys_seen
from ..selectors.graph import component_state
from ..services.curation import (
    Curated,
    conflict_settle,
    individual_split,
    individuals_merge,
    merge_preview,
    split_preview,
)
from ..views.access import curated_of, may_everywhere
from .base import ApiView, operation
from .finding import boxes_of, joined_boxes
from .shapes import IndividualRef, PairOut, PictureOut, PopulationRef, id_field, ids_field


class SplitLook(s.Serializer):
    boxes = ids_field(1000)
    keep_together = s.BooleanField(default=False, help_text="Those that are chosen stay one animal.")


class SplitIn(SplitLook):
    state = s.CharField(max_length=128, help_text="Of the preview: it is done while everything is as it was.")


class MergeLook(s.Serializer):
    other = id_field(help_text="The other animal.")
    boxes = ids_field(1000, least=2)


class MergeIn(MergeLook):
    state = s.CharField(max_length=128, help_text="Of the preview: it is done while everything is as it was.")


class PartOut(s.Serializer):
    """A group: its boxes, as far as you may see them, and who stands for it."""

    boxes = s.ListField(child=s.IntegerField())
    photos = s.IntegerField()
    individual = IndividualRef(allow_null=True)
    new = s.BooleanField()


class PreviewOut(s.Serializer):
    state = s.CharField()
    before = PartOut(many=True)
    parts = PartOut(many=True)
    retired = IndividualRef(many=True)
    matches = s.IntegerField()
    refusals = s.IntegerField()
    refused = s.CharField(allow_blank=True, help_text="Why it cannot be done; empty where it can.")


class CuratedOut(s.Serializer):
    batch = s.UUIDField()
    decisions = s.ListField(child=s.IntegerField(), help_text="`decisions/<id>/undo-together/` takes all back.")
    waits = s.BooleanField(help_text="It is proposed, and a curator joins or refuses.")


def _preview(view: ApiView, chosen: list[Detection], found: Any) -> dict[str, Any]:
    ids = {pk for part in (*found.parts, *found.before) for pk in part.photos}
    seen = set(permissions.detections_for(view.user).filter(pk__in=ids).values_list("pk", flat=True))

    def shown(parts: Any) -> list[dict[str, Any]]:
        return [
            {
                "boxes": [pk for pk in part.photos if pk in seen],
                "photos": len(part.photos),
                "individual": part.individual,
                "new": part.new,
            }
            for part in parts
        ]

    named = ("retired", "matches", "refusals", "refused")
    return {
        "state": component_state([row.pk for row in chosen]),
        "before": shown(found.before),
        "parts": shown(found.parts),
        **{name: getattr(found, name) for name in named},
    }


def _curated(done: Curated) -> dict[str, Any]:
    waits = any(row.proposed for row in done.matches)
    return {"batch": done.batch, "decisions": [row.pk for row in done.decisions], "waits": waits}


class SplitPreview(ApiView):
    @operation("What a split would leave", out=PreviewOut, body=SplitLook, keyed=False)
    def post(self, request: Any, individual_id: int) -> dict[str, Any]:
        """Rehearsed and rolled back."""
        individual = curated_of(request, individual_id)
        said = self.said()
        chosen = joined_boxes(self.user, said["boxes"], Action.CURATE, individual=individual)
        found = split_preview(detections=chosen, keep_together=said["keep_together"])
        return _preview(self, chosen, found)


class Split(ApiView):
    @operation("Say that some boxes show another animal", out=CuratedOut, body=SplitIn)
    def post(self, request: Any, individual_id: int) -> dict[str, Any]:
        individual = curated_of(request, individual_id)
        said = self.said()
        chosen = joined_boxes(self.user, said["boxes"], Action.CURATE, individual=individual)
        done = individual_split(
            acting_user=self.user,
            detections=chosen,
            keep_together=said["keep_together"],
            expected=said["state"],
        )
        return _curated(done)


def _both(view: ApiView, individual_id: int, said: dict[str, Any]) -> tuple[list[Detection], bool]:
    """The boxes of both animals, and whether it is only proposed. Raises Http404 where they cannot be one."""
    one: Individual = curated_of(view.request, individual_id, Action.DECIDE)
    other: Individual = curated_of(view.request, said["other"], Action.DECIDE)
    if one.pk == other.pk or one.population_id != other.population_id:
        raise Http404("No such animal to merge with.")
    proposes = not all(may_everywhere(view.request, animal, Action.CURATE) for animal in (one, other))
    action = Action.DECIDE if proposes else Action.CURATE
    return joined_boxes(view.user, said["boxes"], action, individual__in=[one, other]), proposes


class MergePreview(ApiView):
    @operation("What a merge would make", out=PreviewOut, body=MergeLook, keyed=False)
    def post(self, request: Any, individual_id: int) -> dict[str, Any]:
        """Rehearsed and rolled back."""
        curated_of(request, individual_id, Action.DECIDE)
        chosen, _ = _both(self, individual_id, self.said())
        return _preview(self, chosen, merge_preview(detections=chosen))


class Merge(ApiView):
    @operation("Say that two animals are one", out=CuratedOut, body=MergeIn)
    def post(self, request: Any, individual_id: int) -> dict[str, Any]:
        """By matches between the boxes that are named. Whoever reviews but does not curate proposes it to a curator."""
        curated_of(request, individual_id, Action.DECIDE)
        said = self.said()
        chosen, proposes = _both(self, individual_id, said)
        done = individuals_merge(acting_user=self.user, detections=chosen, expected=said["state"], propose=proposes)
        return _curated(done)


class SettlementOut(s.Serializer):
    """pairs: [a, b, version], as `conflicts/settle/` takes them; empty for those who may not."""

    pairs = s.SerializerMethodField()

    def get_pairs(self, row: Any) -> list[list[int]]:
        return [[int(part) for part in token.split("-")] for token in row.tokens]


class ConflictOut(s.Serializer):
    """What people joined and forbade at once. part: refuses its weakest links; keep: takes the refusals back."""

    population = PopulationRef()
    kinds = s.ListField(child=s.CharField())
    photos = PictureOut(many=True, help_text="The first of photos_in_all.")
    photos_in_all = s.IntegerField()
    hidden = s.IntegerField()
    forbidden = PairOut(many=True, help_text="The first of them, where they are many.")
    weakest = PairOut(many=True)
    others = PairOut(many=True, help_text="Further matches that join them.")
    part = SettlementOut()
    keep = SettlementOut()


class JumpOut(s.Serializer):
    """Two photos of one animal that are too far apart for the time between."""

    population = PopulationRef()
    first = PictureOut()
    second = PictureOut()
    kilometres = s.IntegerField(allow_null=True)
    seconds = s.FloatField()
    weakest = PairOut(many=True)
    part = SettlementOut()


class OpposedOut(s.Serializer):
    """A match of a left with a right flank, which no comparison of coats can have shown."""

    population = PopulationRef()
    pair = PairOut()
    estimated = s.BooleanField(help_text="A flank of it was estimated, not said by a person.")
    part = SettlementOut()


class ConflictsQuery(s.Serializer):
    page = s.IntegerField(min_value=1, max_value=10_000_000, default=1, help_text="Behind the last comes the last.")


class ConflictsOut(s.Serializer):
    """One page of each kind, and how many of it there are."""

    conflicts = ConflictOut(many=True)
    conflicts_in_all = s.IntegerField()
    jumps = JumpOut(many=True)
    jumps_in_all = s.IntegerField()
    opposed = OpposedOut(many=True)
    opposed_in_all = s.IntegerField()
    page = s.IntegerField(source="page.number")
    pages = s.IntegerField(source="page.paginator.num_pages")


class Conflicts(ApiView):
    @operation("What contradicts", out=ConflictsOut, query=ConflictsQuery)
    def get(self, request: Any) -> Any:
        decides = permissions.surveys_for(self.user, Action.DECIDE).exists()
        if not decides and not permissions.is_administrator(self.user):
            raise PermissionDenied(gettext("Contradictions are for those who decide."))
        return contradictions_read(user=self.user, number=self.asked()["page"])


class SettleIn(s.Serializer):
    pairs = s.ListField(
        child=s.ListField(child=s.IntegerField(min_value=0, max_value=2**63 - 1), min_length=3, max_length=3),
        min_length=1,
        max_length=MOST_SETTLED,
        help_text="[a, b, version] of each pair.",
    )
    verdict = s.ChoiceField(choices=[Verdict.MATCH.value, Verdict.NO_MATCH.value])


class Settle(ApiView):
    @operation("Settle a contradiction", out=CuratedOut, body=SettleIn)
    def post(self, request: Any) -> dict[str, Any]:
        """One verdict on pairs, each at the version that was shown; for curators of both photos of each."""
        if not permissions.surveys_for(self.user, Action.CURATE).exists():
            raise PermissionDenied(gettext("Conflicts are settled by curators."))
        said = self.said()
        pairs = {(a, b): version for a, b, version in said["pairs"]}
        ends = {pk for pair in pairs for pk in pair}
        boxes_of(self.user, ends)
        if not permissions.may_for_all(self.user, Action.CURATE, surveys_seen(ends)):
            raise PermissionDenied(gettext("A photo of another survey is concerned, which you do not curate."))
        return _curated(conflict_settle(acting_user=self.user, pairs=pairs, verdict=said["verdict"]))
