"""Decisions about pairs: one, many at once, those of one's own, and taking them back."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from ..errors import SpotIDError, StaleEdge
from ..matching.graph import ordered
from ..models import Decision, Survey, User, Verdict
from ..permissions import Action
from ..selectors.checks import check_read
from ..selectors.consequences import pairs_shown, undo_outcome, undo_preview
from ..selectors.curation import decisions_together
from ..selectors.session_decisions import own_decisions
from ..services.confirming import Confirmed, Ticked, decisions_confirm
from ..services.curation import batch_undo
from ..services.decisions import decision_record, decision_undo, decision_undo_last
from ..services.opinions import opinion_record, opinion_seen, opinion_withdraw
from ..services.review_leases import questions_release
from ..views.access import survey_of, undone_as_curator
from .base import ApiView, operation
from .finding import decidable, decision_of, pair_of
from .keys import decision_key, key_of
from .problems import problem, refusal
from .shapes import DecisionOut, PictureOut, id_field, said_field, verdict_field

MOST_AT_ONCE = 200


class DecisionIn(s.Serializer):
    """What is said of a pair. version: of the pair as it was read; 409 with the present state where it moved on."""

    anchor = id_field(help_text="A box of this survey.")
    candidate = id_field()
    verdict = verdict_field()
    version = s.IntegerField(min_value=0, max_value=2**31 - 1)
    check = s.CharField(max_length=64, default="", allow_blank=True, help_text="As the question had it.")
    shown = s.FloatField(min_value=0, max_value=1, required=False, allow_null=True, help_text="Probability shown.")
    confirm = s.BooleanField(default=False, help_text="Although it contradicts earlier decisions.")
    note = s.CharField(max_length=500, default="", allow_blank=True)


class RecordedOut(s.Serializer):
    """key: what `decisions/undo/` takes as `of`. It is the same whether the answer decided or checked.
    verdict: `proposed` for a match of two named animals, which waits for a curator."""

    key = s.UUIDField()
    anchor = s.IntegerField()
    candidate = s.IntegerField()
    verdict = said_field()


def _decide(user: User, survey: Survey, said: dict[str, Any], key: UUID | None) -> dict[str, Any]:
    """Record what was said, under a key in any case: it is all that tells of it, and tells nothing of what it was."""
    key = key or uuid4()
    anchor, candidate = pair_of(user, survey, said["anchor"], said["candidate"])
    pair = (anchor.pk, candidate.pk)
    check = check_read(user=user, survey=survey, pair=pair, token=said["check"])
    named = {"verdict": said["verdict"], "shown": said.get("shown"), "key": key}
    waits = False
    if check is not None:
        opinion_record(user=user, survey=survey, check=check, **named)
    else:
        recorded = decision_record(
            acting_user=user,
            first=anchor,
            second=candidate,
            anchor=anchor,
            expected_version=said["version"],
            confirm_contradiction=said["confirm"],
            note=said["note"],
            **named,
        )
        waits = recorded.proposed
    questions_release(user=user, survey=survey, pairs=[ordered(pair)])
    return {
        "key": key,
        "anchor": anchor.pk,
        "candidate": candidate.pk,
        "verdict": Decision.PROPOSED if waits else said["verdict"],
    }


def _seen(user: User, survey: Survey, said: dict[str, Any]) -> None:
    """Somebody is told what stands of a pair, so that she is not asked for a blind opinion about it."""
    for shown in pairs_shown(user=user, pairs=[ordered((said["anchor"], said["candidate"]))]):
        if shown.decision is not None:
            opinion_seen(user=user, survey=survey, decision=shown.decision)


class OwnOut(s.Serializer):
    """decision: of one that was recorded without a key, as pages do without a script."""

    key = s.SerializerMethodField()
    decision = s.SerializerMethodField()
    verdict = said_field(source="decision.verdict")
    created_at = s.DateTimeField(source="decision.created_at")
    first = PictureOut(source="a", allow_null=True)
    second = PictureOut(source="b", allow_null=True)
    together = s.IntegerField(help_text="Decisions of the same step, which are taken back with it.")
    words = s.CharField(help_text="What follows from taking it back.")

    @extend_schema_field(s.UUIDField(allow_null=True))
    def get_key(self, row: Any) -> str | None:
        key = row.decision.key or getattr(row.decision, "batch", None)
        return str(key) if key else None

    @extend_schema_field(s.IntegerField(allow_null=True))
    def get_decision(self, row: Any) -> int | None:
        return None if self.get_key(row) else row.decision.pk


class Decisions(ApiView):
    @operation("Your last decisions here", out=OwnOut, many=True)
    def get(self, request: Any, survey_id: int) -> Any:
        """Those that stand, the last one first."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        return own_decisions(user=self.user, survey=survey, remarks=False)

    @operation("Decide about a pair", out=RecordedOut, body=DecisionIn, status=201, keyed=False)
    def post(self, request: Any, survey_id: int) -> Any:
        """`Idempotency-Key` is the key of the decision itself: what arrives twice is recorded once, whenever."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        try:
            return _decide(self.user, survey, said, decision_key(request))
        except SpotIDError as refused:
            if (found := refusal(refused, self.user))["code"] != "stale":
                raise
            _seen(self.user, survey, said)
            return problem(found.pop("status"), **found)


class BulkRow(DecisionIn):
    key = s.CharField(max_length=200, default="", allow_blank=True, help_text="As Idempotency-Key, of this row.")


class BulkIn(s.Serializer):
    decisions = s.ListField(child=BulkRow(), min_length=1, max_length=MOST_AT_ONCE)


class BulkOut(s.Serializer):
    """In the order of the request. decision is null where it was refused, and problem says why."""

    status = s.IntegerField()
    decision = RecordedOut(allow_null=True)
    problem = s.DictField(allow_null=True)


class BulkDecisions(ApiView):
    @operation("Decide about many pairs", out=BulkOut, many=True, body=BulkIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> list[dict[str, Any]]:
        """Each by itself: one that is refused does not stop the others. Without keys of their own, rows take that of
        the request with their place."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        rows, common = self.said()["decisions"], key_of(request)
        return [self._one(survey, row, row["key"] or (f"{common}#{n}" if common else "")) for n, row in enumerate(rows)]

    def _one(self, survey: Survey, said: dict[str, Any], key: str) -> dict[str, Any]:
        try:
            named = decision_key(self.request, key)
            return {"status": 201, "decision": _decide(self.user, survey, said, named), "problem": None}
        except (SpotIDError, Http404, PermissionDenied) as error:
            found = refusal(error, self.user)
            if found["code"] == "stale":
                _seen(self.user, survey, said)
            return {"status": found["status"], "decision": None, "problem": found}


