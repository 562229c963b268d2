"""`models`: taking files in, giving them out, and saying what is wrong with them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from safetensors.numpy import save_file

from identification.inference import engines
from identification.inference.coats import CoatPixels
from identification.models import AuditEntry, EmbeddingModel
from identification.services.models import model_import, model_register
from modelzoo.cards import read_card
from modelzoo.network import EmbeddingConfig, initial_weights, save_weights
from tests.identification.factories import make_sighting, make_survey, make_user
from tests.identification.test_services_activation import give_vector

pytestmark = pytest.mark.django_db

CONFIG = EmbeddingConfig(backbone="test_efficientnet", width=96, height=48, dimension=12)
CARD = {
    "name": "coats",
    "config": CONFIG.to_dict(),
    "dimension": 12,
    "trained": True,
    "training_data": "made-up coats",
    "licence": "CC0-1.0",
    "evaluation": {"tigers": {"dt5ap": 0.5}},
    "source": "a test",
}


@pytest.fixture
def file(tmp_path: Path, offline) -> Path:
    path = tmp_path / "given.safetensors"
    save_weights(path, initial_weights(CONFIG, 4), {"spotid_card": json.dumps(CARD)})
    return path


def models(*arguments: str) -> str:
    out = io.StringIO()
    call_command("models", *arguments, stdout=out)
    return out.getvalue()


def coats(number: int = 3) -> list[CoatPixels]:
    noise = np.random.default_rng(number)
    return [CoatPixels(noise.integers(0, 255, (40, 80, 3), np.uint8), np.zeros((40, 80), np.uint8)) for _ in range(3)]


def test_a_file_is_taken_in_with_its_card_under_a_name_of_its_own(file, offline) -> None:
    said = models("import", str(file))
    model = EmbeddingModel.objects.get(name="coats")
    assert "coats is a candidate" in said and "CC0-1.0" in said
    assert (model.state, model.dimension, model.trained, model.architecture) == (
        "candidate",
        12,
        True,
        "test_efficientnet",
    )
    assert model.evaluation == CARD["evaluation"] and model.card["training_data"] == "made-up coats"
    copy = Path(offline.SPOTID_WEIGHTS_DIR) / model.weights_file
    assert copy.name == f"coats-{model.checksum[:12]}.safetensors"
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == model.checksum
    assert AuditEntry.objects.get(action="model.register").object_id == model.pk


def test_the_same_file_again_is_the_same_model_and_another_of_its_name_is_refused(file, tmp_path) -> None:
    models("import", str(file))
    models("import", str(file))
    assert EmbeddingModel.objects.count() == 1
    other = tmp_path / "other.safetensors"
    save_weights(other, initial_weights(CONFIG, 5), {"spotid_card": json.dumps(CARD)})
    with pytest.raises(CommandError, match="already, with other weights"):
        models("import", str(other))
    models("import", str(other), "--name", "coats 2")
    assert EmbeddingModel.objects.count() == 2


def test_an_exported_model_gives_the_same_vectors_elsewhere(file, tmp_path) -> None:
    models("import", str(file))
    model = EmbeddingModel.objects.get()
    model.evaluation = {"tigers": {"dt5ap": 0.75}}
    model.save()
    out = tmp_path / "out" / "given away.safetensors"
    assert "holds the model and its card" in models("export", "coats", "--out", str(out))
    card = read_card(out)
    assert card is not None and card.evaluation == {"tigers": {"dt5ap": 0.75}} and card.licence == "CC0-1.0"
    models("import", str(out), "--name", "elsewhere")
    elsewhere = EmbeddingModel.objects.get(name="elsewhere")
    assert np.array_equal(engines.encode(model, coats()), engines.encode(elsewhere, coats()))


def test_a_card_can_be_given_beside_a_file_that_has_none(tmp_path, offline) -> None:
    path = tmp_path / "bare.safetensors"
    save_weights(path, initial_weights(CONFIG, 4), {})
    with pytest.raises(CommandError, match="carries no model card"):
        models("import", str(path))
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    models("import", str(path), "--card", str(tmp_path / "card.json"), "--name", "mine")
    assert EmbeddingModel.objects.get().name == "mine"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {**CONFIG.to_dict(), "backbone": "no_such_network"}}, "no_such_network"),
        ({"config": {**CONFIG.to_dict(), "kind": "crystal-ball"}}, "crystal-ball"),
        ({"config": {**CONFIG.to_dict(), "backbone": "resnet18"}}, "another network|missing"),
        ({"config": {**CONFIG.to_dict(), "dimension": 24}, "dimension": 24}, "another network|shape|size"),
        ({"config": {}, "dimension": 24}, "another network|dimensions|shape|size"),
        ({"dimension": 20000}, "dimension"),
        ({"name": "../up"}, "slash"),
        ({"secret": 1}, "secret"),
    ],
)
def test_files_that_do_not_fit_their_card_are_refused_with_the_reason(tmp_path, offline, change, said) -> None:
    path = tmp_path / "bad.safetensors"
    save_weights(path, initial_weights(CONFIG, 4), {"spotid_card": json.dumps({**CARD, **change})})
    with pytest.raises(CommandError, match=said):
        models("import", str(path))
    assert not EmbeddingModel.objects.exists()
    assert not list(Path(offline.SPOTID_WEIGHTS_DIR).glob("*.safetensors"))


def test_pickles_text_and_missing_files_are_refused(tmp_path, offline) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    (tmp_path / "model.pt").rename(tmp_path / "model.safetensors")
    with pytest.raises(CommandError, match="pickle"):
        models("import", str(tmp_path / "model.safetensors"))
    (tmp_path / "text.safetensors").write_text("hello, this is no model")
    with pytest.raises(CommandError, match="safetensors"):
        models("import", str(tmp_path / "text.safetensors"))
    with pytest.raises(CommandError, match="no file"):
        models("import", str(tmp_path / "nothing.safetensors"))
    save_file({"a": np.zeros(1, np.float32)}, str(tmp_path / "odd.safetensors"), {"spotid_card": "{"})
    with pytest.raises(CommandError, match="card"):
        models("import", str(tmp_path / "odd.safetensors"))


def test_the_original_s_checkpoint_is_taken_in_and_encodes(tmp_path, offline) -> None:
    import timm

    class Original(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.final_backbone = timm.create_model("tf_efficientnetv2_b2", pretrained=False)
            self.final_backbone.conv_stem = torch.nn.Conv2d(4, 32, 3, stride=2, bias=False)
            self.embedding_layer = torch.nn.Linear(1000, 1024)

    torch.save(Original().state_dict(), tmp_path / "best-model-cosface.pth")
    models("import", str(tmp_path / "best-model-cosface.pth"), "--format", "spotid", "--name", "leopards 2024")
    model = EmbeddingModel.objects.get(name="leopards 2024")
    assert (model.state, model.dimension, model.config["kind"]) == ("candidate", 1024, "spotid-original")
    vectors = engines.encode(model, coats())
    assert vectors.shape == (3, 1024) and np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_what_is_no_checkpoint_of_the_original_is_refused(tmp_path, offline) -> None:
    torch.save({"something": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(CommandError, match="no checkpoint of the original"):
        models("import", str(tmp_path / "x.pth"), "--format", "spotid", "--name", "x")
    assert not EmbeddingModel.objects.exists()


def test_models_are_listed_with_what_can_be_fetched(file) -> None:
    models("import", str(file))
    said = models("list")
    assert "coats: candidate, test_efficientnet, 12 dimensions, trained, CC0-1.0" in said
    assert "MegaDescriptor-L-384: CC-BY-NC-4.0" in said and "tf_efficientnetv2_b2.in1k: apache-2.0" in said


def test_an_unknown_network_and_an_unknown_model_are_said_with_those_there_are(file) -> None:
    models("import", str(file))
    with pytest.raises(CommandError, match="tf_efficientnetv2_b2"):
        models("fetch", "resnet1000")
    with pytest.raises(CommandError, match="There are: coats"):
        models("activate", "goats")


def test_a_model_is_activated_gone_back_from_and_retired_by_command(file, tiny_model) -> None:
    for number in range(2):
        give_vector(make_sighting(make_survey(), coat=number), tiny_model)
    models("import", str(file))
    assert "2 coats are encoded in the background" in models("activate", "coats")
    assert "0 of 2 coats encoded" in models("list")
    assert "is cancelled" in models("cancel")
    with pytest.raises(CommandError, match="No model is being activated"):
        models("cancel")
    assert "coats is the active model" in models("activate", "coats", "--inline")
    with pytest.raises(CommandError, match="is active"):
        models("retire", "coats")
    assert "tiny is active again" in models("rollback")
    assert EmbeddingModel.objects.get(state="active") == tiny_model
    assert "coats is retired" in models("retire", "coats")


def test_a_fetched_network_becomes_a_candidate(offline, tmp_path, monkeypatch) -> None:
    import timm

    from modelzoo import public_weights
    from modelzoo.weights import WeightsSource, register_local

    net = timm.create_model("test_efficientnet", pretrained=False)
    folder = Path(offline.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "public.safetensors", net.state_dict(), {})
    register_local(folder / "public.safetensors", folder)
    source = WeightsSource("public", "http://127.0.0.1:9/x", "public.safetensors", licence="apache-2.0", note="A test.")
    settings = {"width": 96, "height": 48, "dimension": 8}
    known = public_weights.PublicModel(source, "test_efficientnet", settings, training_data="ImageNet-1k")
    monkeypatch.setattr(public_weights, "PUBLIC", {"public": known})
    said = models("fetch", "public")
    assert "registered" in said and "retrain --from public" in said
    model = EmbeddingModel.objects.get(name="public")
    assert (model.state, model.trained, model.licence) == ("candidate", False, "apache-2.0")
    assert engines.encode(model, coats()).shape == (3, 8)
    assert not list(folder.glob(".fetch-*"))


def test_offline_it_says_what_to_get_where_and_where_to_put_it(offline) -> None:
    folder = str(offline.SPOTID_WEIGHTS_DIR)
    with pytest.raises(CommandError) as refused:
        models("fetch", "resnet18.a1_in1k")
    said = str(refused.value)
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in said
    assert f"{folder} as resnet18.a1_in1k.safetensors" in said and "weights register" in said


def test_only_administrators_register_models(file) -> None:
    from identification.errors import SpotIDError

    with pytest.raises(SpotIDError, match="administrators"):
        model_import(path=file, acting_user=make_user())
    with pytest.raises(SpotIDError, match="administrators"):
        model_register(path=file, card=CARD, acting_user=make_user())
    model = model_import(path=file, acting_user=make_user(superuser=True))
    assert model.state == "candidate"


def test_the_parent_in_a_card_is_found_by_its_name(file, tmp_path) -> None:
    models("import", str(file))
    child = tmp_path / "child.safetensors"
    card = {**CARD, "name": "child", "parent": "coats"}
    save_weights(child, initial_weights(CONFIG, 6), {"spotid_card": json.dumps(card)})
    models("import", str(child))
    assert EmbeddingModel.objects.get(name="child").parent == EmbeddingModel.objects.get(name="coats")
