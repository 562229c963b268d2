"""What several people leave behind, on the demonstration: for the pictures of the documentation.

    python3 spotid.py manage shell -c "from tests.browser.furnish import furnish; furnish()"

Ann answers by the truth table of the rendered season, with one slip; Ben judges pairs of hers again, blindly, and
differs now and then; the administrator answers last. Everything goes through the services, as from the pages. Needs
SPOTID_PASSWORD, which Ann gets as well. Prints, for screenshots.py, the boxes of pairs that nobody decided, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from identification.errors import SpotIDError
from identification.models import (
    Candidate,
    Decision,
    Detection,
    MatchEdge,
    Opinion,
    Role,
    Survey,
    Triage,
    User,
    Verdict,
)
from identification.selectors.checks import Check
from identification.services.accounts import membership_set
from identification.services.calibration import calibration_fit
from identification.services.decisions import decision_record
from identification.services.opinions import opinion_record, survey_checks_set
from identification.services.triage import detections_triage
from identification.services.triage_queue import triage_request
from tests.browser.furnish_desk import desk, errors, others, truth

LEFT_OPEN = 4
REFUSED = 30
ADMINISTRATORS = 5
JUDGED_AGAIN = 50
DIFFERS = (4, 11, 19)

_Groups = dict[tuple[str, str], list[Detection]]


def furnish(name: str = "Demonstration") -> None:
    """Answers, second opinions, a slip, a conflict and scores of species. Once on a fresh demonstration."""
    survey = Survey.objects.select_related("population").get(name=name)
    admin, ann, ben = User.objects.get(username="admin"), _account("ann", survey), _account("ben", survey)
    groups = _groups(survey)
    whole = [key for key, boxes in groups.items() if key[0] and len(boxes) > 3]
    left, twice = whole[-LEFT_OPEN:], whole[2]
    done = groups.keys() - {*left, twice}
    last = _answers(ann, groups, done, groups[whole[0]][-1])
    _refusals(ann, groups, done, most=REFUSED)
    survey_checks_set(acting_user=admin, survey=survey, second=0.5, known=0.0)
    _second_opinions(ben, survey)
    places: dict[str, object] = {
        "stale": _undecided(survey, groups[left[0]]),
        "contradiction": _triples(survey, groups, left[1:3]),
    }
    _slip(ann, groups, left[3:])
    inside = groups[whole[1]]
    decision_record(
        acting_user=ben, first=inside[0], second=inside[2], verdict=Verdict.NO_MATCH, confirm_contradiction=True
    )
    _species(admin, survey, groups)
    fit = calibration_fit(population=survey.population, acting_user=admin)
    _refusals(admin, groups, done, most=ADMINISTRATORS)
    _said(admin, *last, Verdict.MATCH)
    desk(admin, ann, survey, [groups[key] for key in whole[3:7]], groups[twice])
    places["errors"] = errors()
    places["second_factor"] = others(survey, os.environ["SPOTID_PASSWORD"])
    sys.stderr.write(f"{fit.sentence}\n{Decision.objects.count()} decisions, {Opinion.objects.count()} opinions\n")
    sys.stdout.write(json.dumps(places) + "\n")


def _account(name: str, survey: Survey) -> User:
    user, _ = User.objects.get_or_create(username=name)
    user.set_password(os.environ["SPOTID_PASSWORD"])
    user.save()
    membership_set(acting_user=None, user=user, role=Role.REVIEWER, survey=survey)
    return user


def _groups(survey: Survey) -> _Groups:
    """Boxes by the animal and flank that the renderer drew, those with most photos first."""
    drawn = {row["file"]: (row["individual"], row["flank"]) for row in truth()}
    groups: _Groups = defaultdict(list)
    for box in Detection.objects.comparable().filter(image__survey=survey).select_related("image").order_by("pk"):
        groups[drawn.get(box.image.relative_path, ("", ""))].append(box)
    return dict(sorted(groups.items(), key=lambda item: (not item[0][0], -len(item[1]), item[0])))


def _said(user: User, first: Detection, second: Detection, verdict: str) -> bool:
    try:
        decision_record(acting_user=user, first=first, second=second, verdict=verdict, anchor=first)
    except SpotIDError:
        return False  # the flanks were estimated otherwise, or it follows already
    return True


def _answers(user: User, groups: _Groups, done: set[tuple[str, str]], last: Detection) -> tuple[Detection, Detection]:
    """The likeliest candidates of each animal that is done, as far as they do not follow. `last` is left out.

    Returns the likeliest pair of `last` with its animal.
    """
    of, whose, left_out = _animal_of(groups), {box.pk: box.pk for boxes in groups.values() for box in boxes}, []
    for first, second in _pairs(last.image.survey):
        key = of[first.pk]
        if not key[0] or key not in done or key != of[second.pk] or whose[first.pk] == whose[second.pk]:
            continue
        if last.pk in (first.pk, second.pk):
            left_out.append((first, second))
        elif _said(user, first, second, Verdict.MATCH):
            old = whose[second.pk]
            whose |= {pk: whose[first.pk] for pk, name in whose.items() if name == old}
    return left_out[0]


def _pairs(survey: Survey, *, most_likely: bool = True) -> Iterator[tuple[Detection, Detection]]:
    order = "-probability" if most_likely else "probability"
    rows = Candidate.objects.filter(anchor__image__survey=survey).select_related("anchor__image", "detection__image")
    for row in rows.order_by(order, "pk"):
        yield row.anchor, row.detection


def _animal_of(groups: _Groups) -> dict[int, tuple[str, str]]:
    return {box.pk: key for key, boxes in groups.items() for box in boxes}


def _refusals(user: User, groups: _Groups, done: set[tuple[str, str]], *, most: int) -> None:
    """The likeliest wrong candidates among animals that are done, of which nobody has said anything."""
    of, said = _animal_of(groups), 0
    survey = next(iter(groups.values()))[0].image.survey
    known = {frozenset(pair) for pair in MatchEdge.objects.exclude(verdict="").values_list("a", "b")}
    for first, second in _pairs(survey):
        one, other = of[first.pk], of[second.pk]
        fresh = said < most and frozenset((first.pk, second.pk)) not in known
        if fresh and one[0] and other[0] and one[0] != other[0] and {one, other} <= done:
            said += _said(user, first, second, Verdict.NO_MATCH)


def _second_opinions(user: User, survey: Survey) -> None:
    standing = (
        Decision.objects.filter(undone_by__isnull=True, undoes__isnull=True).select_related("edge").order_by("pk")
    )
    half = JUDGED_AGAIN // 2
    judged = [row for verdict in (Verdict.MATCH, Verdict.NO_MATCH) for row in standing.filter(verdict=verdict)[:half]]
    for number, row in enumerate(judged):
        check = Check(Opinion.Kind.SECOND, (row.edge.a_id, row.edge.b_id), 0.0, decision=row.pk)
        other = Verdict.NO_MATCH if row.verdict == Verdict.MATCH else Verdict.MATCH
        opinion_record(user=user, survey=survey, check=check, verdict=other if number in DIFFERS else row.verdict)


def _near(survey: Survey) -> set[frozenset[int]]:
    pairs = Candidate.objects.filter(anchor__image__survey=survey).values_list("anchor", "detection")
    return {frozenset(pair) for pair in pairs}


def _triples(survey: Survey, groups: _Groups, left: list[tuple[str, str]]) -> list[list[int]]:
    """Three photos of each of these animals, all candidates of each other."""
    near, found = _near(survey), []
    for key in left:
        for three in combinations([box.pk for box in groups[key]], 3):
            if all(frozenset(pair) in near for pair in combinations(three, 2)):
                found.append(list(three))
                break
    return found


def _undecided(survey: Survey, boxes: list[Detection]) -> list[list[int]]:
    """Two pairs without a photo in common: for what happens when two people decide at once."""
    near = _near(survey)
    pairs = [pair for pair in combinations([box.pk for box in boxes], 2) if frozenset(pair) in near]
    first = pairs[0]
    second = next(pair for pair in pairs if not set(pair) & set(first))
    return [list(first), list(second)]


def _slip(user: User, groups: _Groups, left: list[tuple[str, str]]) -> None:
    """One photo joined with an animal that it does not show: of the same flank, and nothing alike."""
    of = _animal_of(groups)
    survey = next(iter(groups.values()))[0].image.survey
    for first, second in _pairs(survey, most_likely=False):
        one, other = of[first.pk], of[second.pk]
        wrong = one[0] and other[0] and one[0] != other[0] and one[1] == other[1]
        if (
            wrong
            and one in left
            and other not in left
            and len(groups[other]) > 2
            and _said(user, first, second, "match")
        ):
            return


def _species(user: User, survey: Survey, groups: _Groups) -> None:
    """Boxes that hold no animal are marked as another species, and scores are asked for."""
    nothing = [box for (animal, _), boxes in groups.items() if not animal for box in boxes]
    detections_triage(acting_user=user, detections=nothing[: len(nothing) // 2], triage=Triage.OTHER)
    triage_request(survey=survey, acting_user=user)
