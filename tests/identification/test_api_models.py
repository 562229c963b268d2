"""Networks through the API: a file is brought, its card read, the file taken along, and brought elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from identification.models import AuditEntry, EmbeddingModel, EncodingFailure, User
from modelzoo.cards import read_card
from tests.identification import factories as make
from tests.identification.api_client import address, problem, signed_in
from tests.identification.test_admin_models import weights

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(no_api_limit: None, boss: User) -> Client:
    return signed_in(boss)


def bring(client: Client, file_name: str, data: bytes, **said: str) -> Any:
    return client.post(address("model-imports"), {"file": SimpleUploadedFile(file_name, data), **said})


def test_a_network_is_brought_taken_along_and_is_the_same_when_it_comes_back(
    client: Client, tmp_path: Path, offline: Any
) -> None:
    data = weights(tmp_path)
    made = bring(client, "coats.safetensors", data, name="Coats of 2026")
    assert made.status_code == 201, made.content
    model = made.json()
    assert (model["name"], model["state"]) == ("Coats of 2026", "candidate")
    card = client.get(address("model-card", model["id"])).json()
    assert (card["name"], card["dimension"]) == ("Coats of 2026", model["dimension"])
    assert card["training_data"] == "made-up coats"
    response = client.post(address("model-file", model["id"]))
    assert response["Content-Disposition"] == 'attachment; filename="coats-of-2026.safetensors"'
    taken = tmp_path / "taken.safetensors"
    taken.write_bytes(b"".join(response))
    found = read_card(taken)
    assert found is not None
    assert found.name == "Coats of 2026"
    assert bring(client, "again.safetensors", data, name="Coats of 2026").json()["id"] == model["id"]
    assert EmbeddingModel.objects.count() == 1
    assert not [
        *Path(offline.SPOTID_WEIGHTS_DIR).glob(".upload-*"),
        *Path(offline.SPOTID_WEIGHTS_DIR).glob(".export-*"),
    ]
    actions = AuditEntry.objects.filter(object_type="embeddingmodel").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["model.register", "model.export"]


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("model.pt", b"PK\x03\x04", 400),
        ("model.safetensors", b"\x80\x04" + bytes(100), 422),
        ("a.safetensors", b"", 400),
    ],
)
def test_pickles_and_empty_files_are_refused_before_anything_is_loaded(
    client: Client, offline: Any, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, status: int
) -> None:
    monkeypatch.setattr("identification.api.model_files.probe_apart", lambda *args: pytest.fail("it was loaded"))
    problem(bring(client, name, data), status)
    assert not EmbeddingModel.objects.exists()


def test_published_networks_say_whether_they_are_here_and_what_came_of_trying(client: Client, offline: Any) -> None:
    rows = client.get(address("published")).json()
    name = rows[0]["name"]
    assert all(row["tried"] == "" and row["model"] is None for row in rows)
    told = client.post(address("published"), {"name": name}, "application/json")
    assert told.status_code == 202
    assert {row["name"]: row["tried"] for row in told.json()}[name] == "Asked for"


def test_coats_that_a_network_could_not_encode_are_told(client: Client) -> None:
    model = EmbeddingModel.objects.create(
        name="n", architecture="x", dimension=4, weights_file="none", checksum="0" * 64
    )
    box = make.make_detection(make.make_image(make.make_survey()))
    EncodingFailure.objects.create(detection=box, model=model, reason="no coat")
    (row,) = client.get(address("model-failures", model.pk)).json()["results"]
    assert (row["box"], row["reason"]) == (box.pk, "no coat")
