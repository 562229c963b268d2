"""Models in the admin: who may, importing a file, activating with progress, going back, reports as harmless pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django_q.models import OrmQ

from identification.admin.model_cards import facts, figure_rows, headline, plain_figures
from identification.inference.training_report import NEW, TITLES
from identification.models import AuditEntry, EmbeddingModel, ModelActivation
from identification.services.activation_run import activation_run
from modelzoo.cards import read_card
from modelzoo.network import EmbeddingConfig, initial_weights, save_weights
from tests.identification.factories import make_member, make_sighting, make_survey, make_user
from tests.identification.test_models_command import CARD, CONFIG
from tests.identification.test_services_activation import activate, give_vector, make_model, serving

pytestmark = pytest.mark.django_db

FIGURES = {
    "figures": {
        # As a training names its scorers.
        TITLES[NEW]: {
            "tables": {
                "all": {"as_seen": {"queries": 9, "photos": 9, "individuals": 3, "figures": {"dt5ap": 0.9}}},
                "other_events": {
                    "normalised": {
                        "queries": 4,
                        "photos": 9,
                        "individuals": 3,
                        "figures": {"dt5ap": {"value": 0.5, "low": 0.4, "high": 0.6}, "t1": {"value": 0.75}},
                    }
                },
            }
        }
    },
    "advice": "activate",
}


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def new(tiny_model, offline) -> EmbeddingModel:
    return make_model(offline, "new", 2)


@pytest.fixture
def coats(tiny_model):
    survey = make_survey(matching_state="done")
    rows = [make_sighting(survey, coat=number) for number in range(3)]
    for row in rows:
        give_vector(row, tiny_model)
    return rows


def at(view: str, row=None) -> str:
    return reverse(f"admin:identification_{view}", args=[row.pk] if row else [])


def test_only_administrators_see_or_do_any_of_it(client, new, offline) -> None:
    activation = ModelActivation.objects.create(model=new)
    client.force_login(make_member(make_survey(), "administrator", user=make_user(is_staff=True)))
    gets = [at("embeddingmodel_changelist"), at("embeddingmodel_add"), at("embeddingmodel_roll_back")]
    gets += [at(f"embeddingmodel_{view}", new) for view in ("change", "activate", "retire", "report")]
    gets += [at("modelactivation_changelist")]
    gets += [at(f"modelactivation_{view}", activation) for view in ("change", "live")]
    assert {address: client.get(address).status_code for address in gets} == dict.fromkeys(gets, 403)
    posts = [at("embeddingmodel_export", new), at("modelactivation_cancel", activation), *gets]
    posts = [address for address in posts if not address.endswith(("/report/", "/live/"))]
    for address in posts:
        assert client.post(address, {"confirmed": "yes"}).status_code == 403, address
    activation.refresh_from_db()
    assert activation.state == "pending" and serving() == "tiny"


def test_a_model_is_activated_after_a_question_and_watched(client, administrator, coats, new) -> None:
    page = client.get(at("embeddingmodel_activate", new)).content.decode()
    assert "3 coats are encoded in the background" in page and "Decisions and individuals stay" in page
    assert not ModelActivation.objects.exists()
    response = client.post(at("embeddingmodel_activate", new), {"confirmed": "yes"}, follow=True)
    activation = ModelActivation.objects.get()
    assert activation.requested_by == administrator
    page = response.content.decode()
    assert "0 of 3 coats encoded" in page and at("modelactivation_live", activation) in page
    assert 'data-open="yes"' in client.get(at("modelactivation_live", activation)).content.decode()
    refused = client.post(at("embeddingmodel_activate", new), {"confirmed": "yes"}, follow=True).content.decode()
    assert "Another model is being activated" in refused
    activation_run(activation_id=activation.pk)
    assert serving() == "new"
    live = client.get(at("modelactivation_live", activation)).content.decode()
    assert 'data-open="no"' in live and "3 of 3 coats encoded" in live


@pytest.mark.django_db(transaction=True)
def test_an_activation_is_put_on_the_queue(client, administrator, coats, new) -> None:
    client.post(at("embeddingmodel_activate", new), {"confirmed": "yes"})
    assert [entry.task["func"] for entry in OrmQ.objects.all()] == ["identification.tasks.activate_model"]


def test_an_activation_is_cancelled(client, administrator, coats, new) -> None:
    client.post(at("embeddingmodel_activate", new), {"confirmed": "yes"})
    activation = ModelActivation.objects.get()
    assert client.get(at("modelactivation_cancel", activation)).status_code == 405
    page = client.post(at("modelactivation_cancel", activation), follow=True).content.decode()
    assert "is cancelled" in page
    activation.refresh_from_db()
    assert (activation.state, serving()) == ("cancelled", "tiny")
    assert "over" in client.post(at("modelactivation_cancel", activation), follow=True).content.decode()


def test_going_back_asks_first_and_is_done_at_once(client, administrator, coats, new) -> None:
    address = at("embeddingmodel_roll_back")
    assert "nothing to go back to" in client.get(address, follow=True).content.decode()
    activate(new)
    assert "Roll back to tiny" in client.get(at("embeddingmodel_change", new)).content.decode()
    assert "Go back to tiny" in client.get(address).content.decode() and serving() == "new"
    assert "tiny serves again" in client.post(address, {"confirmed": "yes"}, follow=True).content.decode()
    assert serving() == "tiny"
    assert AuditEntry.objects.get(action="model.rollback").acting_user == administrator


def test_a_candidate_is_retired(client, administrator, new) -> None:
    client.get(at("embeddingmodel_retire", new))
    new.refresh_from_db()
    assert new.state == "candidate"
    client.post(at("embeddingmodel_retire", new), {"confirmed": "yes"})
    new.refresh_from_db()
    assert new.state == "retired"


def test_a_model_is_downloaded_with_its_card(client, administrator, new, tmp_path, offline) -> None:
    EmbeddingModel.objects.filter(pk=new.pk).update(licence="CC0-1.0", evaluation={"tigers": {"t1": 0.5}})
    assert client.get(at("embeddingmodel_export", new)).status_code == 405
    response = client.post(at("embeddingmodel_export", new))
    assert response["Content-Type"] == "application/octet-stream"
    assert 'attachment; filename="new.safetensors"' in response["Content-Disposition"]
    file = tmp_path / "got.safetensors"
    file.write_bytes(body(response))
    card = read_card(file)
    assert card is not None and (card.name, card.licence, card.trained) == ("new", "CC0-1.0", True)
    assert not list(Path(offline.SPOTID_WEIGHTS_DIR).glob(".export-*"))
    (Path(offline.SPOTID_WEIGHTS_DIR) / new.weights_file).write_bytes(b"changed")
    page = client.post(at("embeddingmodel_export", new), follow=True).content.decode()
    assert "are not the registered ones" in page


def body(response) -> bytes:
    """What is streamed. Closing the response would close the test's database connection, too."""
    data = b"".join(response.streaming_content)
    for close in response._resource_closers:
        close()
    return data


