"""What a population's decisions say of the pairs that matching proposed, and how its calibrations stand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ..matching.graph import SignedGraph
from ..models import CalibrationRun, Candidate, MatchEdge, PairCalibration, Population, Provenance, Survey, Verdict
from ..prepared import Given, Prepared

# Two boxes of one burst look alike without any coat, and two cameras of a station show two different coats.
_NO_COAT_EVIDENCE = (Provenance.SAME_EVENT, Provenance.PAIRED_CAMERAS)

# With fewer, a fit cannot be told from chance.
FEWEST_OF_A_KIND = 20
FEWEST_INDIVIDUALS = 5
# Of candidates that nothing follows of, so many tell what the others are like.
MOST_OPEN = 20_000


@dataclass(frozen=True)
class LabelledCandidate:
    """A candidate of which decisions say what it is. query, candidate: the animals (component roots) that they show;
    key: the ids of both detections, the smaller first; evidence: as stored with the candidate."""

    evidence: dict[str, Any]
    same: bool
    query: int
    candidate: int
    key: tuple[int, int]

    @property
    def matcher(self) -> str:
        """Version of the learned matcher that compared the pair, "" where none did."""
        return str(self.evidence.get("learned", {}).get("matcher", ""))


@dataclass(frozen=True)
class Labels:
    """All of a population. stored: candidates whose evidence is kept; without evidence they cannot be refreshed.

    open: evidence of candidates that nothing follows of yet, drawn by chance where there are many; each stands for
    `open_weight` of them.
    """

    pairs: tuple[LabelledCandidate, ...] = field(repr=False)
    stored: int
    open: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    open_weight: float = 1.0

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
    def matcher(self) -> str:
        """Version of the learned matcher that compared most of these pairs, "" where none compared any."""
        counted = Counter(pair.matcher for pair in self.pairs if pair.matcher)
        return max(counted, key=lambda version: (counted[version], version), default="")

    def compared_by(self, matcher: str) -> Labels:
        """Those of the pairs that this learned matcher compared."""
        return replace(self, pairs=tuple(pair for pair in self.pairs if pair.matcher == matcher), open=())

    @property
    def said(self) -> str:
        """How many decisions there are, for people."""
        if self.enough:
            return f"{self.right} right and {self.wrong} wrong pairs of {self.individuals} individuals"
        return (
            f"Too few decisions to calibrate: {FEWEST_OF_A_KIND} right and {FEWEST_OF_A_KIND} wrong pairs of "
            f"{FEWEST_INDIVIDUALS} individuals are needed; there are {self.right} right and "
            f"{self.wrong} wrong ones of {self.individuals}."
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
    pairs: list[LabelledCandidate] = []
    undecided = Sample(MOST_OPEN)
    stored = 0
    for a, b, evidence, event, other in rows.iterator(chunk_size=2000):
        stored += 1
        query, candidate = whole.root(a), whole.root(b)
        if (event is not None and event == other) or query in doubtful or candidate in doubtful:
            continue
        said = whole.follows(a, b)
        if said == "no_match" or (said == "match" and by_coat.root(a) == by_coat.root(b)):
            pairs.append(LabelledCandidate(evidence, said == "match", query, candidate, (min(a, b), max(a, b))))
        elif said == "":
            undecided.add(evidence)
    return Labels(tuple(pairs), stored, tuple(undecided.kept), undecided.weight)


class Sample:
    """Up to so many of a stream, each with the same chance (Vitter 1985, algorithm R); the same ones each time."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0
        self.kept: list[dict[str, Any]] = []
        self._random = random.Random(0)

    def add(self, one: dict[str, Any]) -> None:
        self.seen += 1
        if len(self.kept) < self.most:
            self.kept.append(one)
        elif (place := self._random.randrange(self.seen)) < self.most:
            self.kept[place] = one

    @property
    def weight(self) -> float:
        """How many of the stream each that is kept stands for."""
        return self.seen / len(self.kept) if self.kept else 1.0


def active_calibration(population: Population) -> PairCalibration | None:
    return PairCalibration.objects.filter(population=population, active=True).first()


_ACTIVE = Prepared(
    lambda: PairCalibration.objects.filter(population=Given("population"), active=True).values_list("pk")[:1]
)


def is_calibrated(population: Population) -> bool:
    """Whether probabilities are fitted to the population's own decisions; else they are those of a new installation."""
    return _ACTIVE.exists(population=population.pk)


def latest_attempt(population: Population) -> PairCalibration | None:
    """The last one fitted, kept or not."""
    return PairCalibration.objects.filter(population=population).order_by("-pk").first()


def latest_run(population: Population) -> CalibrationRun | None:
    """The last calibration that was asked for, open or over."""
    return CalibrationRun.objects.filter(population=population).select_related("requested_by").order_by("-pk").first()


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
