"""Converts `.pt` weights of a registered hash to ONNX: `python -m preprocessing.detection.convert SRC DST --sha256
HEX`.

`.pt` is pickle, so reading it can run code. It is read here only, in a process of its own, after its hash was found
right.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from preprocessing.detection.ultralytics_runtime import WeightsRefused, checked_sha256, quiet_environment

_ROOT = Path(__file__).resolve().parents[2]


def convert_in_process_of_its_own(
    source: Path, target: Path, sha256: str, config_dir: Path | None = None, timeout_seconds: float = 900.0
) -> None:
    """Runs this module as a program and waits for it. Raises WeightsRefused with its last words when it fails."""
    command = [sys.executable, "-m", "preprocessing.detection.convert", str(source), str(target), "--sha256", sha256]
    environment = {**os.environ, **quiet_environment(config_dir)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise WeightsRefused(f"Converting {source.name} took more than {timeout_seconds:.0f} seconds.") from None
    if done.returncode != 0 or not target.is_file():
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise WeightsRefused(f"{source.name} could not be converted to ONNX: {words[-1]}")


def convert(source: Path, target: Path, sha256: str, image_size: int | None = None) -> None:
    """Exports weights to ONNX at `target`, complete or not at all. `image_size` in pixels, None as trained.

    Raises WeightsRefused when the hash differs; whatever ultralytics raises when the file is no model of its kind.
    """
    with tempfile.TemporaryDirectory(prefix="spotid-convert-") as folder:
        copy = Path(folder) / source.name
        # The copy is hashed and then read, so that nobody can exchange the file in between.
        if not source.is_file():
            raise WeightsRefused(f"No weights at {source}.")
        shutil.copyfile(source, copy)
        checked_sha256(copy, sha256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ultralytics import YOLO

            options = {} if image_size is None else {"imgsz": image_size}
            exported = Path(YOLO(str(copy)).export(format="onnx", simplify=False, device="cpu", **options))
        beside = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            shutil.copyfile(exported, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The program; 0 when the ONNX file is there, 2 with one line on standard error otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--config-dir", type=Path)
    given = parser.parse_args(arguments)
    if "YOLO_CONFIG_DIR" not in os.environ or given.config_dir is not None:
        os.environ.update(quiet_environment(given.config_dir))
    try:
        convert(given.source, given.target, given.sha256, given.image_size)
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
