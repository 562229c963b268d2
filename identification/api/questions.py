"""The review: what is asked next, held, put off and chosen, and what lies beside a pair."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from ..errors import SpotIDError
from ..models import Detection, ReviewPosition, Survey, User
from ..permissions import Action, detections_for
from ..selectors.checks import check_token
from ..selectors.review_ahead import Ahead, Waiting, questions_ahead
from ..selectors.review_glance import certain_pairs
from ..selectors.review_leases import leased_elsewhere
from ..selectors.review_modes import Scope, ScopeShown, choices, scope_parse, scope_shown, scope_stored, unsure_own
from ..selectors.review_page import passed_anchors
from ..selectors.review_questions import put_off_pairs
from ..services.review import (
    review_anchor_pass,
    review_anchor_return,
    review_mode_set,
    review_question_put_off,
    review_questions_return,
)
from ..services.review_leases import LEASE_SECONDS, LEASES_MOST, questions_lease, questions_release
from ..views.access import survey_of
from ..views.photo_session import photo_leased
from .base import ApiView, operation
from .finding import pairs_seen
from .paging import MOST
from .shapes import DecisionOut, IndividualRef, PictureOut, StationRef, id_field, verdict_field
from .surveys import CompletenessOut

_TRIES = 3


def pair_field(**more: Any) -> s.ListField:
    return s.ListField(child=id_field(), min_length=2, max_length=2, **more)


def pairs_field(most: int, **more: Any) -> s.ListField:
    return s.ListField(child=pair_field(), max_length=most, **more)


class ScopeIn(s.Serializer):
    """A part of the survey, or an order of all of it."""

    mode = s.ChoiceField(choices=ReviewPosition.Mode.values)
    station = id_field(required=False, allow_null=True)
    individual = id_field(required=False, allow_null=True)
    first = s.DateField(required=False, allow_null=True)
    last = s.DateField(required=False, allow_null=True)


class ScopeOut(s.Serializer):
    mode = s.ChoiceField(choices=ReviewPosition.Mode.values, source="scope.mode")
    station = s.IntegerField(source="scope.station", allow_null=True)
    individual = s.IntegerField(source="scope.individual", allow_null=True)
    first = s.DateField(source="scope.first", allow_null=True)
    last = s.DateField(source="scope.last", allow_null=True)
    title = s.CharField(allow_blank=True)
    photos = s.IntegerField(allow_null=True)


def _scope(user: User, survey: Survey, said: dict[str, Any]) -> ScopeShown:
    values = {"mode": said["mode"], "station": said.get("station"), "individual": said.get("individual")}
    days = {"from": said.get("first"), "to": said.get("last")}
    scope = scope_parse(values | {name: day.isoformat() for name, day in days.items() if day})
    shown = scope_shown(user=user, survey=survey, scope=scope) if scope is not None else None
    if shown is None:
        raise ValidationError({"mode": ["That part of the survey is not there, or something of it is missing."]})
    return shown


def _stored(user: User, survey: Survey) -> ScopeShown:
    return scope_shown(user=user, survey=survey, scope=scope_stored(user=user, survey=survey)) or ScopeShown(Scope())


class ChoicesOut(s.Serializer):
    chosen = ScopeOut()
    stations = s.ListField(child=StationRef(), help_text="The first; `surveys/<id>/stations/` lists all.")
    stations_in_all = s.IntegerField()
    individuals = IndividualRef(many=True, help_text="The first; `individuals/?survey=<id>` lists all.")
    individuals_in_all = s.IntegerField()
    first = s.DateField(allow_null=True)
    last = s.DateField(allow_null=True)


class Mode(ApiView):
    @operation("In which order you review here, and what there is to choose", out=ChoicesOut)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.DECIDE)
        found = choices(user=self.user, survey=survey)
        return {
            "chosen": _stored(self.user, survey),
            "stations": [{"pk": pk, "label": code} for pk, code, _ in found.stations[:MOST]],
            "stations_in_all": len(found.stations),
            "individuals": found.individuals[:MOST],
            "individuals_in_all": found.individuals.count(),
            "first": found.first,
            "last": found.last,
        }

    @operation("Choose an order, or a part of the survey", out=ScopeOut, body=ScopeIn)
    def put(self, request: Any, survey_id: int) -> ScopeShown:
        survey = survey_of(request, survey_id, Action.DECIDE)
        shown = _scope(self.user, survey, self.said())
        review_mode_set(user=self.user, survey=survey, mode=shown.scope.mode, focus=shown.scope.focus)
        return shown


class WaitingIn(s.Serializer):
    pair = pair_field()
    verdict = verdict_field()


class AskIn(s.Serializer):
    """waiting: decisions that you have made and not sent yet, so that none of what follows from them is asked."""

    most = s.IntegerField(min_value=1, max_value=12, default=6)
    waiting = s.ListField(child=WaitingIn(), max_length=100, default=list)
    without = pairs_field(300, default=list, help_text="Pairs that are not to be asked now.")
    within = ScopeIn(required=False, help_text="Only a part of the survey; else what was chosen last.")


class SideOut(s.Serializer):
    picture = PictureOut(source="detection")
    others = PictureOut(many=True, help_text="Further photos of the same group, not all.")
    size = s.IntegerField(help_text="Photos of the group.")


class EvidenceOut(s.Serializer):
    similarity = s.FloatField(allow_null=True)
    inliers = s.IntegerField()
    engine = s.CharField()


class QuestionOut(s.Serializer):
    """Whether two groups are one animal. `check` and `version` are sent with the decision."""

    anchor = s.IntegerField(source="page.left.detection.pk")
    candidate = s.IntegerField(source="page.right.detection.pk")
    left = SideOut(source="page.left")
    right = SideOut(source="page.right")
    probability = s.FloatField(source="page.question.probability")
    stage = s.SerializerMethodField()
    evidence = EvidenceOut(source="page.evidence", allow_null=True)
    version = s.IntegerField(source="page.version")
    same_event = s.BooleanField(source="page.same_event")
    same_station = s.BooleanField(source="page.same_station")
    check = s.CharField()

    @extend_schema_field(s.ChoiceField(choices=["certain", "groups", "alone"]))
    def get_stage(self, row: Any) -> str:
        return str(row["page"].question.stage.name.lower())


class QuestionsOut(s.Serializer):
    questions = QuestionOut(many=True)
    seconds = s.IntegerField(help_text="For how long nobody else is asked these.")
    progress = CompletenessOut()
    open = s.IntegerField()
    certain = s.IntegerField(help_text="Near-certain pairs, for `review/certain/`.")
    again = s.IntegerField(help_text="Answers that are worth a second look.")
    elsewhere = s.IntegerField(help_text="Open questions that others have before them.")


class Questions(ApiView):
    @operation("The next questions, held for you for two minutes", out=QuestionsOut, body=AskIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Some may check a decision or you; nothing tells which. Ask again, or `review/holds/`, to hold them longer."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        shown = _scope(self.user, survey, said["within"]) if "within" in said else _stored(self.user, survey)
        found, got = _leased(self.user, survey, said, shown)
        pages = found.fresh(self.user, ())
        rows = []
        for one, page in pages:
            pair = (page.left.detection.pk, page.right.detection.pk)
            if (one.pick.question.pair.a, one.pick.question.pair.b) in got:
                check = check_token(user=self.user, survey=survey, pair=pair, check=page.check)
                rows.append({"page": page, "check": check})
        named = ("progress", "open", "certain", "again", "elsewhere")
        return {"questions": rows, "seconds": LEASE_SECONDS} | {name: getattr(found, name) for name in named}


def _leased(user: User, survey: Survey, said: dict[str, Any], scope: ScopeShown) -> tuple[Ahead, set[tuple[int, int]]]:
    """The questions that nobody else has, and those of them that were got."""
    waiting = [Waiting((row["pair"][0], row["pair"][1]), row["verdict"]) for row in said["waiting"]]
    lost = [(a, b) for a, b in said["without"]]
    for _ in range(_TRIES):
        found = questions_ahead(
            user=user, survey=survey, waiting=waiting, only=scope.only, without=lost, most=said["most"]
        )
        pairs = [(one.pick.question.pair.a, one.pick.question.pair.b) for one in found.questions]
        got = set(questions_lease(user=user, survey=survey, pairs=pairs))
        if got or not pairs:
            break
        # Somebody else was quicker in the moment between.
        lost += pairs
    return found, got


class HoldIn(s.Serializer):
    pairs = pairs_field(LEASES_MOST, help_text="Those of the questions that were asked.")
    release = s.BooleanField(default=False)


class HeldOut(s.Serializer):
    held = s.ListField(child=s.ListField(child=s.IntegerField(), min_length=2, max_length=2))
    seconds = s.IntegerField()


class Holds(ApiView):
    @operation("Hold questions longer, or let them go", out=HeldOut, body=HoldIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        pairs = pairs_seen(self.user, survey, [(a, b) for a, b in said["pairs"]])
        if said["release"]:
            questions_release(user=self.user, survey=survey, pairs=pairs)
            return {"held": [], "seconds": 0}
        held = questions_lease(user=self.user, survey=survey, pairs=pairs)
        return {"held": held, "seconds": LEASE_SECONDS}


class PairIn(s.Serializer):
    pair = pair_field()


class Later(ApiView):
    @operation("Put a question off", body=PairIn)
    def post(self, request: Any, survey_id: int) -> None:
        survey = survey_of(request, survey_id, Action.DECIDE)
        a, b = self.said()["pair"]
        pairs = pairs_seen(self.user, survey, [(a, b)])
        if not pairs:
            raise SpotIDError("These photos are not open to you, so nothing was put off.")
        review_question_put_off(user=self.user, survey=survey, pair=pairs[0])
        questions_release(user=self.user, survey=survey, pairs=pairs)


class AnchorIn(s.Serializer):
    anchor = id_field()


class AnchorMaybe(s.Serializer):
    anchor = id_field(required=False, help_text="One photo; without it everything that was put off.")


def _anchor(user: User, survey: Survey, pk: int) -> Detection:
    return get_object_or_404(detections_for(user), pk=pk, image__survey=survey)


class Pass(ApiView):
    @operation("Go past a photo", body=AnchorIn)
    def post(self, request: Any, survey_id: int) -> None:
        """In the order by photo it waits at the end."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        anchor = _anchor(self.user, survey, self.said()["anchor"])
        review_anchor_pass(user=self.user, survey=survey, anchor=anchor)
        questions_release(user=self.user, survey=survey, about=anchor)


