"""More for the pictures of the documentation: what comes in and goes out as files, names, tokens, and a review's end.

`furnish` calls `desk`. What a review looks like further on is a step of its own, because the pictures of its questions
come first:

    python3 spotid.py manage shell -c "from tests.browser.furnish_desk import review_on; review_on()"
    python3 spotid.py manage shell -c "from tests.browser.furnish_desk import review_on; review_on(to_the_goal=True)"

Ann answers what the queue asks, in its order, by the truth table of the rendered season; first until it can be said how
much is found, then until the goal is reached.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory

from identification.errors import SpotIDError
from identification.exports.options import ExportOptions, Files, Format
from identification.exports.requests import export_request
from identification.models import Candidate, Detection, ImportRun, MatchEdge, Role, Survey, User, Verdict
from identification.selectors.review_modes import Only
from identification.selectors.review_questions import queue_state
from identification.services.accounts import membership_set
from identification.services.catalogue import individual_describe
from identification.services.decisions import decision_record
from identification.services.empties import detections_empty
from identification.services.imports import import_confirm, import_request
from identification.services.imports_run import import_run
from identification.services.individuals import individual_rename
from identification.services.surveys import survey_get_or_create
from identification.services.tokens import token_make

NAMES = ("Asha", "Bijli", "Chandra", "Devi", "Esha", "Falguni")
# So that a fault of the queue ends.
MOST_ANSWERS = 600


def truth() -> list[dict[str, str]]:
    """The rows of what the renderer drew: file, individual, flank, station, camera and more."""
    table = Path(settings.SPOTID_HOME) / "demonstration" / "truth.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def desk(admin: User, ann: User, survey: Survey, known: Iterable[Sequence[Detection]], apart: list[Detection]) -> None:
    """known: boxes of animals that are put together, which get names. apart: boxes of one animal that was found twice:
    both halves get a name, and Ann says that they are one."""
    half = len(apart) // 2
    halves = (apart[:half], apart[half:])
    for boxes in halves:
        for first, second in combinations(boxes, 2):
            _match(ann, first, second)
    named = _named(admin, [boxes[0] for boxes in (*halves, *known)])
    likeliest = _likeliest(halves)
    if likeliest is not None:
        _match(ann, *likeliest)
    _imports(admin, survey)
    _exports(admin, survey)
    for name, days in (("nightly backup of the institute", 365), ("occupancy model in R", 90)):
        token_make(acting_user=admin, name=name, days=days)
    sys.stderr.write(f"{named} animals named\n")


def errors() -> dict[str, str]:
    """Pages that a demonstration cannot be brought to show."""
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    names = {"429": "429.html", "500": "errors/500.html", "503": "errors/503.html"}
    return {
        name: render_to_string(template, request=request if name == "429" else None) for name, template in names.items()
    }


def others(survey: Survey, password: str) -> dict[str, str]:
    """Vera, who only looks; Nina, who is a member of nothing; Gopal, who signs in with a second factor; and a survey
    without a photo.

    Returns Gopal's user name and his secret, from which the code of the moment is made.
    """
    vera, gopal, nina = (User.objects.get_or_create(username=name)[0] for name in ("vera", "gopal", "nina"))
    for user in (nina, vera, gopal):
        user.set_password(password)
        user.save()
        if user == nina:
            continue
        membership_set(acting_user=None, user=user, role=Role.VIEWER, survey=survey)
    secret = generate_totp_secret()
    TOTP.activate(gopal, secret)
    RecoveryCodes.activate(gopal)
    survey_get_or_create(name="Next season", population=survey.population.name, time_zone=survey.time_zone)
    return {"user": gopal.username, "secret": secret}


def _match(user: User, first: Detection, second: Detection) -> None:
    try:
        decision_record(acting_user=user, first=first, second=second, verdict=Verdict.MATCH, anchor=first)
    except SpotIDError as refused:
        sys.stderr.write(f"{first.pk}, {second.pk}: {refused}\n")


def _named(user: User, boxes: Iterable[Detection]) -> int:
    number = 0
    for name, sex, box in zip(NAMES, ("female", "male", "female", "female", "", "female"), boxes, strict=False):
        box.refresh_from_db()
        if box.individual is not None:
            individual_rename(acting_user=user, individual=box.individual, name=name)
            individual_describe(acting_user=user, individual=box.individual, sex=sex, age_class="adult")
            number += 1
    return number


def _likeliest(halves: tuple[list[Detection], list[Detection]]) -> tuple[Detection, Detection] | None:
    """The candidate of the highest probability between two groups, of which nobody has said anything."""
    by_pk = {box.pk: box for boxes in halves for box in boxes}
    one, other = ({box.pk for box in boxes} for boxes in halves)
    said = {frozenset(pair) for pair in MatchEdge.objects.exclude(verdict="").values_list("a", "b")}
    rows = Candidate.objects.filter(anchor__in=by_pk, detection__in=by_pk).order_by("-probability", "pk")
    for a, b in rows.values_list("anchor", "detection"):
        if frozenset((a, b)) not in said and ({a, b} & one) and ({a, b} & other):
            return by_pk[a], by_pk[b]
    return next(product(*halves), None)


def _imports(user: User, survey: Survey) -> None:
    """A table of camera dates, imported; and the dry run of a table of species, in which not every row can be used."""
    cameras = _through(survey, user, "cameras-2024.csv", _cameras(survey))
    import_run(run_id=import_confirm(rehearsal=cameras, acting_user=user).pk)
    _through(survey, user, "TimelapseData.csv", _species())


def _through(survey: Survey, user: User, name: str, rows: Iterable[Iterable[str]]) -> ImportRun:
    """A dry run, over; a worker may have taken it."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    run = import_request(
        survey=survey, acting_user=user, kind_code="", name=name, chunks=[out.getvalue().encode()], options={}
    )
    import_run(run_id=run.pk)
    for _ in range(240):
        run.refresh_from_db()
        if run.state not in ImportRun.OPEN:
            break
        time.sleep(0.25)
    return run


