"""The real HotSpotter (Crall et al. 2013) beside us: `ibeis` from PyPI, in an environment of its own."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REQUIREMENTS = ("ibeis==2.6.0", "opencv-python-headless")
_QUERIES = Path(__file__).with_name("hotspotter_queries.py")


class HotSpotterMissing(RuntimeError):
    """It cannot be installed or run here; the message says why."""


@dataclass(frozen=True)
class HotSpotterRun:
    """scores: n×n, row = query, NaN on the diagonal. seconds: of extraction, per photo, and of one query."""

    scores: NDArray[np.float64]
    extraction_seconds: float
    seconds_per_query: float
    processor_seconds_per_query: float


def environment(folder: Path) -> Path:
    """The interpreter of the environment in the folder, made at first use. Raises HotSpotterMissing."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if ready.is_file() and ready.read_text(encoding="utf-8") == " ".join(REQUIREMENTS):
        return python
    print(f"Installing {REQUIREMENTS[0]} into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS], folder)
    ready.write_text(" ".join(REQUIREMENTS), encoding="utf-8")
    return python


def rank(photos: list[Path], work: Path) -> HotSpotterRun:
    """Every photo against all others. The files must differ: HotSpotter takes equal ones for one photo."""
    python = environment(work / "hotspotter-environment")
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        folder = Path(scratch)
        asked, answered = folder / "photos.json", folder / "scores.npz"
        asked.write_text(json.dumps([str(photo) for photo in photos]), encoding="utf-8")
        _run([str(python), str(_QUERIES), str(asked), str(answered)], folder)
        with np.load(answered) as found:
            return HotSpotterRun(
                found["scores"],
                float(found["feature_seconds"]) / len(photos),
                float(found["query_seconds"]) / len(photos),
                float(found["query_processor_seconds"]) / len(photos),
            )


def _run(command: list[str], folder: Path) -> None:
    """With a home of its own: HotSpotter writes into it. Raises HotSpotterMissing with the last lines."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "DATABASE_URL")
    }
    # Two spinning threads on a busy machine stand in each other's way: see OMP_WAIT_POLICY of OpenMP.
    kept |= {"HOME": str(home), "MPLBACKEND": "Agg", "OMP_WAIT_POLICY": "PASSIVE"}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        kept.pop(name, None)
    with (folder / "log").open("w", encoding="utf-8") as log:
        status = subprocess.run(command, env=kept, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if status:
        last = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise HotSpotterMissing(f"{' '.join(command[:4])} … ended with {status}: " + " | ".join(last))
