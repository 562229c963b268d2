"""Boxes: what is said of one, what it was ranked beside, and which species boxes show."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from .. import permissions
from ..models import AuditEntry, Category, Detection, Flank, Triage
from ..models.image import Unusable
from ..permissions import Action
from ..selectors.candidates import candidates_of
from ..selectors.triage import (
    EMPTIED,
    NOTHING,
    ORDERS,
    STEPS,
    TABS,
    TRIAGED,
    below_threshold,
    species_page,
    triage_version,
)
from ..services.annotation import detection_annotate, detection_redraw
from ..services.empties import detections_empty, empties_undo
from ..services.individuals import individual_declare
from ..services.triage import detections_triage, triage_below, triage_undo
from ..services.triage_queue import triage_request
from ..views.access import detection_of, survey_of
from .base import ApiView, operation
from .paging import Page, PageQuery, by_place
from .photos import RectangleIn, rectangle_of
from .shapes import BoxOut, CountOut, IndividualOut, PictureOut, id_field, ids_field

WITHDRAW, ANIMAL, UNDECIDED = "withdraw", "animal", "undecided"


class BoxIn(s.Serializer):
    """`withdraw` takes back what a person said of the flank. category and species are for curators."""

    flank = s.ChoiceField(choices=[*Flank.values, WITHDRAW], required=False)
    usable = s.BooleanField(required=False)
    unusable_reason = s.CharField(max_length=200, required=False, allow_blank=True)
    category = s.ChoiceField(choices=Category.values, required=False)
    species = s.CharField(max_length=200, required=False, allow_blank=True)

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        if not {"flank", "usable", "category", "species"} & said.keys():
            raise ValidationError("Say a flank, whether it is usable, a category or a species.")
        return said


class Box(ApiView):
    @operation("One box", out=BoxOut)
    def get(self, request: Any, detection_id: int) -> Detection:
        return detection_of(request, detection_id)

    @operation("Say what a box shows: flank, use, category, species", out=BoxOut, body=BoxIn, matched=True)
    def patch(self, request: Any, detection_id: int) -> Detection:
        detection = detection_of(request, detection_id, Action.DECIDE)
        said = self.said()
        changes = {name: said[name] for name in ("category", "species") if name in said}
        if changes:
            permissions.require(self.user, Action.CURATE, detection.image.survey)
        self.match(BoxOut, detection)
        if said.get("flank") == WITHDRAW:
            changes |= {"flank": Flank.UNKNOWN, "flank_said": False}
        elif "flank" in said:
            changes["flank"] = said["flank"]
        if "usable" in said:
            reason = said.get("unusable_reason") or Unusable.OTHER.value
            changes |= {"usable": said["usable"], "unusable_reason": "" if said["usable"] else reason}
        detection_annotate(acting_user=self.user, detections=[detection], **changes)
        return detection_of(request, detection_id)


class BoxRedraw(ApiView):
    @operation("Correct a box", out=BoxOut, body=RectangleIn)
    def post(self, request: Any, detection_id: int) -> Detection:
        """It stays the same animal: decisions stand. The photo is processed again with it."""
        detection = detection_of(request, detection_id, Action.CURATE)
        detection_redraw(acting_user=self.user, detection=detection, box=rectangle_of(self.said()))
        return detection_of(request, detection_id)


class BoxDeclare(ApiView):
    @operation("Say that a box shows an animal of its own", out=IndividualOut)
    def post(self, request: Any, detection_id: int) -> Any:
        detection = detection_of(request, detection_id, Action.DECIDE)
        return individual_declare(acting_user=self.user, detection=detection)


class CandidateOut(s.Serializer):
    """A box that may show the same animal. box: null where it is of a survey that is not yours."""

    rank = s.IntegerField()
    probability = s.FloatField()
    similarity = s.FloatField(allow_null=True)
    inliers = s.IntegerField()
    version = s.IntegerField(allow_null=True, help_text="Of the pair, for a decision about it.")
    box = PictureOut(allow_null=True)


class Candidates(ApiView):
    @operation("Candidates of a box, the likeliest first", out=CandidateOut, many=True)
    def get(self, request: Any, detection_id: int) -> Any:
        """As the last matching ranked them; those of surveys that are not yours are masked."""
        detection = detection_of(request, detection_id, Action.SEE_CANDIDATES)
        return candidates_of(user=self.user, detection=detection)


class SpeciesQuery(PageQuery):
    show = s.ChoiceField(choices=TABS, default="undecided")
    order = s.ChoiceField(choices=ORDERS, default=ORDERS[0])


class Species(ApiView):
    @operation("Boxes by species", out=BoxOut, paged=True, query=SpeciesQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id, Action.DECIDE)
        query = self.asked()
        found = species_page(user=self.user, survey=survey, show=query["show"], order=query["order"])
        return by_place(found.boxes, query)


class TriageDone(s.Serializer):
    entry = s.IntegerField(source="entry.pk", help_text="What `species/undo/` takes back.")
    boxes = s.IntegerField()
    may_undo = s.BooleanField()
    words = s.CharField()


class SpeciesState(s.Serializer):
    counts = s.DictField(child=s.IntegerField())
    version = s.IntegerField(help_text="Of the scores; 0 before the first ones.")
    below = s.ListField(child=s.IntegerField(), help_text="Boxes below 0, 1, … 100 %; empty before scores are learned.")
    scored = s.IntegerField()
    unscored = s.IntegerField()
    since = s.IntegerField(help_text="Marks of people since the scores were computed.")
    done = TriageDone(many=True)


class SpeciesCounts(ApiView):
    @operation("Boxes by species, counted, and what was said last", out=SpeciesState)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.DECIDE)
        found = species_page(user=self.user, survey=survey, show="undecided", order=ORDERS[0])
        named = ("counts", "below", "scored", "unscored", "since", "done")
        return {name: getattr(found, name) for name in named} | {"version": triage_version(survey)}


class MarkIn(s.Serializer):
    boxes = ids_field(1000)
    species = s.ChoiceField(choices=[*(value for value in Triage.values if value), UNDECIDED, NOTHING, ANIMAL])
    with_matched = s.BooleanField(default=False, help_text="Also boxes in confirmed matches; for curators.")


class TriagedOut(s.Serializer):
    entries = s.ListField(child=s.IntegerField())
    changed = s.IntegerField()
    left = s.IntegerField()


def _triaged(done: Any) -> dict[str, Any]:
    return {"entries": [entry.pk for entry in done.entries], "changed": done.changed, "left": done.left}


class SpeciesMarks(ApiView):
    @operation("Say of boxes which species they show", out=TriagedOut, body=MarkIn)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """All of them or none. `nothing` is no animal at all, `animal` takes that back."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        if said["with_matched"]:
            permissions.require(self.user, Action.CURATE, survey)
        rows = permissions.detections_for(self.user).filter(image__survey=survey, pk__in=said["boxes"])
        if rows.count() != len(set(said["boxes"])):
            raise ValidationError({"boxes": ["One of these is no box of this survey that you may see."]})
        matched = said["with_matched"]
        if said["species"] in {NOTHING, ANIMAL}:
            empty = said["species"] == NOTHING
            return _triaged(detections_empty(acting_user=self.user, detections=rows, empty=empty, with_matched=matched))
        triage = Triage.UNDECIDED if said["species"] == UNDECIDED else said["species"]
        return _triaged(detections_triage(acting_user=self.user, detections=rows, triage=triage, with_matched=matched))


