"""How far the reviewers of a survey agree, and how often each is wrong, from what they said without knowing of another.

Rates count pairs with a known truth: known pairs, and pairs that two people judged blindly, where they agreed or a
curator settled it. Disagreements alone would not do: of each of these one of the two is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from ..matching.agreement import Agreement, Faults, Judged, agreement_of, faults_of
from ..models import Adjudication, Opinion, Survey, User, Verdict
from .adjudication import disagreements
from .checks import seconds_wanted
from .opinions import standing_opinions

UNDECIDED = "undecided"
_DEFINITE = (Verdict.MATCH, Verdict.NO_MATCH)


@dataclass(frozen=True)
class Two:
    """Two reviewers, and how far they agree on the pairs that both judged without knowing of each other's answer."""

    one: User
    other: User
    agreement: Agreement


@dataclass(frozen=True)
class Person:
    """One reviewer. known, second: of how many known pairs, and of how many second reviews on either side, it is."""

    user: User
    faults: Faults
    known: int
    second: int


@dataclass(frozen=True)
class Report:
    """The agreement page. all: over all pairs of reviewers together; waiting: decisions that await a second opinion;
    open: disagreements that nobody has settled, which no rate counts yet."""

    all: Agreement
    twos: list[Two]
    people: list[Person]
    waiting: int
    open: int


@dataclass(frozen=True)
class _Answer:
    """What two people, or a person and the truth, said of one pair."""

    one: int
    said: str
    other: int
    also: str


def agreement_report(*, survey: Survey) -> Report:
    """Everybody's figures in a survey: for curators."""
    double, judged, known, second = _read(survey)
    people = _people({*judged, *(user for answer in double for user in (answer.one, answer.other))})
    by_two: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for answer in double:
        turned = answer.one > answer.other
        two = (answer.other, answer.one) if turned else (answer.one, answer.other)
        by_two[two].append((answer.also, answer.said) if turned else (answer.said, answer.also))
    twos = [Two(people[a], people[b], agreement_of(said)) for (a, b), said in by_two.items()]
    persons = [Person(user, faults_of(judged.get(pk, [])), known[pk], second[pk]) for pk, user in people.items()]
    return Report(
        all=agreement_of((answer.said, answer.also) for answer in double),
        twos=sorted(twos, key=lambda two: (str(two.one).casefold(), str(two.other).casefold())),
        people=sorted(persons, key=lambda person: str(person.user).casefold()),
        waiting=seconds_wanted(survey=survey).count() if survey.second_review_share else 0,
        open=disagreements(survey=survey).count(),
    )


def agreement_own(*, user: User, survey: Survey) -> tuple[Agreement, Person]:
    """One reviewer's own figures: how far she agrees with all others together, and her rates. Of others nothing."""
    double, judged, known, second = _read(survey)
    mine = [(answer.said, answer.also) for answer in double if answer.one == user.pk]
    mine += [(answer.also, answer.said) for answer in double if answer.other == user.pk]
    return agreement_of(mine), Person(user, faults_of(judged.get(user.pk, [])), known[user.pk], second[user.pk])


def _read(survey: Survey) -> tuple[list[_Answer], dict[int, list[Judged]], dict[int, int], dict[int, int]]:
    """Double judgements, judged answers by person, and numbers of known pairs and of second reviews by person."""
    double: list[_Answer] = []
    judged: dict[int, list[Judged]] = defaultdict(list)
    known: dict[int, int] = defaultdict(int)
    second: dict[int, int] = defaultdict(int)
    settled = dict(
        Adjudication.objects.filter(opinion__survey=survey, decision__undone_by__isnull=True)
        .order_by("pk")
        .values_list("opinion_id", "decision__verdict")
    )
    seconds = standing_opinions().filter(
        survey=survey, kind=Opinion.Kind.SECOND, decision__undone_by__isnull=True, decision__acting_user__isnull=False
    )
    for pk, first, said, other, also in seconds.values_list(
        "pk", "decision__acting_user_id", "decision__verdict", "user_id", "verdict"
    ):
        double.append(_Answer(first, _category(said), other, _category(also)))
        second[first] += 1
        second[other] += 1
        truth = said if said == also else settled.get(pk, "")
        if truth in _DEFINITE:
            judged[first].append(Judged(said, truth))
            judged[other].append(Judged(also, truth))
    together: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
    rows = standing_opinions().filter(survey=survey, kind=Opinion.Kind.KNOWN).order_by("pk")
    for user, a, b, said, truth in rows.values_list("user_id", "a_id", "b_id", "verdict", "truth"):
        judged[user].append(Judged(said, truth))
        known[user] += 1
        together[(a, b)][user] = _category(said)
    for answers in together.values():
        double += [_Answer(one, answers[one], other, answers[other]) for one, other in combinations(sorted(answers), 2)]
    return double, judged, known, second


def _category(verdict: str) -> str:
    """Unsure and incomparable are one answer: that the photos decide nothing."""
    return verdict if verdict in _DEFINITE else UNDECIDED


def _people(ids: Iterable[int]) -> dict[int, User]:
    return User.objects.in_bulk(list(ids))
