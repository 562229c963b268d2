"""Rights that are read once for a request say what each question by itself would have said."""

from __future__ import annotations

import itertools

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identification import permissions
from identification.models import Detection, Image, Population, Role, Survey
from identification.permissions import Account, Action
from tests.identification.factories import make_detection, make_image, make_member, make_population, make_survey
from tests.identification.factories import make_user as user_made

pytestmark = pytest.mark.django_db


@pytest.fixture
def population() -> Population:
    """One survey for each role with and without places, one that nobody is a member of; photos of each kind."""
    found = make_population()
    for survey in [make_survey(found) for _ in range(2 * len(Role) + 1)]:
        for seen, person in itertools.product(("drawn", ""), (False, True)):
            image = make_image(survey, files=False, detector=seen, has_person=person)
            make_detection(image, files=False)
            make_detection(image, files=False, box=(10, 10, 60, 40), category="person" if person else "vehicle")
    return found


def everything(user: Account, population: Population) -> list[object]:
    """All that may be asked of an account's rights."""
    surveys = list(Survey.objects.filter(population=population).order_by("pk"))
    told: list[object] = []
    for action in Action:
        told.append(set(permissions.surveys_for(user, action).values_list("pk", flat=True)))
        told.append(permissions.survey_ids_for(user, action, population.pk))
        told.append([permissions.may(user, action, survey) for survey in surveys])
    told.append(set(permissions.images_for(user).values_list("pk", flat=True)))
    told.append(permissions.images_seen(user, Image.objects.all()))
    told.append(set(permissions.detections_for(user).values_list("pk", flat=True)))
    told.append(permissions.may_for_all(user, Action.DECIDE, surveys[:1]))
    return told


def member_of_each(population: Population, **values: object) -> Account:
    user = user_made(**values)  # type: ignore[arg-type]
    surveys = Survey.objects.filter(population=population).order_by("pk")
    for survey, (role, places) in zip(surveys, itertools.product(Role, (False, True)), strict=False):
        make_member(survey, role, user=user, places=places)
    return user


def test_it_says_of_every_role_what_is_said_without_it(population) -> None:
    user = member_of_each(population)
    asked = everything(user, population)
    with permissions.rights_read_once(user):
        assert everything(user, population) == asked
    assert len(asked[0]) == 2 * len(Role)  # type: ignore[arg-type]
    hidden = Detection.objects.filter(image__survey__population=population).count()
    assert 0 < len(asked[-2]) < hidden  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"superuser": True}, {"is_active": False}])
def test_administrators_and_closed_accounts_are_answered_the_same(population, values) -> None:
    user = member_of_each(population, **values)
    asked = everything(user, population)
    with permissions.rights_read_once(user):
        assert everything(user, population) == asked


def test_nobody_else_is_answered_with_an_accounts_rights(population) -> None:
    user, other = member_of_each(population), user_made()
    with permissions.rights_read_once(user):
        for somebody in (other, AnonymousUser()):
            assert not permissions.surveys_for(somebody, Action.SEE).exists()
            assert not permissions.images_for(somebody).exists() and not permissions.detections_for(somebody).exists()
            assert not permissions.images_seen(somebody, Image.objects.all())


def test_it_asks_once_and_forgets_at_the_end(population) -> None:
    user = member_of_each(population)
    survey = Survey.objects.filter(population=population).order_by("pk")[2]
    with permissions.rights_read_once(user), CaptureQueriesContext(connection) as queries:
        assert [permissions.may(user, action, survey) for action in Action].count(True) > 1
        assert len(permissions.survey_ids_for(user, Action.SEE, population.pk)) == 2 * len(Role)
    assert not queries
    user.memberships.all().delete()  # type: ignore[union-attr]
    assert not permissions.may(user, Action.SEE, survey)
