"""A bank of synthetic coats on disk, as a folder of identity folders with edge maps beside it: what networks train on.

    python3 spotid.py bench synthetic_bank --out DIR [--individuals N] [--views N] [--first N] [--seed N]

DIR/crops/INDIVIDUAL_FLANK/VIEW.jpg and DIR/edges/INDIVIDUAL_FLANK/VIEW.png. Files that are there are kept, so an
interrupted run goes on. Edge maps are drawn at the crop's full size with the silhouette that the generator knows.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np

from modelzoo.synthetic import make_crop
from preprocessing.edges import edge_map

SIZE = (512, 256)
JPEG_QUALITY = 92


def write(path: Path, image: np.ndarray, options: list[int]) -> None:
    """Beside and renamed, so that a killed run leaves no half picture behind."""
    ok, data = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise RuntimeError(f"{path} cannot be encoded")
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data.tobytes())
    partial.replace(path)


def render(out: Path, seed: int, first: int, individuals: int, views: int) -> int:
    """Renders what is missing; returns how many crops the bank has."""
    start, made, total = time.monotonic(), 0, 0
    for individual in range(first, first + individuals):
        for flank in ("left", "right"):
            name = f"{individual:05d}_{flank}"
            crops, edges = out / "crops" / name, out / "edges" / name
            crops.mkdir(parents=True, exist_ok=True)
            edges.mkdir(parents=True, exist_ok=True)
            for view in range(views):
                total += 1
                crop_file, edge_file = crops / f"{view:03d}.jpg", edges / f"{view:03d}.png"
                if crop_file.is_file() and edge_file.is_file():
                    continue
                crop = make_crop(seed, individual, flank, view, SIZE)
                write(edge_file, edge_map(crop.rgb, crop.mask.astype(np.uint8) * 255), [])
                write(crop_file, crop.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
                made += 1
        if individual % 10 == 0:
            print(f"individual {individual}: {made} crops in {time.monotonic() - start:.0f} s", flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--individuals", type=int, default=500)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first individual")
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    total = render(arguments.out, arguments.seed, arguments.first, arguments.individuals, arguments.views)
    print(f"{total} crops in {arguments.out}")


if __name__ == "__main__":
    main()