class Return(ApiView):
    @operation("Take up again what was put off", body=AnchorMaybe)
    def post(self, request: Any, survey_id: int) -> None:
        survey = survey_of(request, survey_id, Action.DECIDE)
        wanted = self.said().get("anchor")
        anchor = _anchor(self.user, survey, wanted) if wanted else None
        review_anchor_return(user=self.user, survey=survey, anchor=anchor)
        if anchor is None:
            review_questions_return(user=self.user, survey=survey)


class OfferOut(s.Serializer):
    candidate = PictureOut(source="detection")
    probability = s.FloatField(source="candidate.probability")
    version = s.IntegerField(source="edge_version")
    photos = s.IntegerField(help_text="Of the group that it stands for.")
    number = s.IntegerField(help_text="Its place, which it keeps while others are answered.")


class PhotoStateOut(s.Serializer):
    """A photo beside its candidates. anchor: null where nothing is left that nobody else has before them."""

    anchor = PictureOut(allow_null=True)
    offers = OfferOut(many=True)
    more = s.IntegerField(help_text="The strip of candidates that this is.")
    further = s.IntegerField(help_text="Candidates behind it.")
    elsewhere = s.IntegerField(help_text="Candidates, or photos, that others have before them.")
    passed = s.IntegerField()
    settled = s.IntegerField(source="progress.settled")
    anchors = s.IntegerField(source="progress.anchors")


