"""A membership of a population reaches all its surveys; who manages members, and which."""

from __future__ import annotations

import itertools

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from identification import permissions
from identification.errors import SpotIDError
from identification.models import AuditEntry, Membership, Population, Role, Survey, User
from identification.permissions import Action
from identification.services.accounts import membership_remove, membership_set
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def population() -> Population:
    return make.make_population("Ridge")


def of_population(population: Population, role: str, *, user: User | None = None, places: bool = False) -> User:
    user = user or make.make_user()
    Membership.objects.create(user=user, population=population, role=role, may_see_places=places)
    return user


def actions(user: User, survey: Survey) -> set[Action]:
    """What the account may do, asked of the database and, in one query, of what is read once; both say the same."""
    asked = {action for action in Action if permissions.may(user, action, survey)}
    with permissions.rights_read_once(user), CaptureQueriesContext(connection) as queries:
        assert {action for action in Action if permissions.may(user, action, survey)} == asked
    assert not queries
    return asked


@pytest.mark.parametrize(("role", "places"), list(itertools.product(Role.values, (False, True))))
def test_it_gives_in_every_survey_what_a_membership_of_that_survey_gives(population, role, places) -> None:
    single = make.make_survey(make.make_population())
    user = of_population(population, role, places=places)
    other = make.make_member(single, role, places=places)
    surveys = [make.make_survey(population) for _ in range(2)]  # made after the membership
    assert [actions(user, survey) for survey in surveys] == [actions(other, single)] * 2
    assert not actions(user, single)
    assert set(permissions.populations_for(user)) == {population}
    assert permissions.survey_ids_for(user, Action.SEE, population.pk) == {survey.pk for survey in surveys}


def test_the_higher_of_two_roles_counts_in_its_survey_and_only_there(population) -> None:
    first, second = make.make_survey(population), make.make_survey(population)
    user = of_population(population, Role.VIEWER)
    make.make_member(first, Role.CURATOR, user=user)
    assert permissions.may(user, Action.CURATE, first) and not permissions.may(user, Action.DECIDE, second)
    lower = of_population(population, Role.CURATOR)
    make.make_member(first, Role.VIEWER, user=lower)
    assert permissions.may(lower, Action.CURATE, first) and permissions.may(lower, Action.CURATE, second)


def test_places_are_granted_by_one_membership_and_not_pieced_together_from_two(population) -> None:
    survey = make.make_survey(population)
    user = of_population(population, Role.CURATOR)
    make.make_member(survey, Role.VIEWER, user=user, places=True)
    assert Action.SEE_PLACES not in actions(user, survey)
    user.memberships.filter(survey=survey).update(role=Role.CURATOR)
    assert Action.SEE_PLACES in actions(user, survey)


def test_the_rights_of_a_member_are_read_in_one_query(population) -> None:
    survey = make.make_survey(population)
    user = of_population(population, Role.CURATOR)
    make.make_member(survey, Role.VIEWER, user=user)
    with CaptureQueriesContext(connection) as queries, permissions.rights_read_once(user):
        assert permissions.may(user, Action.CURATE, survey)
    assert len(queries) == 1


def test_curators_of_a_survey_are_also_those_of_its_population_and_nobody_twice(population) -> None:
    survey = make.make_survey(population)
    both = of_population(population, Role.CURATOR)
    make.make_member(survey, Role.ADMINISTRATOR, user=both)
    of_population(population, Role.REVIEWER)
    of_population(make.make_population(), Role.CURATOR)
    assert list(permissions.curators_of(survey)) == [both]