def upload(client, file_name: str, data: bytes, **said):
    file = SimpleUploadedFile(file_name, data)
    return client.post(at("embeddingmodel_add"), {"file": file, **said}, follow=True)


def weights(tmp_path, config=CONFIG, card=CARD) -> bytes:
    path = tmp_path / "made.safetensors"
    save_weights(path, initial_weights(config, 4), {"spotid_card": json.dumps(card)})
    return path.read_bytes()


def test_an_uploaded_file_is_tried_in_a_process_of_its_own_and_taken_in(
    client, administrator, tmp_path, offline
) -> None:
    page = upload(client, "coats.safetensors", weights(tmp_path), name="Coats of 2026").content.decode()
    model = EmbeddingModel.objects.get()
    assert "Coats of 2026 is a candidate" in page and model.state == "candidate"
    assert "made-up coats" in page and "CC0-1.0" in page and model.checksum in page
    assert AuditEntry.objects.get(action="model.register").acting_user == administrator
    other = weights(tmp_path, EmbeddingConfig(backbone="test_efficientnet", width=96, height=48, dimension=24))
    page = upload(client, "other.safetensors", other, name="other").content.decode()
    assert EmbeddingModel.objects.count() == 1 and "another network" in page
    assert not list(Path(offline.SPOTID_WEIGHTS_DIR).glob(".upload-*"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.pt", b"PK\x03\x04" + bytes(100), "Only safetensors files"),
        ("model.safetensors", b"PK\x03\x04" + bytes([20, 0, 8, 8]) + bytes(100), "pickle"),
        ("model.safetensors", b"\x80\x04" + bytes(range(100)), "pickle"),
        ("model.safetensors", b"<html></html>", "no safetensors file"),
        ("model.safetensors", b"", "empty"),
    ],
)
def test_pickles_and_other_files_are_refused_before_anything_is_loaded(
    client, administrator, offline, monkeypatch, name, data, said
) -> None:
    monkeypatch.setattr("identification.admin.models.probe_apart", lambda *args: pytest.fail("it was loaded"))
    assert said in upload(client, name, data).content.decode()
    assert not EmbeddingModel.objects.exists()


