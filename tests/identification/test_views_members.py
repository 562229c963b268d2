"""The members of a survey on their page: who adds, changes and removes whom, and what that does at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import AuditEntry, Membership, Role, Survey, User
from identification.permissions import Action, may
from identification.services.accounts import membership_set
from tests.identification import factories as make
from tests.identification.test_permissions_population import of_population

pytestmark = pytest.mark.django_db


@pytest.fixture
def survey() -> Survey:
    return make.make_survey(make.make_population("Ridge"), name="Valley")


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def add(client: Client, survey: Survey, **form: str) -> str:
    """What the page says after the form."""
    address = reverse("survey-members", args=[survey.pk])
    response = client.post(address, {"role": "viewer", **form}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def change(client: Client, membership: Membership, **form: str) -> Any:
    return client.post(reverse("member-change", args=[membership.pk]), form)


def roles(user: User) -> list[tuple[str | None, str | None, str, bool]]:
    rows = user.memberships.order_by("pk").values_list("survey__name", "population__name", "role", "may_see_places")
    return list(rows)


def test_a_member_is_added_sees_at_once_and_sees_no_more_when_removed(survey) -> None:
    curator, ben = make.make_member(survey, Role.CURATOR), make.make_user("ben")
    here, there = browser(curator), browser(ben)
    page = reverse("survey-detail", args=[survey.pk])
    assert there.get(page).status_code == 404
    assert "ben is a member now" in add(here, survey, username="ben", role="reviewer")
    assert roles(ben) == [("Valley", None, "reviewer", False)]
    assert there.get(page).status_code == 200
    assert change(here, ben.memberships.get(), role="curator").status_code == 302
    assert there.get(reverse("survey-members", args=[survey.pk])).status_code == 200
    change(here, ben.memberships.get(), what="remove")
    assert there.get(page).status_code == 404
    told = AuditEntry.objects.order_by("pk").values_list("action", "acting_user", "survey")
    assert list(told) == [(f"membership.{what}", curator.pk, survey.pk) for what in ("set", "set", "remove")]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"username": "nobody-at-all"}, "no account with this user name"),
        ({"username": ""}, "no account with this user name"),
        ({"username": "gone"}, "no account with this user name"),
        ({"username": "ben", "role": "king"}, "Choose a role"),
        ({"username": "ben", "role": "administrator"}, "none above yours"),
        ({"username": "ben", "role": "curator", "may_see_places": "on"}, "Only who may see places"),
        ({"username": "cara"}, "nobody's own"),
    ],
)
def test_what_is_refused_is_said_and_changes_nothing(survey, form: dict[str, str], words: str) -> None:
    make.make_user("ben"), make.make_user("gone", is_active=False)
    curator = of_population(survey.population, Role.CURATOR, user=make.make_user("cara"))
    assert words in add(browser(curator), survey, **form)
    assert Membership.objects.count() == 1 and not AuditEntry.objects.exists()


def test_a_curator_of_the_survey_cannot_reach_the_population(survey) -> None:
    client, ben = browser(make.make_member(survey, Role.CURATOR)), make.make_user("ben")
    assert "future ones too" not in client.get(reverse("survey-members", args=[survey.pk])).content.decode()
    add(client, survey, username="ben", reach="all")
    assert roles(ben) == [("Valley", None, "viewer", False)]
    whole = of_population(survey.population, Role.VIEWER)
    assert change(client, whole.memberships.get(), role="reviewer").status_code == 403
    assert roles(whole) == [(None, "Ridge", "viewer", False)]


def test_a_curator_of_the_population_reaches_all_its_surveys_and_those_to_come(survey) -> None:
    client = browser(of_population(survey.population, Role.CURATOR))
    ben = make.make_user("ben")
    assert "future ones too" in client.get(reverse("survey-members", args=[survey.pk])).content.decode()
    add(client, survey, username="ben", role="reviewer", reach="all")
    assert roles(ben) == [(None, "Ridge", "reviewer", False)]
    later = make.make_survey(survey.population)
    there = browser(ben)
    assert there.get(reverse("review", args=[later.pk])).status_code == 200
    change(client, ben.memberships.get(), what="remove")
    assert there.get(reverse("review", args=[later.pk])).status_code == 404


def test_every_row_offers_only_what_may_be_done_with_it(survey) -> None:
    curator = make.make_member(survey, Role.CURATOR, user=make.make_user("cara"))
    make.make_member(survey, Role.ADMINISTRATOR, user=make.make_user("above"))
    make.make_member(survey, Role.VIEWER, user=make.make_user("below"))
    of_population(survey.population, Role.VIEWER, user=make.make_user("whole"))
    response = browser(curator).get(reverse("survey-members", args=[survey.pk]))
    offered = {row.membership.user.username: list(row.roles) for row in response.context["members"]}
    assert offered == {"above": [], "cara": [], "below": ["viewer", "reviewer", "curator"], "whole": []}
    page = response.content.decode()
    assert "Remove below" in page and "Remove above" not in page and "Remove cara" not in page
    assert 'name="may_see_places"' not in page, "places are given by those who see them"


def test_a_grant_of_places_stays_when_somebody_without_it_changes_the_role(survey) -> None:
    curator = make.make_member(survey, Role.CURATOR)
    member = make.make_member(survey, Role.CURATOR, places=True).memberships.get()
    change(browser(curator), member, role="reviewer", may_see_places="on")
    assert (member.role, member.may_see_places) == ("curator", True)
    member.refresh_from_db()
    assert (member.role, member.may_see_places) == ("reviewer", True)


def test_who_may_not_give_places_gives_none_by_a_role_in_which_an_old_grant_would_count(survey) -> None:
    curator = make.make_member(survey, Role.CURATOR)
    other = make.make_member(survey, Role.VIEWER)
    Membership.objects.filter(user=other).update(may_see_places=True)
    membership_set(acting_user=curator, user=other, role=Role.REVIEWER, survey=survey, may_see_places=True)
    assert Membership.objects.get(user=other).may_see_places, "without effect it stays"
    membership_set(acting_user=curator, user=other, role=Role.CURATOR, survey=survey, may_see_places=True)
    assert not may(other, Action.SEE_PLACES, survey) and not Membership.objects.get(user=other).may_see_places


def test_the_dashboard_leads_there_for_those_who_may(survey) -> None:
    address = reverse("survey-members", args=[survey.pk])
    for role, leads in ((Role.CURATOR, True), (Role.REVIEWER, False)):
        page = browser(make.make_member(survey, role)).get(reverse("survey-detail", args=[survey.pk])).content.decode()
        assert (address in page) is leads


def test_names_that_are_markup_are_shown_as_they_are(survey) -> None:
    make.make_member(survey, Role.VIEWER, user=make.make_user("<script>alert(1)</script>"))
    page = browser(make.make_member(survey, Role.CURATOR)).get(reverse("survey-members", args=[survey.pk]))
    assert b"<script>alert" not in page.content and b"&lt;script&gt;alert" in page.content


def test_queries_do_not_grow_much_with_the_members(survey, django_assert_max_num_queries) -> None:
    client = browser(make.make_member(survey, Role.CURATOR))
    for _ in range(15):
        make.make_member(survey, Role.VIEWER)
    with django_assert_max_num_queries(20):
        client.get(reverse("survey-members", args=[survey.pk]))
