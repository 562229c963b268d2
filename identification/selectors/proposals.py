"""What time and place propose, as the page of one glance shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..matching.events import Shot, cautions
from ..matching.graph import SignedGraph
from ..models import Detection, LinkProposal, Survey, User
from ..permissions import Action, detections_for, images_for, may
from ..presenting import local_time, span_words
from .graph import population_graph

LATELY = 8
_CAUTIONS = {
    "turned": _("left and right flank within one burst: it turned, or these are two"),
    "same_side": _("both cameras show the same flank, which facing cameras do not of one animal"),
    "refused": _("an earlier decision says that two of these are different animals"),
    "named": _("joins individuals that have different codes now"),
}


@dataclass(frozen=True)
class ProposalCard:
    """A proposal with its photos in time order. whole: ids of images that the account may open.

    cautions: what to look at twice, in words. apart: groups that the photos fall into now.
    """

    proposal: LinkProposal
    photos: list[Detection]
    cautions: list[str]
    apart: int
    whole: frozenset[int]

    @property
    def paired(self) -> bool:
        return self.proposal.kind == LinkProposal.Kind.PAIRED_CAMERAS

    @property
    def rows(self) -> list[tuple[Detection, str]]:
        """Each photo with the time of day by the survey's clock."""
        zone = self.photos[0].image.survey.time_zone
        return [(photo, local_time(photo.image.captured_at, zone).rpartition(", ")[2]) for photo in self.photos]

    @property
    def span(self) -> str:
        if not self.proposal.seconds:
            return gettext("in the same second")
        return gettext("within %(span)s") % {"span": span_words(timedelta(seconds=self.proposal.seconds))}


def proposal_shots(proposals: Collection[LinkProposal]) -> dict[int, list[Shot]]:
    """The photos of each proposal as they are now, in time order."""
    rows = (
        LinkProposal.detections.through.objects.filter(linkproposal__in=proposals)
        .order_by("detection__image__captured_at", "detection__image__camera", "detection__image_id")
        .values_list(
            "linkproposal_id",
            "detection_id",
            "detection__flank",
            "detection__image_id",
            "detection__image__station_id",
            "detection__image__camera",
            "detection__image__captured_at",
        )
    )
    found: dict[int, list[Shot]] = {proposal.pk: [] for proposal in proposals}
    for proposal, detection, flank, image, station, camera, at in rows:
        if station is not None and at is not None:
            found[proposal].append(Shot(image, station, camera, at, 1, detection, flank))
    return found


def proposals_open(survey: Survey) -> list[int]:
    """Ids of the open proposals that still ask something, by time: those whose photos are joined already do not."""
    graph = population_graph(survey.population)
    members: dict[int, list[int]] = {}
    rows = LinkProposal.detections.through.objects.filter(
        linkproposal__survey=survey,
        linkproposal__state=LinkProposal.State.OPEN,
        detection__in=Detection.objects.comparable(),
    )
    ordered = rows.order_by("linkproposal__started_at", "linkproposal_id")
    for proposal, detection in ordered.values_list("linkproposal_id", "detection_id"):
        members.setdefault(proposal, []).append(detection)
    return [pk for pk, ids in members.items() if len({graph.root(detection) for detection in ids}) > 1]


def proposal_cards(*, user: User, survey: Survey, ids: Iterable[int]) -> list[ProposalCard]:
    """The proposals, in the order of the ids. A constant number of queries."""
    wanted = list(ids)
    proposals = LinkProposal.objects.in_bulk(wanted)
    shots = proposal_shots(list(proposals.values()))
    detections = {shot.detection for rows in shots.values() for shot in rows if shot.detection is not None}
    visible = {
        row.pk: row
        for row in detections_for(user)
        .filter(pk__in=detections, image__survey=survey)
        .select_related("image__station", "image__survey", "individual__population")
    }
    images = {row.image_id for row in visible.values()}
    whole = frozenset(images_for(user).filter(pk__in=images).values_list("pk", flat=True))
    graph = population_graph(survey.population)
    cards = []
    for pk in wanted:
        seen = [shot for shot in shots.get(pk, []) if shot.detection in visible]
        if pk not in proposals or len(seen) < 2:
            continue
        photos = [visible[shot.detection] for shot in seen if shot.detection is not None]
        roots = {graph.root(photo.pk) for photo in photos}
        words = [str(_CAUTIONS[name]) for name in (*cautions(seen), *_known_of(photos, graph))]
        cards.append(ProposalCard(proposals[pk], photos, words, len(roots), whole))
    return cards


def _known_of(photos: list[Detection], graph: SignedGraph) -> list[str]:
    """What earlier decisions say against a group."""
    found = []
    pairs = [(a.pk, b.pk) for index, a in enumerate(photos) for b in photos[index + 1 :]]
    if any(graph.follows(*pair) in ("no_match", "contradiction") for pair in pairs):
        found.append("refused")
    if len({photo.individual_id for photo in photos if photo.individual_id}) > 1:
        found.append("named")
    return found


@dataclass(frozen=True)
class AnsweredCard:
    """A proposal that was answered, and whether the account may take the answer back."""

    proposal: LinkProposal
    photos: int
    left_out: int
    may_undo: bool


def proposals_answered(*, user: User, survey: Survey) -> list[AnsweredCard]:
    """The last answers on groups of the survey, the latest first."""
    rows = (
        LinkProposal.objects.filter(survey=survey)
        .exclude(state=LinkProposal.State.OPEN)
        .select_related("decided_by")
        .prefetch_related("detections", "left_out")
        .order_by("-decided_at", "-pk")[:LATELY]
    )
    curator = may(user, Action.UNDO_ANY, survey)
    return [
        AnsweredCard(row, len(row.detections.all()), len(row.left_out.all()), curator or row.decided_by_id == user.pk)
        for row in rows
    ]
