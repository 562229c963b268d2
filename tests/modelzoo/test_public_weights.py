"""Published networks as starting points: fetched from a real server on this computer, with random weights in them."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save

from modelzoo import weights
from modelzoo.cards import read_card
from modelzoo.coats import CoatPixels
from modelzoo.embedders import open_embedder
from modelzoo.public_weights import PUBLIC, PublicModel, starting_point
from modelzoo.weights import ChecksumError, OfflineError, WeightsError, WeightsSource, register_local, sha256_of
from tests.modelzoo.test_weights_fetch import Site
from tests.modelzoo.test_weights_fetch import site as site  # the fixture

SMALL = {"width": 64, "height": 32}


def fetch(source: WeightsSource, directory: Path) -> weights.FetchedWeights:
    """Past the proxy that `site` puts in the way."""
    return weights.fetch(source, directory, opener=urllib.request.build_opener(urllib.request.ProxyHandler({})))


def published(name: str = "resnet18") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model(name, pretrained=False).state_dict()


def model(site: Site, *, suffix: str = ".safetensors", **changes) -> PublicModel:
    source = WeightsSource(
        name="net",
        url=f"{site.address}/net{suffix}",
        filename=f"net{suffix}",
        licence="apache-2.0",
        record_url=f"{site.address}/tree",
        remote_name=f"model{suffix}",
    )
    values = {"source": source, "backbone": "resnet18", "settings": SMALL, "training_data": "nothing"}
    return PublicModel(**(values | changes))


def serve(site: Site, data: bytes, suffix: str = ".safetensors", oid: str | None = None) -> None:
    import hashlib

    site.files[f"/net{suffix}"] = data
    large = {"lfs": {"oid": oid or hashlib.sha256(data).hexdigest(), "size": len(data)}}
    listed = [{"type": "file", "path": "README.md", "oid": "0" * 40}]
    listed.append({"type": "file", "path": f"model{suffix}", "oid": "1" * 40, **large})
    site.files["/tree"] = json.dumps(listed).encode()


def test_every_published_network_has_an_address_a_licence_and_a_plain_file_of_its_own() -> None:
    files = [public.source.filename for public in PUBLIC.values()]
    assert len(set(files)) == len(files)
    for public in PUBLIC.values():
        assert public.source.url.startswith("https://huggingface.co/") and public.source.licence
        assert public.source.checksum is None, "none is invented"


def test_the_checksum_is_the_one_that_the_hub_lists(site: Site, tmp_path: Path) -> None:
    serve(site, save(published()))
    fetched = fetch(model(site).source, tmp_path)
    assert fetched.verified_by == "published"
    serve(site, save(published()), oid="0" * 64)
    with pytest.raises(ChecksumError, match="not what it should be"):
        fetch(model(site).source, tmp_path / "other")


def test_a_file_that_the_hub_keeps_without_checksum_is_pinned(site: Site, tmp_path: Path) -> None:
    serve(site, save(published()))
    site.files["/tree"] = json.dumps([{"type": "file", "path": "model.safetensors", "oid": "1" * 40}]).encode()
    assert fetch(model(site).source, tmp_path).verified_by == "pinned"


def test_offline_it_says_what_to_get_and_takes_the_file_put_there_by_hand(site: Site, tmp_path: Path) -> None:
    source = WeightsSource(name="net", url="http://127.0.0.1:9/net.safetensors", filename="net.safetensors")
    with pytest.raises(OfflineError, match=r"http://127\.0\.0\.1:9/net\.safetensors.*put it into"):
        fetch(source, tmp_path)
    (tmp_path / "net.safetensors").write_bytes(save(published()))
    register_local(tmp_path / "net.safetensors", tmp_path)
    assert fetch(source, tmp_path).verified_by == "local"


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_starting_point_holds_the_published_layers_and_encodes(site: Site, tmp_path: Path, suffix: str) -> None:
    state = published()
    if suffix == ".bin":
        torch.save(state, tmp_path / "made.bin")
        serve(site, (tmp_path / "made.bin").read_bytes(), suffix)
    else:
        serve(site, save(state))
    public = model(site, suffix=suffix)
    fetched = fetch(public.source, tmp_path)
    out = tmp_path / "out" / "model.safetensors"
    card = starting_point(public, fetched.path, fetched.sha256, out, fetched.explanation)
    assert read_card(out) == card
    assert not card.trained and card.dimension == 1024 and "random" in card.notes and fetched.sha256 in card.notes
    embedder = open_embedder(card.config, out, sha256_of(out), runtime="torch")
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    vectors = embedder.encode([CoatPixels(noise, noise[..., 0] // 200 * 255)])
    assert vectors.shape == (1, 1024) and np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


def test_a_published_network_that_tells_animals_apart_keeps_its_own_vectors(site: Site, tmp_path: Path) -> None:
    serve(site, save(published()))
    public = model(site, settings={**SMALL, "pipeline": "crop_rgb"}, whole=True, trained=True)
    fetched = fetch(public.source, tmp_path)
    card = starting_point(public, fetched.path, fetched.sha256, tmp_path / "m.safetensors", "")
    assert card.trained and card.dimension == 512
    crop = np.random.default_rng(0).integers(0, 255, (32, 64, 3), np.uint8)
    path = tmp_path / "m.safetensors"
    ours = open_embedder(card.config, path, sha256_of(path), runtime="torch").encode([CoatPixels(crop)])[0]
    net = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    net.load_state_dict({name: value for name, value in published().items() if not name.startswith("fc.")})
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = torch.from_numpy(((crop / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32))
    with torch.inference_mode():
        theirs = net(image)[0].numpy()
    assert ours @ theirs / np.linalg.norm(theirs) == pytest.approx(1, abs=1e-3)


def test_another_network_and_more_than_tensors_are_refused(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(save({"conv1.weight": torch.zeros(64, 3, 7, 7)}))
    with pytest.raises(WeightsError, match="missing"):
        starting_point(model(site), path, sha256_of(path), tmp_path / "o.safetensors", "")
    pickled = tmp_path / "net.bin"
    torch.save({"weights": Path("/")}, pickled)
    with pytest.raises(WeightsError, match="more than tensors"):
        starting_point(model(site, suffix=".bin"), pickled, sha256_of(pickled), tmp_path / "o.safetensors", "")
