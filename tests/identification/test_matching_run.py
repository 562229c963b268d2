"""What a matching run stores, held against a plain computation that keeps everything."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest

from identification.inference.compared import ComparedPairs
from identification.inference.comparison import CoatSet, PairScore
from identification.models import Candidate, Flank, Survey, Verdict
from identification.selectors.graph import population_graph
from identification.services import matching_run
from identification.services.coats import coats_complete, load_coats
from identification.services.matching_run import survey_match
from modelzoo.calibration import Evidence
from modelzoo.standing import PairModel, Standing
from tests.identification.factories import make_detection, make_image, make_sighting, make_station, make_survey, match

needs_database = pytest.mark.django_db
ANIMALS = 6


def test_compared_pairs_are_given_back_as_they_were_found() -> None:
    bare = PairScore(-3.2, 0.1, 0, None, -3.2, Evidence(0, 4, 100, 80))
    full = PairScore(
        1 / 3, 0.999, 9, -0.25, 2 / 3, Evidence(9, 12, 300, 250, -0.25, "a" * 64, 1 / 7, 0.4, 0.1, 8.5, True)
    )
    other = replace(full, evidence=replace(full.evidence, embedding="b" * 64))
    pairs = ComparedPairs()
    assert list(pairs) == [] and len(pairs) == 0 and 4 not in pairs and pairs.find(4, 2) is None
    pairs.add(4, [2, 9], [full, bare])
    pairs.add(2, [7], [other])
    pairs.add(3, [], [])
    assert list(pairs) == [4, 2, 3] and len(pairs) == 3 and 4 in pairs
    assert pairs.others(4) == [2, 9] and pairs.weights(4) == [1 / 7, 0.0]
    assert pairs.results(4) == [full, bare] and pairs.result(2, 0) == other and pairs.results(3) == []
    assert pairs.find(4, 9) == bare and pairs.find(4, 7) is None and pairs.find(9, 4) is None
    assert isinstance(pairs.find(4, 9).inliers, int) and pairs.find(4, 2).evidence.flanks_known is True


@pytest.fixture
def survey(tiny_model):
    """30 photos of six animals, some flanks unknown, an earlier season with four more, and some answers."""
    earlier = make_survey(matching_state=Survey.Matching.DONE)
    survey = make_survey(earlier.population, matching_state=Survey.Matching.STALE)
    for animal in range(4):
        make_sighting(earlier, coat=animal)
    flanks = [Flank.RIGHT, Flank.UNKNOWN, Flank.RIGHT, Flank.LEFT, Flank.RIGHT]
    place = make_station(survey, "ST01")
    animals = [
        [make_detection(make_image(survey, station=place), coat=a, flank=flank) for flank in flanks]
        for a in range(ANIMALS)
    ]
    for own in animals[:3]:
        match(None, own[0], own[2])
    match(None, animals[3][0], animals[4][0], Verdict.NO_MATCH)
    return survey


def exhaustive(survey: Survey) -> dict[int, list[dict[str, Any]]]:
    """The candidates of every anchor, from a table of all pairs and by the rules as docs/decisions/0026 and 27 say."""
    coats_complete(population=survey.population, vectors_from=10**6)
    sides, coats = load_coats(survey.population)
    graph = population_graph(survey.population)
    place = {side.detection: index for index, side in enumerate(sides)}
    table = {
        (a.detection, b.detection): coats.compare(*sorted((place[a.detection], place[b.detection])))
        for a in sides
        for b in sides
        if a.image != b.image and {a.flank, b.flank} != {Flank.LEFT, Flank.RIGHT}
    }
    anchors = [side.detection for side in sides if side.survey == survey.pk]
    flank = {side.detection: side.flank for side in sides}
    found = {}
    for anchor in anchors:
        compared = {b: result for (a, b), result in table.items() if a == anchor}
        level = statistics.median(r.score for r in compared.values()) if len(compared) >= 10 else None
        strangers = {b: r.score for b, r in compared.items() if graph.root(b) != graph.root(anchor)}
        rows = []
        for b in _kept(anchor, anchors, compared, table, coats, graph):
            best = max(strangers, key=strangers.__getitem__)
            others = [score for c, score in strangers.items() if graph.root(c) != graph.root(best)]
            rival = max(others) if graph.root(b) == graph.root(best) else strangers[best]
            known = {anchor: flank[anchor], b: flank[b]}
            evidence = replace(compared[b].evidence, flanks_known=Flank.UNKNOWN not in known.values())
            standing = Standing(evidence, compared[b].score, rival, level, len(compared))
            rows.append({"detection": b, "result": compared[b], "standing": standing})
        found[anchor] = rows
    return found


def _kept(anchor: int, anchors: list[int], compared: dict, table: dict, coats: CoatSet, graph: Any) -> list[int]:
    """The ten best in any case, then the best of each further group, thirty in all."""

    def weight(a: int, b: int) -> float:
        return table[a, b].evidence.weight if (a, b) in table else 0.0

    ranking = {}
    for b, result in compared.items():
        thirds = [t for t in anchors if t not in (anchor, b) and (anchor, t) in table]
        through = max((min(weight(anchor, t), weight(t, b)) / 2 for t in thirds), default=0.0)
        linked = replace(result.evidence, weight=max(through, result.evidence.weight))
        ranking[b] = max(result.score, coats.calibration.score(linked))
    kept: list[int] = []
    for b in sorted(ranking, key=lambda b: (-ranking[b], b)):
        if len(kept) < 30 and (len(kept) < 10 or graph.root(b) not in {graph.root(k) for k in kept}):
            kept.append(b)
    return kept


def _expected(rows: dict[int, list[dict[str, Any]]]) -> list[tuple[Any, ...]]:
    model = PairModel.default()
    stored = {
        (anchor, rank): Standing.from_dict(row["standing"].to_dict())
        for anchor, own in rows.items()
        for rank, row in enumerate(own, 1)
    }
    found = []
    for anchor, own in rows.items():
        for rank, row in enumerate(own, 1):
            result: PairScore = row["result"]
            said = model.probability(stored[anchor, rank])
            values = (result.similarity, result.inliers, result.score, said, row["standing"].to_dict())
            found.append((anchor, row["detection"], rank, *values))
    return sorted(found, key=lambda one: one[:2])


def _stored(survey: Survey) -> list[tuple[Any, ...]]:
    names = ("anchor_id", "detection_id", "rank", "similarity", "inliers", "score", "probability", "evidence")
    return list(
        Candidate.objects.filter(anchor__image__survey=survey).order_by("anchor", "detection").values_list(*names)
    )


@needs_database
@pytest.mark.parametrize("verify_all", [250, 2])
def test_the_stored_candidates_are_those_of_a_computation_over_all_pairs(survey, monkeypatch, verify_all) -> None:
    expected = _expected(exhaustive(survey))
    monkeypatch.setattr(matching_run, "VERIFY_ALL", verify_all)
    monkeypatch.setattr(matching_run, "SHORTLIST", 60)
    assert survey_match(survey_id=survey.pk)
    survey.refresh_from_db()
    assert survey.matching_error == "" and survey.matching_state == Survey.Matching.DONE
    assert len(expected) > 30 * 10 and any(row[2] == 30 for row in expected)
    assert _stored(survey) == expected
