"""The network converted for OpenVINO, in this process, and kept as a file."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..weights import WeightsError
from .recipe import Recipe, RuntimeUnavailable, disagreement, probe

_MODEL = "network.xml"
_EXPECTED = "probe.npy"


class OpenVinoRunner:
    """One image at a time: on a processor that is as quick per image as batches, and needs less memory.

    Converted at the first use and kept in ``recipe.cache_dir`` together with torch's vectors of a few images, which
    every later loading is compared with. In bfloat16 where the processor has it and the vectors stay the same. Raises
    RuntimeUnavailable.
    """

    def __init__(self, recipe: Recipe) -> None:
        openvino = import_openvino()
        self._core = openvino.Core()
        folder = recipe.cache_dir / conversion_name(recipe.key, openvino.__version__)
        try:
            self._compiled = self._cached(recipe, folder) or self._converted(recipe, folder, openvino)
        except (RuntimeUnavailable, WeightsError):
            raise
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            raise RuntimeUnavailable(f"the network cannot be converted: {_first_line(error)}") from error
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        version = openvino.__version__.partition("-")[0]
        self.description = f"OpenVINO {version} on cpu, {_PRECISIONS.get(precision, precision)}"

    def run(self, images: torch.Tensor) -> NDArray[np.float32]:
        """n×C×H×W float32 → n×dimension float32."""
        return _run(self._compiled, images)

    def _cached(self, recipe: Recipe, folder: Path) -> Any | None:
        """The network as it was converted earlier; None when it was not, or gives other vectors than torch then."""
        try:
            expected = np.load(folder / _EXPECTED, allow_pickle=False)
            return self._agreeing(self._core.read_model(folder / _MODEL), recipe, expected)
        except (OSError, ValueError, RuntimeError):
            return None

    def _converted(self, recipe: Recipe, folder: Path, openvino: Any) -> Any:
        net = recipe.load()
        with torch.inference_mode():
            expected = net(probe(recipe.shape)).numpy()
        model = convert(net, recipe.shape)
        compiled = self._agreeing(model, recipe, expected)
        # From the file as at every later start: the last digits are others than of the network still in memory.
        return (self._cached(recipe, folder) if _keep(folder, model, expected, openvino) else None) or compiled

    def _agreeing(self, model: Any, recipe: Recipe, expected: NDArray[np.float32]) -> Any:
        """Compiled in the quickest precision that gives the expected vectors."""
        images = probe(recipe.shape)
        for precision in ("f32",) if recipe.exact else (None, "f32"):
            settings: dict[str, Any] = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": recipe.threads,
                # Several workers would be pinned to the same core.
                "ENABLE_CPU_PINNING": False,
            }
            if precision is not None:
                settings["INFERENCE_PRECISION_HINT"] = precision
            compiled = self._core.compile_model(model, "CPU", settings)
            found = _run(compiled, images)
            if recipe.agree(found, expected):
                return compiled
        raise RuntimeUnavailable(f"its vectors are not torch's: 1 − cosine is {disagreement(found, expected):.1e}")


def _run(compiled: Any, images: torch.Tensor) -> NDArray[np.float32]:
    rows = [compiled(np.ascontiguousarray(image[None].numpy()))[0].copy() for image in images]
    return np.concatenate(rows).astype(np.float32)


_PRECISIONS = {"bf16": "bfloat16", "f32": "float32", "f16": "float16"}


def import_openvino() -> Any:
    """The module, which is kept from reporting its import to its maker. Raises RuntimeUnavailable."""
    # openvino falls back to a stub that sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise RuntimeUnavailable(f"it is not installed ({error})") from error
    return openvino


def convert(net: nn.Module, shape: tuple[int, int, int]) -> Any:
    """An OpenVINO model of the network for one image of C×H×W."""
    openvino = import_openvino()
    example = torch.zeros(1, *shape)
    with warnings.catch_warnings(), torch.inference_mode():
        # Of torch's tracer: the shapes are fixed here, so that what it takes for constant is.
        warnings.simplefilter("ignore")
        return openvino.convert_model(net, example_input=example, input=[1, *shape])


def conversion_name(key: str, version: str) -> str:
    """Folder of a conversion: network-version, another one for other weights, settings or versions of OpenVINO."""
    network, made_by = (hashlib.sha256(text.encode()).hexdigest() for text in (key, version))
    return f"{network[:32]}-{made_by[:8]}"


def _keep(folder: Path, model: Any, expected: NDArray[np.float32], openvino: Any) -> bool:
    """Writes beside and renames; whether it is kept. What another version made of the network is removed."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError:
        return False
    try:
        openvino.save_model(model, beside / _MODEL, compress_to_fp16=False)
        np.save(beside / _EXPECTED, expected, allow_pickle=False)
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
        for other in folder.parent.glob(f"{folder.name.partition('-')[0]}-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    except (OSError, RuntimeError):
        # Another process was quicker, or the disk is full.
        shutil.rmtree(beside, ignore_errors=True)
    return folder.is_dir()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
