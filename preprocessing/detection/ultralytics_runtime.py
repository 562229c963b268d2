"""Loading ultralytics so that it neither talks to anybody, installs anything nor writes outside its folder."""

import ast
import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage


class WeightsRefused(Exception):
    """Weights that are missing, changed or of a kind that is not loaded; the text says what to do."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def checked_sha256(path: Path, expected: str | None) -> str:
    """The SHA-256 of weights. Raises WeightsRefused when the file is missing or differs from `expected`."""
    if not path.is_file():
        raise WeightsRefused(f"No weights at {path}.")
    found = file_sha256(path)
    if expected is not None and found != expected.strip().lower():
        raise WeightsRefused(
            f"{path.name} is not the registered file: SHA-256 {found[:12]}…, expected {expected[:12]}…. Fetch it again."
        )
    return found


def quiet_environment(config_dir: Path | None) -> dict[str, str]:
    """Environment variables under which ultralytics stays silent and offline; its settings live in `config_dir`."""
    folder = config_dir or Path(tempfile.gettempdir()) / "spotid-ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "YOLO_CONFIG_DIR": str(folder.resolve()),
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        # onnxruntime 1.31 was seen to make a device id and an upload queue in ~/.cache/Microsoft on Linux too
        "ORT_DISABLE_TELEMETRY": "1",
        "MPLCONFIGDIR": str(folder.resolve()),
    }


def load_yolo(weights: Path, task: str, config_dir: Path | None) -> Any:
    """An `ultralytics.YOLO` of ONNX weights for `task` (detect or segment), telemetry and installations off."""
    os.environ.update(quiet_environment(config_dir))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opening = PillowImage.open
        try:
            from ultralytics import YOLO, settings
        finally:
            # ultralytics puts its own function in Pillow's place, which wants to install packages for broken photos.
            PillowImage.open = opening

        if settings.get("sync"):
            settings.update({"sync": False})
        return YOLO(str(weights), task=task)


def predict(model: Any, image: Any, **options: Any) -> Any:
    """The result of one RGB photo. ultralytics takes arrays as BGR, and sounds its warnings through Python's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.predict(image[:, :, ::-1].copy(), device="cpu", verbose=False, save=False, **options)[0]


def onnx_metadata(weights: Path) -> dict[str, Any]:
    """What the exporter wrote into ONNX weights (`imgsz`, `names`, `task`, …) as Python values.

    Raises WeightsRefused when the file is no ONNX model.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsRefused(f"{weights.name} cannot be read as an ONNX model: {error}") from error
    stored = dict(session.get_modelmeta().custom_metadata_map)
    stored.setdefault("imgsz", str([size for size in session.get_inputs()[0].shape[2:] if isinstance(size, int)]))
    return {key: _literal(value) for key, value in stored.items()}


def image_size_of(metadata: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) that the weights were exported for, None when they do not say."""
    value = metadata.get("imgsz")
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(size, int) for size in value):
        return (value[0], value[1])
    return None


def _literal(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