class BelowQuery(s.Serializer):
    below = s.IntegerField(min_value=0, max_value=100, help_text="Per cent.")


class BelowOut(s.Serializer):
    below = s.IntegerField()
    count = s.IntegerField()
    version = s.IntegerField()


class BelowIn(BelowQuery):
    """What was looked at: it is done while it is exactly that."""

    version = s.IntegerField(min_value=0, max_value=2**31 - 1)
    expected = s.IntegerField(min_value=0, max_value=2**31 - 1)


class SpeciesBelow(ApiView):
    @operation("What a threshold would put aside", out=BelowOut, query=BelowQuery)
    def get(self, request: Any, survey_id: int) -> dict[str, int]:
        survey = survey_of(request, survey_id, Action.CURATE)
        percent = self.asked()["below"]
        count = below_threshold(survey, STEPS[percent]).count()
        return {"below": percent, "count": count, "version": triage_version(survey)}

    @operation("Put everything below a threshold aside", out=TriagedOut, body=BelowIn)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.CURATE)
        said = self.said()
        done = triage_below(
            acting_user=self.user,
            survey=survey,
            threshold=STEPS[said["below"]],
            version=said["version"],
            expected=said["expected"],
        )
        return _triaged(done)


class EntryIn(s.Serializer):
    entry = id_field()


class SpeciesUndo(ApiView):
    @operation("Take one step back", out=TriagedOut, body=EntryIn)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Reviewers their own, curators any."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        rows = AuditEntry.objects.filter(survey=survey, action__in=(TRIAGED, EMPTIED))
        entry = get_object_or_404(rows, pk=self.said()["entry"])
        if entry.acting_user_id != self.user.pk and not permissions.may(self.user, Action.UNDO_ANY, survey):
            raise PermissionDenied(gettext("This was somebody else's; a curator can take it back."))
        take_back = empties_undo if entry.action == EMPTIED else triage_undo
        return _triaged(take_back(acting_user=self.user, entry=entry))


class SpeciesScores(ApiView):
    @operation("Compute the scores anew", out=CountOut, status=202)
    def post(self, request: Any, survey_id: int) -> dict[str, int]:
        """A worker does it. Marks stay as they are."""
        survey = survey_of(request, survey_id, Action.CURATE)
        return {"count": triage_request(survey=survey, acting_user=self.user).version}