def _cameras(survey: Survey) -> Iterator[list[str]]:
    yield ["Station", "Camera", "Setup_date", "Retrieval_date", "Problem1_from", "Problem1_to"]
    stations = survey.stations.order_by("code").values_list("code", flat=True)
    for index, (station, camera) in enumerate(product(stations, "AB")):
        problem = ["2024-02-20", "2024-02-27"] if index == 3 else ["", ""]
        yield [station, camera, f"2024-01-{27 + index // 3}", f"2024-03-{18 + index // 4}", *problem]


def _species() -> Iterator[list[str]]:
    yield ["File", "RelativePath", "DeleteFlag", "Species", "Empty"]
    for index, row in enumerate(truth()):
        folder, _, file = row["file"].rpartition("/")
        species = "Panthera pardus" if row["individual"] else ""
        yield [file, folder, str(index % 53 == 52).lower(), species, str(not species).lower()]
        if index % 47 == 20 and species:
            yield [file, folder, "false", "Rusa unicolor", "false"]
    for number in (91, 92, 93):
        yield [f"IMG_00{number}.JPG", "ST07/A", "false", "Panthera pardus", "false"]


def _exports(user: User, survey: Survey) -> None:
    asked = (
        ExportOptions(formats=(Format.FOLDERS, Format.CSV)),
        ExportOptions(formats=(Format.CAMTRAPR, Format.ENCOUNTERS), occasion_days=5),
        ExportOptions(formats=(Format.SECR,), occasion_days=5, with_places=True),
        ExportOptions(formats=(Format.CAMTRAPDP,), files=Files.IDENTIFIED),
    )
    for options in asked:
        export_request(acting_user=user, population=survey.population, survey=survey, options=options)
    export_request(acting_user=user, population=survey.population, survey=None, options=asked[1])


def review_on(name: str = "Demonstration", *, to_the_goal: bool = False) -> None:
    """Answer what is asked, until how much is found can be said, or until the goal is reached."""
    survey, ann = Survey.objects.get(name=name), User.objects.get(username="ann")
    drawn = {row["file"]: (row["individual"], row["flank"]) for row in truth()}
    boxes = Detection.objects.comparable().filter(image__survey=survey).values_list("pk", flat=True)
    # A part that is the whole: nothing is checked then, and her answers decide.
    everything = Only(frozenset(boxes), lambda question: True)
    answers = 0
    while answers < MOST_ANSWERS:
        state = queue_state(user=ann, survey=survey, only=everything)
        progress = state.progress
        if state.asked is None or (progress.reached if to_the_goal else not progress.early):
            break
        _answer(ann, state.asked.left.detection, state.asked.right.detection, drawn)
        answers += 1
    sys.stderr.write(f"{answers} answers more, {progress}\n")


def _answer(user: User, first: Detection, second: Detection, drawn: dict[str, tuple[str, str]]) -> None:
    shown = [drawn.get(box.image.relative_path, ("", "")) for box in (first, second)]
    nothing = [box for box, (animal, _) in zip((first, second), shown, strict=True) if not animal]
    if nothing:
        detections_empty(acting_user=user, detections=nothing, with_matched=True)
        return
    verdict = Verdict.MATCH if shown[0] == shown[1] else Verdict.NO_MATCH
    try:
        decision_record(acting_user=user, first=first, second=second, verdict=verdict, anchor=first)
    except SpotIDError:
        # The slip and the conflict that were furnished: she does not know them for what they are.
        decision_record(acting_user=user, first=first, second=second, verdict=Verdict.UNSURE, anchor=first)