def test_a_membership_is_of_a_survey_or_of_a_population(population) -> None:
    user, survey = make.make_user(), make.make_survey(population)
    for reach in ({}, {"survey": survey, "population": population}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.create(user=user, role=Role.VIEWER, **reach)
    for reach in ({"survey": survey}, {"population": population}):
        Membership.objects.create(user=user, role=Role.VIEWER, **reach)
        with pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.create(user=user, role=Role.CURATOR, **reach)


class TestWhoManagesMembers:
    @pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
    def test_those_below_curators_give_nothing(self, population, role) -> None:
        survey = make.make_survey(population)
        user = of_population(population, role)
        assert permissions.roles_given_by(user, survey=survey) == []
        assert permissions.roles_given_by(user, population=population) == []
        with pytest.raises(SpotIDError):
            membership_set(acting_user=user, user=make.make_user(), survey=survey, role=Role.VIEWER)

    def test_a_curator_of_a_survey_gives_nothing_in_its_population(self, population) -> None:
        survey = make.make_survey(population)
        curator, other = make.make_member(survey, Role.CURATOR), make.make_user()
        assert permissions.roles_given_by(curator, survey=survey) == [Role.VIEWER, Role.REVIEWER, Role.CURATOR]
        assert permissions.roles_given_by(curator, population=population) == []
        assert not permissions.populations_managed_by(curator).exists()
        with pytest.raises(SpotIDError):
            membership_set(acting_user=curator, user=other, population=population, role=Role.VIEWER)
        assert not other.memberships.exists() and not AuditEntry.objects.exists()

    def test_a_curator_of_a_population_manages_it_and_each_of_its_surveys(self, population) -> None:
        survey, other = make.make_survey(population), make.make_user("asha")
        curator = of_population(population, Role.CURATOR)
        made = membership_set(acting_user=curator, user=other, population=population, role=Role.REVIEWER)
        membership_set(acting_user=curator, user=other, survey=survey, role=Role.CURATOR)
        with pytest.raises(SpotIDError):
            membership_set(acting_user=curator, user=other, population=population, role=Role.ADMINISTRATOR)
        membership_remove(acting_user=curator, membership=made)
        said = list(AuditEntry.objects.order_by("pk").values_list("action", "survey", "after", "before"))
        told = {"user": "asha", "role": "reviewer", "may_see_places": False, "population": "Ridge"}
        assert said[0] == ("membership.set", None, told, {}) and said[-1] == ("membership.remove", None, {}, told)
        assert len(said) == 3

    def test_nobody_gives_a_role_to_themselves_by_the_other_kind_of_membership(self, population) -> None:
        survey = make.make_survey(population)
        curator = of_population(population, Role.CURATOR)
        with pytest.raises(SpotIDError):
            membership_set(acting_user=curator, user=curator, survey=survey, role=Role.CURATOR)
        assert curator.memberships.count() == 1

    def test_those_above_are_neither_lowered_nor_removed(self, population) -> None:
        survey = make.make_survey(population)
        curator, above = make.make_member(survey, Role.CURATOR), make.make_member(survey, Role.ADMINISTRATOR)
        with pytest.raises(SpotIDError):
            membership_set(acting_user=curator, user=above, survey=survey, role=Role.VIEWER)
        with pytest.raises(SpotIDError):
            membership_remove(acting_user=curator, membership=above.memberships.get())
        assert above.memberships.get().role == Role.ADMINISTRATOR

    def test_places_are_given_by_those_who_see_them(self, population) -> None:
        survey, other = make.make_survey(population), make.make_user()
        blind = of_population(population, Role.ADMINISTRATOR)
        make.make_member(survey, Role.CURATOR, user=blind, places=True)
        with pytest.raises(SpotIDError, match="places"):
            membership_set(acting_user=blind, user=other, population=population, role=Role.CURATOR, may_see_places=True)
        membership_set(acting_user=blind, user=other, survey=survey, role=Role.CURATOR, may_see_places=True)
        # A grant that is there stays, when somebody without it changes the role.
        survey_blind = make.make_member(survey, Role.CURATOR)
        kept = membership_set(
            acting_user=survey_blind, user=other, survey=survey, role=Role.REVIEWER, may_see_places=True
        )
        assert (kept.role, kept.may_see_places) == (Role.REVIEWER, True)

    def test_saying_the_same_again_changes_and_records_nothing(self, population) -> None:
        survey, other = make.make_survey(population), make.make_user()
        for _ in range(2):
            membership_set(acting_user=None, user=other, survey=survey, role=Role.REVIEWER)
        assert AuditEntry.objects.filter(action="membership.set").count() == 1

    def test_closed_accounts_manage_nothing(self, population) -> None:
        survey = make.make_survey(population)
        user = of_population(population, Role.ADMINISTRATOR, user=make.make_user(is_active=False))
        assert permissions.roles_given_by(user, survey=survey) == []
        assert not permissions.populations_managed_by(user).exists()
        assert not permissions.may_give_places(user, population=population)


@pytest.mark.parametrize(
    ("action", "words"),
    [(Action.DECIDE, "the role “Reviewer”."), (Action.SEE_PLACES, "“Curator” and the permission to see places")],
)
def test_who_is_refused_reads_what_it_takes(action: Action, words: str) -> None:
    survey = make.make_survey()
    with pytest.raises(PermissionDenied, match=words):
        permissions.require(make.make_member(survey, Role.VIEWER), action, survey)