class ShownIn(s.Serializer):
    candidate = id_field()
    version = s.IntegerField(min_value=0, max_value=2**31 - 1)
    shown = s.FloatField(min_value=0, max_value=1)


class TogetherIn(s.Serializer):
    """One verdict on pairs that were shown together, as one step that is taken back as one."""

    anchor = id_field()
    verdict = s.ChoiceField(choices=[Verdict.MATCH.value, Verdict.NO_MATCH.value], default=Verdict.NO_MATCH.value)
    candidates = s.ListField(child=ShownIn(), min_length=1, max_length=5)


class LeftOut(s.Serializer):
    candidate = s.IntegerField()
    reason = s.CharField()


class TogetherOut(s.Serializer):
    batch = s.UUIDField()
    recorded = DecisionOut(many=True)
    left_out = LeftOut(many=True)


def _confirmed(user: User, survey: Survey, done: Confirmed) -> dict[str, Any]:
    left = []
    for pair, reason in done.refused:
        named = {"anchor": pair.anchor.pk, "candidate": pair.candidate.pk}
        if isinstance(reason, StaleEdge):
            _seen(user, survey, named)
        left.append({**named, "reason": str(reason)})
    return {"batch": done.batch, "recorded": done.recorded, "left_out": left}


class Together(ApiView):
    @operation("None of these: answer a photo's candidates at once", out=TogetherOut, body=TogetherIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """What collides with earlier decisions is left out and told. `Idempotency-Key` is the key of the step."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said = self.said()
        anchor = decidable(self.user).filter(pk=said["anchor"], image__survey=survey).first()
        if anchor is None:
            raise Http404("No such box.")
        wanted = {row["candidate"]: row for row in said["candidates"]}
        rows = decidable(self.user).filter(image__survey__population=survey.population_id)
        found = rows.exclude(pk=anchor.pk).in_bulk(list(wanted))
        if len(found) != len(wanted):
            raise Http404("No such box.")
        ticked = [Ticked(anchor, found[pk], row["version"], row["shown"]) for pk, row in wanted.items()]
        key = decision_key(request)
        done = decisions_confirm(
            acting_user=self.user, survey=survey, ticked=ticked, verdict=said["verdict"], batch=key
        )
        return _confirmed(self.user, survey, done)


class CertainRow(s.Serializer):
    anchor = id_field(help_text="A box of this survey.")
    candidate = id_field()
    version = s.IntegerField(min_value=0, max_value=2**31 - 1)
    shown = s.FloatField(min_value=0, max_value=1)


class CertainConfirmIn(s.Serializer):
    pairs = s.ListField(child=CertainRow(), min_length=1, max_length=MOST_AT_ONCE)


class CertainLeft(LeftOut):
    anchor = s.IntegerField()


class CertainOut(TogetherOut):
    left_out = CertainLeft(many=True)


class CertainConfirm(ApiView):
    @operation("Match pairs that were confirmed at a glance", out=CertainOut, body=CertainConfirmIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Each as its own decision, all of one step. What collides with earlier decisions is left out and told.
        `Idempotency-Key` is the key of the step."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        rows = self.said()["pairs"]
        ticked = [
            Ticked(*pair_of(self.user, survey, row["anchor"], row["candidate"]), row["version"], row["shown"])
            for row in rows
        ]
        done = decisions_confirm(acting_user=self.user, survey=survey, ticked=ticked, batch=decision_key(request))
        return _confirmed(self.user, survey, done)


class UndoIn(s.Serializer):
    """Without `decision` and `of`, the last one."""

    decision = id_field(required=False)
    of = s.CharField(max_length=200, required=False, help_text="The key under which it was recorded.")


class UndoneOut(s.Serializer):
    count = s.IntegerField(help_text="Decisions that were taken back, all of the same step.")
    pair = s.ListField(child=s.IntegerField(), min_length=2, max_length=2)
    words = s.CharField(allow_blank=True)


class UndoOwn(ApiView):
    @operation("Take a decision of yours back", out=UndoneOut, body=UndoIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Answers to questions that were checks, too. `Idempotency-Key` is the key of the undo."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        said, key = self.said(), decision_key(request)
        of = decision_key(request, said["of"]) if said.get("of") else None
        if said.get("decision") is not None and of is not None:
            raise ValidationError({"of": ["Name a decision by its id or by its key."]})
        if said.get("decision") is None:
            opinion = opinion_withdraw(user=self.user, survey=survey, of=of, key=key)
            if opinion is not None:
                return {"count": 1, "pair": [opinion.a_id, opinion.b_id], "words": gettext("The pair is open again.")}
        undone = decision_undo_last(acting_user=self.user, survey=survey, decision=said.get("decision"), of=of, key=key)
        last = undone[-1]
        words = undo_outcome(user=self.user, decision=last) if last.batch is None else ""
        return {"count": len(undone), "pair": [last.edge.a_id, last.edge.b_id], "words": words}


class UndoPreviewOut(s.Serializer):
    verdict = s.CharField(allow_blank=True, help_text="Of the pair afterwards.")
    joined = s.BooleanField(help_text="Whether matches connect the pair now.")
    splits = s.BooleanField()
    groups = s.ListField(child=s.ListField(child=s.IntegerField()), help_text="Boxes that each side falls into.")
    hidden = s.IntegerField(help_text="Photos of surveys that are not yours.")
    together = s.IntegerField(help_text="Decisions of the same step.")


class UndoDecision(ApiView):
    @operation("What taking a decision back would leave", out=UndoPreviewOut)
    def get(self, request: Any, decision_id: int) -> dict[str, Any]:
        decision = decision_of(decision_id)
        undone_as_curator(request, [decision])
        found = undo_preview(user=self.user, decision=decision)
        groups = [group.boxes for group in found.groups]
        named = {name: getattr(found, name) for name in ("verdict", "joined", "splits", "hidden")}
        return named | {"groups": groups, "together": len(decisions_together(decision))}

    @operation("Take a decision back", out=UndoneOut, keyed=False)
    def post(self, request: Any, decision_id: int) -> dict[str, Any]:
        """Reviewers their own, curators any. `Idempotency-Key` is the key of the undo."""
        decision = decision_of(decision_id)
        any_user = undone_as_curator(request, [decision])
        decision_undo(acting_user=self.user, decision=decision, any_user=any_user, key=decision_key(request))
        words = undo_outcome(user=self.user, decision=decision)
        return {"count": 1, "pair": [decision.edge.a_id, decision.edge.b_id], "words": words}


class UndoTogether(ApiView):
    @operation("Take back everything that was said in the same step", out=UndoneOut)
    def post(self, request: Any, decision_id: int) -> dict[str, Any]:
        decision = decision_of(decision_id)
        together = decisions_together(decision)
        any_user = undone_as_curator(request, together)
        count = batch_undo(acting_user=self.user, decisions=together, any_user=any_user)
        return {"count": count, "pair": [decision.edge.a_id, decision.edge.b_id], "words": ""}
