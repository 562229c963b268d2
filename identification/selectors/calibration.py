"""What a population's decisions say of the pairs that matching proposed, and how its calibrations stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..matching.graph import SignedGraph
from ..models import Candidate, MatchEdge, PairCalibration, Population, Provenance, Survey, Verdict

# Two boxes of one burst look alike without any coat, and two cameras of a station show two different coats.
_NO_COAT_EVIDENCE = (Provenance.SAME_EVENT, Provenance.PAIRED_CAMERAS)

# With fewer, a fit cannot be told from chance.
FEWEST_OF_A_KIND = 20
FEWEST_INDIVIDUALS = 5


@dataclass(frozen=True)
class LabelledCandidate:
    """A candidate of which decisions say what it is. query, candidate: the animals (component roots) that they show;
    key: the ids of both detections, the smaller first; evidence: as stored with the candidate."""

    evidence: dict[str, Any]
    same: bool
    query: int
    candidate: int
    key: tuple[int, int]


@dataclass(frozen=True)
class Labels:
    """All of a population. stored: candidates whose evidence is kept; without evidence they cannot be refreshed."""

    pairs: tuple[LabelledCandidate, ...] = field(repr=False)
    stored: int

    @property
    def right(self) -> int:
        """Different pairs that show one animal."""
        return len({pair.key for pair in self.pairs if pair.same})

    @property
    def wrong(self) -> int:
        return len({pair.key for pair in self.pairs if not pair.same})

    @property
    def individuals(self) -> int:
        return len({name for pair in self.pairs for name in (pair.query, pair.candidate)})

    @property
    def enough(self) -> bool:
        return min(self.right, self.wrong) >= FEWEST_OF_A_KIND and self.individuals >= FEWEST_INDIVIDUALS

    @property
    def said(self) -> str:
        """How many decisions there are, for people."""
        if self.enough:
            return f"{self.right} right and {self.wrong} wrong pairs of {self.individuals} individuals"
        return (
            f"Too few decisions to calibrate: {FEWEST_OF_A_KIND} right and {FEWEST_OF_A_KIND} wrong pairs of "
            f"{FEWEST_INDIVIDUALS} individuals are needed; there are {self.right} and {self.wrong} of "
            f"{self.individuals}."
        )


def labelled_candidates(population: Population) -> Labels:
    """Stored candidates that follow from decisions, directly or through others.

    Left out: pairs of one event, pairs that are joined only through time and place (no coat says so), and components
    that contradict themselves.
    """
    edges = list(
        MatchEdge.objects.filter(
            a__image__survey__population=population, verdict__in=[Verdict.MATCH, Verdict.NO_MATCH]
        ).values_list("a_id", "b_id", "verdict", "provenance")
    )
    refusals = [(a, b) for a, b, verdict, _ in edges if verdict == Verdict.NO_MATCH]
    matches = [(a, b, provenance) for a, b, verdict, provenance in edges if verdict == Verdict.MATCH]
    whole = SignedGraph.of([(a, b) for a, b, _ in matches], refusals)
    by_coat = SignedGraph.of([(a, b) for a, b, provenance in matches if provenance not in _NO_COAT_EVIDENCE])
    doubtful = {whole.root(a) for a, _ in whole.contradictions()}
    rows = (
        Candidate.objects.filter(anchor__image__survey__population=population)
        .exclude(evidence={})
        .values_list("anchor_id", "detection_id", "evidence", "anchor__image__event_id", "detection__image__event_id")
    )
    pairs, stored = [], 0
    for a, b, evidence, event, other in rows.iterator(chunk_size=2000):
        stored += 1
        query, candidate = whole.root(a), whole.root(b)
        if (event is not None and event == other) or query in doubtful or candidate in doubtful:
            continue
        said = whole.follows(a, b)
        if said == "no_match" or (said == "match" and by_coat.root(a) == by_coat.root(b)):
            pairs.append(LabelledCandidate(evidence, said == "match", query, candidate, (min(a, b), max(a, b))))
    return Labels(tuple(pairs), stored)


def active_calibration(population: Population) -> PairCalibration | None:
    return PairCalibration.objects.filter(population=population, active=True).first()


def latest_attempt(population: Population) -> PairCalibration | None:
    """The last one fitted, kept or not."""
    return PairCalibration.objects.filter(population=population).order_by("-pk").first()


def calibration_before(population: Population) -> PairCalibration | None:
    """The one that served before the active one and can serve again; None where the shipped one did."""
    active = active_calibration(population)
    if active is None:
        return None
    earlier = PairCalibration.objects.filter(population=population, pk__lt=active.pk).order_by("-pk")
    return next((one for one in earlier if one.report.get("kept") and not one.report.get("withdrawn")), None)


def unmatched(population: Population) -> bool:
    """Whether candidates of any of its surveys are out of date."""
    return Survey.objects.filter(population=population).exclude(matching_state=Survey.Matching.DONE).exists()
