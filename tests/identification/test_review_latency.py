"""The benchmark of review latency with few photos: it runs, and it draws what the services could have left."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from identification.models import Candidate, Decision, Detection, Individual, MatchEdge, Population
from identification.selectors.graph import contradictions_among, population_graph
from identification.services.individuals import individuals_resolve, population_lock
from tests.identification.worker_process import worker_environment

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import review_latency

    yield review_latency
    for name in ("review_latency", "review_load", "large_catalogue"):
        sys.modules.pop(name, None)


@pytest.mark.django_db
def test_what_is_drawn_is_what_the_services_would_have_left(bench: Any) -> None:
    catalogue, places = bench.prepared(detections=600, reviewers=3, surveys=2, seed=3)
    assert len(places) == 3 and len({survey for _, survey in places}) == 2
    assert Detection.objects.count() == len(catalogue.coat) and Candidate.objects.count() == catalogue.candidates
    assert MatchEdge.objects.exclude(verdict="").count() == catalogue.edges == pytest.approx(300, abs=3)
    assert set(MatchEdge.objects.exclude(verdict="").values_list("verdict", flat=True)) == {
        "match",
        "no_match",
        "unsure",
        "incomparable",
    }
    assert Decision.objects.filter(undoes__isnull=False).exists()
    for population in Population.objects.all():
        _as_the_services_leave_it(population, catalogue.coat)


def _as_the_services_leave_it(population: Population, coat: dict[int, int]) -> None:
    graph = population_graph(population)
    assert all(coat[a] == coat[b] for a, b in graph.matches)
    before = dict(Detection.objects.filter(image__survey__population=population).values_list("pk", "individual_id"))
    components = [part for part in graph.components(before) if len(part) > 1]
    assert components
    for part in components:
        assert not contradictions_among(part)
        assert len({before[pk] for pk in part}) == 1 and before[min(part)] is not None
    individuals = list(Individual.objects.filter(population=population).order_by("pk").values())
    individuals_resolve(population=population_lock(population.pk), detections=list(before))
    assert before == dict(Detection.objects.filter(pk__in=before).values_list("pk", "individual_id"))
    assert individuals == list(Individual.objects.filter(population=population).order_by("pk").values())
    population.refresh_from_db()
    numbers = [row["number"] for row in individuals]
    assert len(set(numbers)) == len(numbers) and max(numbers) == population.last_number


@pytest.mark.django_db(transaction=True)
def test_reviewers_work_through_the_real_server(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = worker_environment()
    for name in ("DATABASE_URL", "SPOTID_SECRET_KEY", "SPOTID_HOME", "SPOTID_PARENT_PID", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setattr(bench, "PACE", 0.5)
    catalogue, places = bench.prepared(detections=400, reviewers=3, surveys=2, seed=3)
    before = Decision.objects.count()
    found = bench.measured(catalogue, places, seconds=4.0, seed=3)
    bench.report(found | {"detections": 1, "candidates": 1, "edges": 1, "individuals": 1, "reviewers": 3, "surveys": 2})
    assert found["next_pair_p95_ms"] > 0 and found["decision_p95_ms"] > 0
    assert Decision.objects.count() > before
    for way in found["ways"].values():
        assert way["trouble"] == []
        asked = way["requests"]["decision"]
        assert {"302", "200"} & set(asked["statuses"])
        assert asked["server_ms"]["p50"] <= asked["client_ms"]["max"]
    assert 5 < found["queries_per_page"] < 70


def test_a_reviewer_answers_by_the_truth_but_for_a_few(bench: Any) -> None:
    from review_load import Reviewer

    person = Reviewer("x", 1, 1, {1: 7, 2: 7, 3: 8}, random.Random(1))
    same = Counter(person._verdict(1, 2) for _ in range(2000))
    other = Counter(person._verdict(1, 3) for _ in range(2000))
    assert same["match"] > 1850 and other["no_match"] > 1850
    assert min(same["unsure"], same["incomparable"], same["no_match"]) > 0
