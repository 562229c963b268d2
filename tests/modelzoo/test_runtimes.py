"""torch and OpenVINO give the same vectors, and say which of them is at work and why."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from modelzoo.embedders import CoatPixels, open_embedder
from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, save_weights
from modelzoo.runtimes import choice, openvino_cpu, torch_cpu
from modelzoo.runtimes.recipe import Recipe, RuntimeUnavailable, disagreement, probe

SMALL = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)
B2 = EmbeddingConfig(width=96, height=64)
VIT = EmbeddingConfig(backbone="test_vit", width=72, height=40, dimension=16)


def stored(config: EmbeddingConfig, folder: Path) -> tuple[Path, str]:
    """Weights whose normalisations have seen these photos, so that their vectors differ as a trained network's do."""
    torch.manual_seed(3)
    net = CoatNet(config)
    net.load_state_dict(initial_weights(config, 3))
    with torch.no_grad():
        for _ in range(20):
            net(torch.cat([image_of(config, coat) for coat in coats()]))
    path = folder / "w.safetensors"
    return path, save_weights(path, net.state_dict(), {})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return stored(SMALL, tmp_path_factory.mktemp("small"))


def coats() -> list[CoatPixels]:
    """A dark, a bright and a striped photo."""
    draw = np.random.default_rng(2)
    found = []
    for low, high, edge in ((0, 60, 2), (190, 256, 9), (0, 256, 4)):
        crop = draw.integers(low, high, (70 + low, 200 - high // 2, 3), np.uint8)
        crop[:, :: edge * 2] //= edge
        found.append(CoatPixels(crop, np.where(draw.integers(0, edge, crop.shape[:2]) == 0, 255, 0).astype(np.uint8)))
    return found


def state_of(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def image_of(config: EmbeddingConfig, coat: CoatPixels) -> torch.Tensor:
    planes = config.preprocessing.planes(coat, config.width, config.height).astype(np.float32) / 255
    image = (planes - np.array(config.mean, np.float32)) / np.array(config.std, np.float32)
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@pytest.mark.parametrize("config", [SMALL, VIT, B2], ids=lambda config: config.backbone)
def test_the_runtimes_agree(config, tmp_path):
    path, sha256 = stored(config, tmp_path)
    found = {
        runtime: open_embedder(config.to_dict(), path, sha256, runtime=runtime).encode(coats())
        for runtime in ("torch", "openvino")
    }
    net = CoatNet(config).eval()
    net.load_state_dict(state_of(path))
    with torch.inference_mode():
        plain = np.concatenate([net(image_of(config, coat)).numpy() for coat in coats()])
    assert min(disagreement(plain[i : i + 1], plain[j : j + 1]) for i in range(3) for j in range(i)) > 5e-3
    for rows in found.values():
        assert disagreement(rows, plain) <= 1e-3


def test_openvino_is_chosen_and_kept_beside_the_weights(weights, monkeypatch):
    path, sha256 = weights
    first = open_embedder(SMALL.to_dict(), path, sha256)
    assert first.describe().startswith("OpenVINO")
    kept = [file for file in (path.parent / ".converted").rglob("*") if file.is_file()]
    assert sorted(file.name for file in kept) == ["network.bin", "network.xml", "probe.npy"]
    monkeypatch.setattr(openvino_cpu, "convert", lambda *_: pytest.fail("converted again"))
    again = open_embedder(SMALL.to_dict(), path, sha256)
    assert np.array_equal(again.encode(coats()), first.encode(coats()))


def test_a_conversion_that_was_damaged_is_made_anew(weights, tmp_path):
    path, sha256 = weights

    def encoded():
        return open_embedder(SMALL.to_dict(), path, sha256, runtime="openvino", cache_dir=tmp_path).encode(coats())

    expected = encoded()
    (binary,) = tmp_path.rglob("network.bin")
    whole = binary.read_bytes()
    binary.write_bytes(bytes(len(whole)))
    assert np.array_equal(encoded(), expected)
    (binary,) = tmp_path.rglob("network.bin")
    assert binary.read_bytes() == whole
    binary.with_name("network.xml").write_text("<none/>")
    assert np.array_equal(encoded(), expected)


def test_a_conversion_is_of_one_network_and_one_version_of_openvino(weights, tmp_path):
    names = {openvino_cpu.conversion_name(*pair) for pair in (("a", "1"), ("b", "1"), ("a", "2"), ("a", "1"))}
    assert len(names) == 3
    path, sha256 = weights
    for config in (SMALL, EmbeddingConfig(**{**SMALL.to_dict(), "width": 96})):
        open_embedder(config.to_dict(), path, sha256, runtime="openvino", cache_dir=tmp_path).encode(coats())
    one, other = sorted(tmp_path.iterdir())
    outdated = one.with_name(f"{one.name.partition('-')[0]}-outdated")
    one.rename(outdated)
    for config in (SMALL, EmbeddingConfig(**{**SMALL.to_dict(), "width": 96})):
        open_embedder(config.to_dict(), path, sha256, runtime="openvino", cache_dir=tmp_path).encode(coats())
    assert sorted(tmp_path.iterdir()) == [one, other]


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(weights, tmp_path):
    path, sha256 = weights
    (tmp_path / "file").write_text("in the way")
    embedder = open_embedder(SMALL.to_dict(), path, sha256, runtime="openvino", cache_dir=tmp_path / "file" / "cache")
    assert embedder.encode(coats()).shape == (3, 16)


def test_without_openvino_torch_does_the_work_and_says_so(weights, monkeypatch, tmp_path):
    path, sha256 = weights
    monkeypatch.setitem(sys.modules, "openvino", None)
    embedder = open_embedder(SMALL.to_dict(), path, sha256, cache_dir=tmp_path)
    assert embedder.describe().startswith("torch")
    assert "not OpenVINO: it is not installed" in embedder.describe()
    with pytest.raises(RuntimeUnavailable, match="not installed"):
        open_embedder(SMALL.to_dict(), path, sha256, runtime="openvino", cache_dir=tmp_path).encode(coats())


class OtherInTraces(nn.Module):
    """A network that tracing cannot see through: it gives one direction when called and another when traced."""

    def forward(self, images):
        turn = 1.0 if not torch.jit.is_tracing() else -1.0
        mean = images.mean(dim=(2, 3))
        return nn.functional.normalize(torch.cat([mean[:, :1] * turn, mean[:, 1:]], dim=1), dim=1)


def recipe(net: nn.Module, tmp_path: Path, **changes) -> Recipe:
    return Recipe(load=lambda: net.eval(), key="k", shape=(4, 32, 64), threads=1, cache_dir=tmp_path, **changes)


def test_a_conversion_that_gives_other_vectors_is_not_used(tmp_path):
    wrong = recipe(OtherInTraces(), tmp_path)
    with pytest.raises(RuntimeUnavailable, match="not torch's: 1 − cosine is"):
        choice.choose(wrong, "openvino", torch.device("cpu"))
    runner = choice.choose(wrong, "auto", torch.device("cpu"))
    assert runner.description.startswith("torch")
    assert "not torch's" in runner.description
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_converted_is_torchs(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no such operation\nand much more")

    monkeypatch.setattr(openvino_cpu, "convert", fails)
    runner = choice.choose(recipe(CoatNet(SMALL), tmp_path), "auto", torch.device("cpu"))
    assert "cannot be converted: no such operation)" in runner.description


def test_bfloat16_is_given_up_where_it_changes_the_vectors(tmp_path, monkeypatch):
    class Fine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, images):
            rows = (images.mean(dim=(2, 3)) + 500.0) * self.weight - 500.0
            return nn.functional.normalize(rows, dim=1)

    monkeypatch.setattr(torch_cpu, "has_bfloat16", lambda: True)
    runner = torch_cpu.TorchRunner(Recipe(Fine, "k", (4, 32, 64), 1, tmp_path), torch.device("cpu"))
    assert "float32" in runner.description
    images = probe((4, 32, 64))
    assert np.allclose(runner.run(images), Fine()(images).detach().numpy(), atol=1e-5)


def test_bfloat16_is_used_where_the_processor_has_it(tmp_path, monkeypatch, weights):
    net = CoatNet(SMALL)
    net.load_state_dict(state_of(weights[0]))
    for has, word in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch_cpu, "has_bfloat16", lambda has=has: has)
        assert word in torch_cpu.TorchRunner(recipe(net, tmp_path), torch.device("cpu")).description
        exact = torch_cpu.TorchRunner(recipe(net.float(), tmp_path, exact=True), torch.device("cpu"))
        assert "float32" in exact.description


def test_vectors_that_are_alike_for_all_images_must_agree_better(tmp_path):
    """Two images 0.0002 apart: a runtime that is off by 0.0001 could mix them up, which matters not to others."""

    def row(angle: float) -> list[float]:
        return [np.cos(angle), np.sin(angle)]

    expected = np.array([row(0.0), row(0.02)], np.float32)
    turned = np.array([row(0.0142), row(0.0342)], np.float32)
    assert disagreement(turned, expected) == pytest.approx(1e-4, rel=0.01)
    alike = recipe(nn.Identity(), tmp_path)
    assert not alike.agree(turned, expected)
    assert alike.agree(expected, expected)
    apart = np.array([row(0.0), row(1.0)], np.float32)
    assert alike.agree(np.array([row(0.0142), row(1.0142)], np.float32), apart)
    assert not alike.agree(np.array([row(0.03), row(1.03)], np.float32), apart)
    assert not recipe(nn.Identity(), tmp_path, exact=True).agree(apart + np.float32(1e-5), apart)


def test_vectors_that_are_no_directions_never_agree():
    for bad in (np.nan, np.inf, 0.0):
        assert disagreement(np.full((1, 3), bad, np.float32), np.ones((1, 3), np.float32)) == np.inf


WORKER = """
import multiprocessing, os, socket, sys
from pathlib import Path
import numpy as np
from modelzoo.coats import CoatPixels
from modelzoo.embedders import open_embedder
from modelzoo.network import EmbeddingConfig

def refuse(*_):
    print("the network was used", flush=True)
    raise OSError("no network here")

socket.socket.connect = socket.getaddrinfo = refuse
folder = Path(sys.argv[1])
config = EmbeddingConfig(backbone="test_efficientnet", width=64, height=32, dimension=16)
embedder = open_embedder(config.to_dict(), folder / "w.safetensors", sys.argv[2], cache_dir=folder / "worker")

def work():
    import openvino.tools.ovc.telemetry_utils as used
    rows = embedder.encode([CoatPixels(np.full((40, 80, 3), 90, np.uint8), np.zeros((40, 80), np.uint8))])
    assert embedder.describe().startswith("OpenVINO"), embedder.describe()
    assert used.tm.__name__ == "openvino.tools.ovc.telemetry_stub", used.tm
    np.save(folder / "rows.npy", rows)

def begin():
    from modelzoo.runtimes.openvino_cpu import import_openvino
    import_openvino()
    work()

worker = multiprocessing.get_context("fork").Process(target=begin, daemon=True)
worker.start()
worker.join(100)
sys.exit(worker.exitcode)
"""


def test_a_forked_worker_converts_and_reports_to_nobody(weights, tmp_path):
    """With a home of its own: left alone, openvino puts a client's number there and tries to reach its maker."""
    path, sha256 = weights
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | {"HOME": str(home)}
    call = [sys.executable, "-W", "ignore", "-c", WORKER, str(path.parent), sha256]
    done = subprocess.run(
        call, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], timeout=120
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(home.iterdir()) == []
    coat = CoatPixels(np.full((40, 80, 3), 90, np.uint8), np.zeros((40, 80), np.uint8))
    here = open_embedder(SMALL.to_dict(), path, sha256, runtime="torch").encode([coat])
    assert disagreement(np.load(path.parent / "rows.npy"), here) <= 1e-3
