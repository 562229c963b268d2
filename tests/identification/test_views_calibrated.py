"""The review pages say where their probabilities come from."""

import pytest
from django.urls import reverse

from identification.models import PairCalibration, Role
from tests.identification import factories as make
from tests.identification.factories import client_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("mode", ["queue", "photo"])
def test_the_page_says_whether_probabilities_are_fitted_to_this_population(mode: str) -> None:
    survey, _ = make.make_reviewable_survey(individuals=2, photos=3)
    client = client_of(survey, Role.REVIEWER)
    client.post(reverse("review-mode", args=[survey.pk]), {"mode": mode})
    address = reverse("review", args=[survey.pk])
    assert "not calibrated here yet" in client.get(address).content.decode()
    PairCalibration.objects.create(
        population=survey.population, coefficients={}, version="own", features="f", pairs=40, right=20, active=True
    )
    assert "not calibrated here yet" not in client.get(address).content.decode()
