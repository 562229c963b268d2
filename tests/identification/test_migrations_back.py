"""Migrations can be taken back on a database that is in use."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from identification.models import Membership, ReviewPosition
from tests.identification import factories as make

pytestmark = pytest.mark.django_db
APP = "identification"


def test_a_chosen_part_of_a_review_is_no_obstacle_on_the_way_back() -> None:
    survey = make.make_survey()
    modes = ("individual", "station", "mine", "photo")
    for mode in modes:
        ReviewPosition.objects.create(survey=survey, user=make.make_member(survey), mode=mode, focus={"individual": 1})
    connection.check_constraints()  # what is deferred to the end of a transaction, which a test never reaches
    executor = MigrationExecutor(connection)
    back = executor.migrate([(APP, "0015_several_reviewers")])
    rows = back.apps.get_model(APP, "ReviewPosition").objects.order_by("pk").values_list("mode", flat=True)
    assert list(rows) == ["queue", "queue", "queue", "photo"]
    connection.check_constraints()
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes(APP))
    assert set(ReviewPosition.objects.values_list("mode", flat=True)) == {"queue", "photo"}
    assert not any(ReviewPosition.objects.values_list("focus", flat=True))


def test_members_of_a_population_become_members_of_its_surveys_on_the_way_back() -> None:
    population = make.make_population()
    first, second = make.make_survey(population), make.make_survey(population)
    user = make.make_member(first, "curator")
    Membership.objects.create(user=user, population=population, role="reviewer", may_see_places=True)
    connection.check_constraints()  # as above
    executor = MigrationExecutor(connection)
    back = executor.migrate([(APP, "0016_review_focus")])
    rows = back.apps.get_model(APP, "Membership").objects.order_by("survey_id")
    told = [(first.pk, "curator", False), (second.pk, "reviewer", True)]
    assert list(rows.values_list("survey_id", "role", "may_see_places")) == told
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes(APP))
    assert Membership.objects.filter(population__isnull=True).count() == 2
