"""What time and place propose: stored as groups for one glance, and joined only when a person confirms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from ..errors import Contradiction, SpotIDError, UndoRefused
from ..matching.events import PAIRED_CAMERAS, Group, Shot, bursts_of, groups_of, links
from ..models import Decision, Detection, LinkProposal, Survey, User, Verdict
from ..selectors.graph import component_of, contradictions_among
from ..selectors.proposals import proposal_shots
from ..selectors.shots import shots_of
from .audit import audit_record
from .decisions import decision_record, decision_undo
from .individuals import population_lock

State = LinkProposal.State


@dataclass(frozen=True)
class Refreshed:
    """How many proposals a refresh made and took away, and how many it left open."""

    made: int
    gone: int
    open: int


@transaction.atomic
def proposals_refresh(*, survey: Survey, stations: Collection[int] | None = None) -> Refreshed:
    """Bring the open proposals in line with the photos as they are now, of some stations or of all.

    The same photos are the same proposal, so repeating it changes nothing. An open one whose group is no longer there
    goes; a confirmed or dismissed one stays and is never made again. Where a visit of two cameras was dismissed, the
    bursts of each camera are proposed instead; where photos were left out of a confirmed group, bursts among those.
    """
    # Not so strong a lock that the audit row of somebody who confirms meanwhile, and names the survey, would wait.
    Survey.objects.select_for_update(no_key=True).get(pk=survey.pk)
    there = LinkProposal.objects.filter(survey=survey)
    decided = dict(there.exclude(state=State.OPEN).values_list("key", "pk"))
    states = dict(there.values_list("key", "state"))
    wanted: dict[str, Group] = {}
    for group in _groups(shots_of(survey, stations)):
        for part in _still_asked(group, states, decided):
            if states.get(part.key, State.OPEN) == State.OPEN:
                wanted[part.key] = part
    stale = there.filter(state=State.OPEN).exclude(key__in=wanted)
    if stations is not None:
        stale = stale.filter(detections__image__station__in=stations)
    gone = len(_delete(stale))
    kept = {proposal.key: proposal for proposal in there.filter(key__in=wanted)}
    for key, group in wanted.items():
        if key not in kept:
            _create(survey, group)
        elif (kept[key].started_at, kept[key].seconds) != (group.shots[0].at, group.seconds):
            there.filter(key=key).update(started_at=group.shots[0].at, seconds=group.seconds)
    return Refreshed(len(wanted) - len(kept), gone, there.filter(state=State.OPEN).count())


def proposals_refresh_later(*, survey: Survey, stations: Collection[int] | None = None) -> None:
    """Refresh when the running transaction has been committed: it may hold rows that a refresh waits for."""

    def refresh() -> None:
        proposals_refresh(survey=survey, stations=stations)

    transaction.on_commit(refresh)


def proposals_follow(*, detections: Iterable[Detection]) -> None:
    """Let proposals follow what was said of detections: whether they take part, or show an animal at all."""
    places: dict[Survey, set[int]] = defaultdict(set)
    for detection in detections:
        if detection.image.station_id is not None:
            places[detection.image.survey].add(detection.image.station_id)
    for survey, stations in places.items():
        proposals_refresh_later(survey=survey, stations=stations)


def _groups(shots: Iterable[Shot]) -> list[Group]:
    return groups_of(shots, burst_seconds=settings.SPOTID_BURST_SECONDS, pair_seconds=settings.SPOTID_PAIR_SECONDS)


def _still_asked(group: Group, states: Mapping[str, str], decided: Mapping[str, int]) -> list[Group]:
    """The group itself, or what is left to ask of it after a person has answered."""
    state = states.get(group.key)
    if state == State.DISMISSED and group.kind == PAIRED_CAMERAS:
        rest = set(group.detections)
    elif state == State.CONFIRMED:
        left_out = LinkProposal.left_out.through.objects.filter(linkproposal_id=decided[group.key])
        rest = set(left_out.values_list("detection_id", flat=True))
    else:
        return [group]
    shots = [shot for shot in group.shots if shot.detection in rest]
    return bursts_of(shots, burst_seconds=settings.SPOTID_BURST_SECONDS)


def _delete(stale) -> list[int]:  # type: ignore[no-untyped-def]
    ids = list(stale.values_list("pk", flat=True).distinct())
    LinkProposal.objects.filter(pk__in=ids).delete()
    return ids


def _create(survey: Survey, group: Group) -> None:
    proposal = LinkProposal.objects.create(
        survey=survey, kind=group.kind, key=group.key, started_at=group.shots[0].at, seconds=group.seconds
    )
    proposal.detections.set(group.detections)


@transaction.atomic
def proposal_confirm(
    *,
    acting_user: User | None,
    proposal: LinkProposal,
    detections: Collection[int] | None = None,
    at: datetime | None = None,
) -> list[Decision]:
    """Say that a proposal's photos, or the chosen ones, show one animal. Writes the matches that join them.

    Pairs that are joined already are not written again. Raises SpotIDError when the proposal was decided meanwhile or
    its photos changed, and what `decision_record` raises; nothing of the group is written then.
    """
    population_lock(proposal.survey.population_id)
    held = _open(proposal)
    shots = [shot for shot in proposal_shots([held])[held.pk] if detections is None or shot.detection in detections]
    foreign = set(detections or ()) - set(held.detections.values_list("pk", flat=True))
    if foreign:
        raise SpotIDError(gettext("A photo that does not belong to the group was sent along. Nothing was recorded."))
    if len(shots) < 2:
        raise SpotIDError(gettext("Leave at least two photos ticked, or say that it is not one animal."))
    rows = Detection.objects.filter(pk__in=[shot.detection for shot in shots]).select_related("image__survey")
    comparable = set(Detection.objects.comparable().filter(pk__in=rows).values_list("pk", flat=True))
    by_id = {row.pk: row for row in rows}
    if comparable != by_id.keys():
        raise SpotIDError(gettext("A photo of the group was set aside meanwhile. Look at it again."))
    clashing = contradictions_among(component_of(by_id))
    if clashing:
        raise Contradiction(
            gettext("Earlier decisions say that photos of this group are different animals."), pairs=clashing
        )
    batch, decisions = uuid4(), []
    for link in links(Group(held.kind, tuple(shots))):
        if link.second in component_of([link.first]):
            continue
        decisions.append(
            decision_record(
                acting_user=acting_user,
                first=by_id[link.first],
                second=by_id[link.second],
                verdict=Verdict.MATCH,
                provenance=link.kind,
                batch=batch,
            )
        )
    left_out = set(held.detections.values_list("pk", flat=True)) - by_id.keys()
    held.left_out.set(left_out)
    held.batch = batch
    _decide(held, State.CONFIRMED, acting_user, at)
    audit_record(
        acting_user=acting_user,
        action="proposal.confirm",
        target=held,
        survey=held.survey,
        after={"matches": len(decisions), "photos": sorted(by_id), "left_out": sorted(left_out)},
    )
    if left_out:
        proposals_refresh_later(survey=held.survey, stations=_stations(held))
    return decisions


@transaction.atomic
def proposal_dismiss(*, acting_user: User | None, proposal: LinkProposal, at: datetime | None = None) -> None:
    """Say that a proposal's photos do not show one animal, or that it cannot be told. Nothing is refused by that.

    Raises SpotIDError when it was decided meanwhile.
    """
    held = _open(proposal)
    _decide(held, State.DISMISSED, acting_user, at)
    audit_record(acting_user=acting_user, action="proposal.dismiss", target=held, survey=held.survey)
    if held.kind == LinkProposal.Kind.PAIRED_CAMERAS:
        proposals_refresh_later(survey=held.survey, stations=_stations(held))


@dataclass
class Answered:
    """What became of several proposals. waiting: matches of two named animals, for a curator; refused: each with the
    reason and the pairs that it collides with."""

    done: list[LinkProposal] = field(default_factory=list)
    matches: int = 0
    waiting: list[Decision] = field(default_factory=list)
    refused: list[tuple[LinkProposal, SpotIDError]] = field(default_factory=list)


def proposals_confirm(
    *, acting_user: User | None, chosen: Iterable[tuple[LinkProposal, Collection[int] | None]]
) -> Answered:
    """Confirm several proposals, each wholly or not at all: one that is refused does not hold up the others."""
    answered, at = Answered(), timezone.now()
    for proposal, detections in chosen:
        try:
            decisions = proposal_confirm(acting_user=acting_user, proposal=proposal, detections=detections, at=at)
        except SpotIDError as refused:
            answered.refused.append((proposal, refused))
        else:
            answered.done.append(proposal)
            answered.waiting += [row for row in decisions if row.proposed]
            answered.matches += sum(not row.proposed for row in decisions)
    return answered


def proposals_dismiss(*, acting_user: User | None, proposals: Iterable[LinkProposal]) -> Answered:
    """Dismiss several proposals; one that was decided meanwhile does not hold up the others."""
    answered, at = Answered(), timezone.now()
    for proposal in proposals:
        try:
            proposal_dismiss(acting_user=acting_user, proposal=proposal, at=at)
        except SpotIDError as refused:
            answered.refused.append((proposal, refused))
        else:
            answered.done.append(proposal)
    return answered


@transaction.atomic
def proposal_reopen(*, acting_user: User | None, proposal: LinkProposal, any_user: bool = False) -> int:
    """Take back what was said of a proposal, with every decision that its confirmation wrote; returns how many.

    The graph is then what it would be without them. Raises UndoRefused when the proposal is open, or somebody else's
    answer and `any_user` is not given.
    """
    population_lock(proposal.survey.population_id)
    held = LinkProposal.objects.select_for_update(of=("self",)).select_related("survey").get(pk=proposal.pk)
    if held.state == State.OPEN:
        raise UndoRefused(gettext("This group is open already."))
    if held.decided_by_id != (acting_user.pk if acting_user else None) and not any_user:
        raise UndoRefused(gettext("This answer is somebody else's; a curator can take it back."))
    before = held.state
    written = Decision.objects.filter(batch=held.batch, undoes__isnull=True, undone_by__isnull=True)
    count = 0
    for decision in written.select_related("edge__a__image__survey").order_by("-pk") if held.batch else ():
        decision_undo(acting_user=acting_user, decision=decision, any_user=True)
        count += 1
    held.left_out.clear()
    held.batch = None
    _decide(held, State.OPEN, None, None)
    audit_record(
        acting_user=acting_user,
        action="proposal.reopen",
        target=held,
        survey=held.survey,
        before={"state": before},
        after={"taken_back": count},
    )
    proposals_refresh_later(survey=held.survey, stations=_stations(held))
    return count


def proposals_undo_last(*, acting_user: User, survey: Survey) -> tuple[int, int]:
    """Take back the person's last answer on groups of the survey, all that were answered at once.

    Returns how many groups are open again and how many decisions were taken back. Raises UndoRefused when there is
    none.
    """
    own = LinkProposal.objects.filter(survey=survey, decided_by=acting_user).exclude(state=State.OPEN)
    last = own.order_by("-decided_at").values_list("decided_at", flat=True).first()
    if last is None:
        raise UndoRefused(gettext("There is no answer of yours left to take back here."))
    proposals = list(own.filter(decided_at=last).select_related("survey"))
    with transaction.atomic():
        decisions = sum(proposal_reopen(acting_user=acting_user, proposal=proposal) for proposal in proposals)
    return len(proposals), decisions


def _open(proposal: LinkProposal) -> LinkProposal:
    held = LinkProposal.objects.select_for_update(of=("self",)).select_related("survey").filter(pk=proposal.pk).first()
    if held is None:
        raise SpotIDError(gettext("The group is no longer what it was: its photos or their times changed."))
    if held.state != State.OPEN:
        raise SpotIDError(
            gettext("The group was answered meanwhile: %(state)s.") % {"state": held.get_state_display().lower()}
        )
    return held


def _decide(held: LinkProposal, state: str, acting_user: User | None, at: datetime | None) -> None:
    held.state, held.decided_by = state, acting_user
    held.decided_at = None if state == State.OPEN else at or timezone.now()
    held.save(update_fields=["state", "decided_by", "decided_at", "batch"])


def _stations(held: LinkProposal) -> set[int]:
    return {pk for pk in held.detections.values_list("image__station_id", flat=True) if pk is not None}