class PhotoAskIn(s.Serializer):
    anchor = id_field(required=False, help_text="A box of this survey; else where you are in the order by photo.")
    more = s.IntegerField(min_value=0, max_value=1000, default=0)


class ByPhoto(ApiView):
    @operation("A photo beside its candidates, held for two minutes", out=PhotoStateOut, body=PhotoAskIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> Any:
        """The review in the order by photo."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        anchor = _anchor(self.user, survey, said["anchor"]).pk if "anchor" in said else None
        return photo_leased(user=self.user, survey=survey, anchor=anchor, more=said["more"])


class PutOffOut(s.Serializer):
    """passed: photos that you went past; unsure: pairs of which you could not tell; later: questions put off."""

    passed = PictureOut(many=True)
    unsure = DecisionOut(many=True)
    later = s.ListField(child=s.ListField(child=s.IntegerField(), min_length=2, max_length=2))


class PutOff(ApiView):
    @operation("What you left for later", out=PutOffOut)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.DECIDE)
        named: dict[str, Any] = {"user": self.user, "survey": survey}
        return {"passed": passed_anchors(**named), "unsure": unsure_own(**named), "later": put_off_pairs(**named)}


class CertainIn(s.Serializer):
    without = pairs_field(300, default=list, help_text="Pairs that were looked at and left.")


class LikelyOut(s.Serializer):
    anchor = s.IntegerField(source="left.pk")
    candidate = s.IntegerField(source="right.pk")
    left = PictureOut()
    right = PictureOut()
    probability = s.FloatField(source="question.probability")
    version = s.IntegerField()


class Certain(ApiView):
    @operation("Near-certain pairs, to be confirmed together", out=LikelyOut, many=True, body=CertainIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> Any:
        """Held for two minutes. `review/certain/confirm/` matches those that are named, as one step."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = [(a, b) for a, b in self.said()["without"]]
        put_off, held = put_off_pairs(user=self.user, survey=survey), leased_elsewhere(user=self.user, survey=survey)
        rows = certain_pairs(user=self.user, survey=survey, without=[*said, *put_off, *held])
        pairs = [(one.question.pair.a, one.question.pair.b) for one in rows]
        got = set(questions_lease(user=self.user, survey=survey, pairs=pairs))
        return [one for one, pair in zip(rows, pairs, strict=True) if pair in got]
