"""Fetching published networks from the admin: who may, what a worker makes of it, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse

from identification.errors import SpotIDError
from identification.models import AuditEntry, EmbeddingModel
from identification.services.fetching import model_fetch_request
from identification.tasks import fetch_model
from modelzoo.network import save_weights
from tests.identification.factories import make_member, make_reviewable_survey, make_user

pytestmark = pytest.mark.django_db
PAGE = "admin:identification_embeddingmodel_fetch"


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def public(offline, monkeypatch):
    """A published network whose file is in the weights folder, and one whose file is not to be had."""
    import timm

    from modelzoo import public_weights
    from modelzoo.weights import WeightsSource, register_local

    folder = Path(offline.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "here.safetensors", timm.create_model("test_efficientnet", pretrained=False).state_dict(), {})
    register_local(folder / "here.safetensors", folder)
    known = {}
    for name in ("here", "away"):
        source = WeightsSource(
            name, f"http://127.0.0.1:9/{name}", f"{name}.safetensors", licence="apache-2.0", note="A test."
        )
        settings = {"width": 96, "height": 48, "dimension": 8}
        known[name] = public_weights.PublicModel(source, "test_efficientnet", settings)
    monkeypatch.setattr(public_weights, "PUBLIC", known)


@pytest.fixture
def queued(monkeypatch) -> list[tuple]:
    tasks: list[tuple] = []
    monkeypatch.setattr("django_q.tasks.async_task", lambda *arguments, **options: tasks.append(arguments))
    return tasks


def test_an_administrator_asks_and_a_worker_takes_it_in(
    client, administrator, public, queued, django_capture_on_commit_callbacks
) -> None:
    assert b"Fetch here" in client.get(reverse(PAGE)).content
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(reverse(PAGE), {"name": "here"}).status_code == 302
    assert queued == [("identification.tasks.fetch_model", "here", administrator.pk)]
    assert not EmbeddingModel.objects.filter(name="here").exists()
    assert fetch_model("here", administrator.pk)
    model = EmbeddingModel.objects.get(name="here")
    assert (model.state, model.trained) == ("candidate", False)
    page = client.get(reverse(PAGE)).content.decode()
    assert reverse("admin:identification_embeddingmodel_change", args=[model.pk]) in page and "Fetch here" not in page


def test_what_is_not_to_be_had_is_said_with_what_to_do(client, administrator, public) -> None:
    assert not fetch_model("away", administrator.pk)
    entry = AuditEntry.objects.get(action="model.fetch_failed")
    assert "http://127.0.0.1:9/away" in entry.after["reason"] and entry.acting_user == administrator
    page = client.get(reverse(PAGE)).content.decode()
    assert "Not to be had." in page and "on another computer" in page and "Fetch away" in page


def test_nobody_else_may(client, public, queued) -> None:
    survey, _ = make_reviewable_survey(individuals=1, photos=1)
    curator = make_member(survey, "curator")
    curator.is_staff = True
    curator.save()
    client.force_login(curator)
    assert client.get(reverse(PAGE)).status_code == 403
    assert client.post(reverse(PAGE), {"name": "here"}).status_code == 403
    with pytest.raises(SpotIDError, match="administrators"):
        model_fetch_request(name="here", acting_user=curator)
    assert queued == []


def test_an_unknown_name_is_refused(client, administrator, public, queued) -> None:
    answer = client.post(reverse(PAGE), {"name": "other"}, follow=True)
    assert "There is no published network" in answer.content.decode() and queued == []