def test_a_report_is_served_as_a_page_without_any_right(client, administrator, new, offline) -> None:
    home = Path(offline.SPOTID_HOME)
    (home / "training" / "1").mkdir(parents=True)
    (home / "training" / "1" / "report.html").write_text("<script>alert(1)</script>")
    (home / "secrets.json").write_text("{}")
    (home.parent / "outside.html").write_text("x")
    EmbeddingModel.objects.filter(pk=new.pk).update(report="training/1/report.html")
    assert "Open the report" in client.get(at("embeddingmodel_change", new)).content.decode()
    response = client.get(at("embeddingmodel_report", new))
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "sandbox" in response["Content-Security-Policy"] and "script" not in response["Content-Security-Policy"]
    assert body(response) == b"<script>alert(1)</script>"
    for elsewhere in ("", "secrets.json", "../outside.html", "/etc/passwd", "training/1"):
        EmbeddingModel.objects.filter(pk=new.pk).update(report=elsewhere)
        assert client.get(at("embeddingmodel_report", new)).status_code == 404, elsewhere


def test_a_model_is_shown_with_what_was_measured(client, administrator, new) -> None:
    EmbeddingModel.objects.filter(pk=new.pk).update(evaluation=FIGURES)
    page = client.get(at("embeddingmodel_change", new)).content.decode()
    assert "0.50 (0.40–0.60)" in page and "0.90" not in page and "Advice: activate" in page
    assert "DT5AP 0.50 (0.40–0.60), T1RMD 0.75" in client.get(at("embeddingmodel_changelist")).content.decode()


def test_an_address_of_no_number_leads_nowhere(client, administrator) -> None:
    assert client.get(reverse("admin:identification_embeddingmodel_change", args=["²"])).status_code == 404


def test_figures_of_any_form_are_shown() -> None:
    assert figure_rows({}) == [] and headline({}) == "–" and plain_figures({}) == []
    other = {"tigers": {"dt5ap": 0.512, "queries": 40, "fine": True, "note": "x", "none": None}}
    assert plain_figures(other) == [
        ("tigers · DT5AP", "0.512"),
        ("tigers · queries", "40"),
        ("tigers · fine", "yes"),
        ("tigers · note", "x"),
    ]
    assert headline(other) == "tigers · DT5AP 0.512"
    grouped = {"tigers": {"tables": {"all photos": {"t1": {"value": 0.5, "low": 0.4, "high": 0.6}}}}}
    assert plain_figures(grouped) == [("tigers · all photos · T1", "0.50 (0.40–0.60)")]
    odd = {"a": {"tables": {}}, "b": 3, "c": {"tables": []}, "d": {"tables": {"all": 1}}, "e": {"tables": {"all": {}}}}
    assert figure_rows({"figures": odd}) == [] and headline({"figures": odd}) == "–"


def test_what_the_software_wrote_cannot_be_changed_by_form(client, administrator, new) -> None:
    assert client.post(at("embeddingmodel_change", new), {"name": "mine"}).status_code == 403
    assert client.post(reverse("admin:identification_embeddingmodel_delete", args=[new.pk])).status_code == 403
    assert ("Dimensions", "8") in facts(new)
