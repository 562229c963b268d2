"""Every page that a person can be on, and how to get there. A new address without an entry here fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.urls import URLPattern, reverse
from playwright.sync_api import Page

from identification import urls
from identification.models import (
    Detection,
    Individual,
    IngestRequest,
    Role,
    Survey,
    TriageRun,
    User,
    Verdict,
)
from identification.services.proposals import proposals_refresh
from tests.browser import pages_accounts
from tests.identification import factories as make
from tests.identification.factories import match


@dataclass(frozen=True)
class Visit:
    """An address, what is done there, and the status that it answers with. who: the name of an account of the world."""

    name: str
    path: str
    do: Callable[[Page], None] | None = None
    who: str = "curator"
    status: int = 200
    label: str = ""

    def __str__(self) -> str:
        return f"{self.name}{' ' + self.label if self.label else ''}"


# Addresses without a page of their own.
NO_PAGES = {
    **pages_accounts.NO_PAGES,
    "health": "answers programs",
    "logout": "only sends away",
    "text-catalogue": "words for scripts",
    "media": "pictures",
    "media-screen": "pictures",
    "review-spots": "answers the script of the review page",
    "review-ahead": "answers the script of the review page",
    "review-hold": "answers the script of the review page",
    "survey-progress": "a part of survey-detail",
    "ingest-announce": "answers the script of the ingest page",
    "ingest-piece": "answers the script of the ingest page",
    "ingest-state": "a part of survey-ingest",
    "imports-state": "a part of survey-imports",
    "imports-report": "a file",
    "survey-export": "a file",
    "export-download": "a file",
    "export-state": "a part of survey-exports",
    # Forms that send back to the page that they are on.
    **dict.fromkeys(
        [
            *(
                "set_language",
                "ingest-finish",
                "ingest-discard",
                "ingest-folder",
                "ingest-retry",
                "survey-station-table",
                "survey-places",
            ),
            *("imports-request", "imports-confirm", "imports-discard"),
            *("survey-retry", "survey-match", "survey-goal", "survey-clocks"),
            *("survey-links-confirm", "survey-links-dismiss", "survey-links-undo"),
            *("survey-species-mark", "survey-species-undo", "survey-species-score"),
            *("review-undo", "review-pass", "review-return", "review-confirm", "review-later", "review-mode"),
            *("review-none", "review-empty", "review-again-answer", "agreement-shares", "adjudicate"),
            *("photo-retry", "photo-draw", "detection-redraw", "detection-annotate", "detection-declare"),
            *("individual-rename", "individual-undeclare", "individual-describe", "batch-undo", "conflict-settle"),
            "join-settle",
        ],
        "a form that comes back to its page",
    ),
}


@dataclass
class World:
    """A survey with something on every page, and accounts that may see it."""

    survey: Survey
    accounts: dict[str, User]
    visits: list[Visit] = field(default_factory=list)


def addresses() -> set[str]:
    return {pattern.name or "" for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)}


def _match_without_script(page: Page) -> None:
    """Send the form as a browser without scripts does: what the session answers in a dialog is a page then."""
    with page.expect_navigation():
        page.locator("form.verdicts [name=verdict][value=match]").first.evaluate(
            """button => {
                const said = document.createElement("input");
                Object.assign(said, { type: "hidden", name: "verdict", value: "match" });
                button.form.append(said);
                HTMLFormElement.prototype.submit.call(button.form);
            }"""
        )


def _press(button: str) -> Callable[[Page], None]:
    def do(page: Page) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=button).first.click()

    return do


def _tick_and(button: str) -> Callable[[Page], None]:
    def do(page: Page) -> None:
        for box in page.locator("input[name=box]").all()[:2]:
            box.check()
        _press(button)(page)

    return do


def make_world() -> World:
    """Four animals with four photos each: one is known, one contradicts itself, one is retired, one is unknown."""
    survey, animals = make.make_reviewable_survey(individuals=4, photos=4, name="Valley of the long winter 2024")
    boss = make.make_user("boss", superuser=True)
    curator = make.make_member(survey, Role.CURATOR, user=make.make_user("curator"), places=True)
    accounts = {"boss": boss, "curator": curator, "nobody": make.make_user("nobody")}
    accounts["viewer"] = make.make_member(survey, Role.VIEWER, user=make.make_user("viewer"))
    accounts["guarded"] = pages_accounts.make_guarded()
    pages_accounts.make_members(survey)
    for index, station in enumerate(survey.stations.all()):
        station.latitude, station.longitude = 27.5 + index / 30, 84.3 + index / 25
        station.save()
    for first, second in zip(animals[0], animals[0][1:], strict=False):
        match(curator, first, second)
    match(curator, animals[1][0], animals[1][1])
    match(curator, animals[1][1], animals[1][2])
    match(curator, animals[1][0], animals[1][2], Verdict.NO_MATCH, confirm=True)
    match(curator, animals[2][0], animals[2][1])
    gone = Individual.objects.get(detections=animals[2][0])
    known = Individual.objects.get(detections=animals[0][0])
    decision = match(curator, animals[0][0], animals[2][0], confirm=True)
    make.make_image(survey, state="failed", reason="The file ends before its picture does.", stage="decode")
    report = make.make_ingest_report(survey, skipped=130)
    asked = {"survey": survey, "requested_by": curator, "kind": IngestRequest.Kind.FILES}
    IngestRequest.objects.create(state=IngestRequest.State.DONE, report=report, **asked)
    for camera in ("A", "B"):
        make.make_sighting(survey, camera=camera, captured_at=make.START + timedelta(days=2))
    proposals_refresh(survey=survey)
    for index, box in enumerate(Detection.objects.filter(image__survey=survey)):
        box.triage_score = 0.05 + 0.9 * index / 20
        box.save(update_fields=["triage_score"])
    TriageRun.objects.create(
        survey=survey, version=1, requested=1, served=1, learned=True, wanted=9, other=7,
        report={"kind": "learned", "auroc": 0.93},
    )  # fmt: skip
    world = World(survey, accounts)
    world.visits = [
        *_of_surveys(survey),
        *_of_review(survey, animals),
        *_of_individuals(known, gone, animals),
        Visit("decision-undo", reverse("decision-undo", args=[decision.pk])),
        Visit("conflict-list", reverse("conflict-list")),
        Visit("join-list", reverse("join-list"), who="boss"),
        Visit("login", reverse("login"), who=""),
        Visit("login", reverse("login"), _wrong_password, who="", label="refused"),
        *pages_accounts.visits(Visit, survey),
        Visit("password_change", reverse("password_change")),
        Visit("password_change_done", reverse("password_change_done")),
        Visit("survey-list", "/nothing/here/", status=404, label="not found"),
        Visit("survey-species", reverse("survey-species", args=[survey.pk]), who="viewer", status=403, label="refused"),
    ]
    return world


def _wrong_password(page: Page) -> None:
    page.fill("#id_username", "curator")
    page.fill("#id_password", "wrong")
    _press("Sign in")(page)


def _ask_for_nothing(page: Page) -> None:
    page.locator("#format-folders").uncheck()
    with page.expect_navigation():
        page.locator("form[data-download] button.primary").click()


def _of_surveys(survey: Survey) -> list[Visit]:
    names = (
        "survey-detail",
        "survey-figures",
        "survey-ingest",
        "survey-imports",
        "survey-skipped",
        "survey-stations",
        "photo-list",
    )
    names += ("survey-species", "survey-species-below", "survey-links", "survey-exports")
    empty = make.make_survey(survey.population, name="A survey without a photo")
    stations = reverse("survey-stations", args=[survey.pk])
    return [
        Visit("survey-list", reverse("survey-list")),
        Visit("survey-list", reverse("survey-list"), who="nobody", label="of nobody"),
        *(Visit(name, reverse(name, args=[survey.pk])) for name in names),
        Visit("survey-stations", stations, _press("Show exact coordinates"), label="exact"),
        Visit("population-exports", reverse("population-exports", args=[survey.population_id])),
        Visit("survey-exports-ask", reverse("survey-exports", args=[survey.pk]), _ask_for_nothing, status=422),
        Visit(
            "population-exports-ask",
            reverse("population-exports", args=[survey.population_id]),
            _ask_for_nothing,
            status=422,
        ),
        Visit("survey-detail", reverse("survey-detail", args=[empty.pk]), who="boss", label="empty"),
        Visit("survey-figures", reverse("survey-figures", args=[empty.pk]), who="boss", label="empty"),
        Visit("survey-links", reverse("survey-links", args=[empty.pk]), who="boss", label="empty"),
        Visit("survey-species", reverse("survey-species", args=[empty.pk]), who="boss", label="empty"),
        Visit("photo-list", reverse("photo-list", args=[empty.pk]), who="boss", label="empty"),
    ]


_ABOUT_REVIEW = (
    "review-again",
    "review-certain",
    "review-modes",
    "review-alone",
    "review-decisions",
    "agreement",
    "adjudication",
)


def _of_review(survey: Survey, animals: list[list[Detection]]) -> list[Visit]:
    review, empty = reverse("review", args=[survey.pk]), make.make_survey(survey.population, matching_state="done")
    a, b, c, d = animals[3]

    def contradict(page: Page) -> None:
        match(None, a, b)
        match(None, b, c, Verdict.NO_MATCH)
        _match_without_script(page)

    def be_slower(page: Page) -> None:
        match(None, a, d, Verdict.UNSURE)
        _match_without_script(page)

    return [
        Visit("review", review),
        Visit("review", f"{review}?anchor={a.pk}&offer={b.pk}", label="one photo"),
        Visit("review", reverse("review", args=[empty.pk]), who="boss", label="empty"),
        *(Visit(name, reverse(name, args=[survey.pk])) for name in _ABOUT_REVIEW),
        Visit("review-beside", f"{reverse('review-beside', args=[survey.pk])}?anchor={a.pk}&candidate={b.pk}"),
        Visit("review-decide", f"{review}?anchor={a.pk}&offer={d.pk}", be_slower, label="somebody was quicker"),
        Visit("review-decide", f"{review}?anchor={a.pk}&offer={c.pk}", contradict, label="contradicts"),
    ]


def _of_individuals(known: Individual, gone: Individual, animals: list[list[Detection]]) -> list[Visit]:
    detail = reverse("individual-detail", args=[known.pk])
    merge = reverse("individual-merge", args=[known.pk])
    other = Individual.objects.get(detections=animals[1][0])
    return [
        Visit("individual-list", reverse("individual-list")),
        Visit("individual-list", f"{reverse('individual-list')}?q=nobody", label="nothing found"),
        Visit("individual-list", reverse("individual-list"), who="nobody", label="of nobody"),
        Visit("individual-detail", detail),
        Visit("individual-detail", f"{detail}?by=visit", label="by visit"),
        Visit("individual-detail", reverse("individual-detail", args=[gone.pk]), label="retired"),
        Visit("individual-detail", detail, who="viewer", label="of a viewer"),
        Visit("individual-map", detail, _press("Show the map")),
        Visit("individual-map", reverse("individual-map", args=[known.pk]), who="viewer", label="in cells"),
        Visit("individual-split", detail, _tick_and("Split off…")),
        Visit("individual-merge", merge),
        Visit("individual-merge", f"{merge}?with={other.pk}", label="which photos"),
        Visit("individual-merge", f"{merge}?with={other.pk}", _tick_and("What follows"), label="what follows"),
        Visit("photo-detail", reverse("photo-detail", args=[animals[0][0].image_id])),
        Visit(
            "photo-detail", reverse("photo-detail", args=[animals[0][0].image_id]), who="viewer", label="of a viewer"
        ),
    ]
