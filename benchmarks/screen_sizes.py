"""What copies of pictures for screens weigh, cost and lose, on real photos: by size, format and quality.

    python3 spotid.py bench screen_sizes --data DIR [--photos N] [--json FILE]

Frames are stored as SpotID stores previews, crops as it stores crops; a copy is made of the stored file and compared
with the photo's own pixels, reduced without loss. Likeness is SSIM of the brightness (Wang et al. 2004; Gaussian
window of 1.5 pixels, K 0.01 and 0.03). Bytes and milliseconds are means; `worst` is the copy that is least alike.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocessing.edges import edge_map
from preprocessing.imageio import ImageRejected, decode_image, make_preview, save_jpeg, save_png_gray
from preprocessing.screens import EFFORT, QUALITY, screen_copy

Pixels = NDArray[np.uint8]
SIZES = (240, 480, 960, 1600)
PREVIEW_LONGEST = 1600
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def ssim(one: Pixels, other: Pixels) -> float:
    """Mean structural similarity of two H×W images, 1 for equal ones."""
    a, b = one.astype(np.float64), other.astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    ma, mb = mean(a), mean(b)
    va, vb, ab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * ma * mb + c1) * (2 * ab + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())


def brightness(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def reduced(pixels: Pixels, longest: int) -> Pixels:
    """The pixels themselves at that size, resampled as the copy is."""
    shown = Image.fromarray(pixels)
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(shown)


def jpeg_copy(source: Path, longest: int) -> bytes:
    """What a JPEG of the stored kind would weigh, for comparison."""
    with Image.open(source) as image:
        shown = image.convert("RGB")
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=85, subsampling=0)
    return buffer.getvalue()


def avif_copy(source: Path, longest: int) -> bytes:
    with Image.open(source) as image:
        shown = image.convert("RGB")
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "AVIF", quality=60, speed=8)
    return buffer.getvalue()


def makers() -> dict[str, Callable[[Path, int], bytes]]:
    def webp(quality: int, effort: int) -> Callable[[Path, int], bytes]:
        return lambda source, longest: screen_copy(source, longest, quality=quality, effort=effort)

    found: dict[str, Callable[[Path, int], bytes]] = {"JPEG 85": jpeg_copy}
    found |= {f"WebP {quality}": webp(quality, EFFORT) for quality in (60, 70, 75, 80, 85, 90)}
    found |= {f"WebP {QUALITY}, effort {effort}": webp(QUALITY, effort) for effort in (0, 2, 6)}
    found["AVIF 60, speed 8"] = avif_copy
    return found


def pictures(folder: Path, number: int) -> list[Path]:
    """So many photos below a folder, evenly spaced over their names."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return [found[i] for i in sorted({int(i) for i in np.linspace(0, len(found) - 1, min(number, len(found)))})]


def stored(data: Path, work: Path, number: int) -> dict[str, list[tuple[Path, Pixels]]]:
    """Files as SpotID stores them, each with the pixels that it was made of."""
    groups: dict[str, list[tuple[Path, Pixels]]] = {"frames": [], "crops": [], "edges": []}
    frames = [*pictures(data / "camera_traps" / "lila31", number), *pictures(data / "snow_leopard", number // 2)]
    crops = [*pictures(data / "spotid" / "crops", number), *pictures(data / "atrw", number)]
    for kind, paths in (("frames", frames), ("crops", crops)):
        for index, path in enumerate(paths):
            try:
                pixels = decode_image(path).pixels
            except ImageRejected:
                continue
            file = work / f"{kind}-{index}.jpg"
            if kind == "frames":
                save_jpeg(file, make_preview(pixels, PREVIEW_LONGEST), quality=85)
            else:
                save_jpeg(file, pixels, quality=92)
                drawn = edge_map(pixels, None)
                save_png_gray(work / f"edges-{index}.png", drawn)
                groups["edges"].append((work / f"edges-{index}.png", drawn))
            groups[kind].append((file, pixels))
    return groups


def measured(files: list[tuple[Path, Pixels]], longest: int, make: Callable[[Path, int], bytes]) -> dict[str, float]:
    sizes, times, alike = [], [], []
    for file, pixels in files:
        began = time.perf_counter()
        data = make(file, longest)
        times.append(time.perf_counter() - began)
        sizes.append(len(data))
        with Image.open(io.BytesIO(data)) as image:
            got = np.asarray(image.convert("RGB"))
        wanted = reduced(pixels, longest)
        if got.shape[:2] != wanted.shape[:2]:  # a preview's rounding differs from the photo's by a pixel
            wanted = np.asarray(cv2.resize(wanted, got.shape[1::-1], interpolation=cv2.INTER_AREA))
        alike.append(ssim(brightness(got), brightness(wanted)))
    return {
        "kilobytes": float(np.mean(sizes)) / 1000,
        "milliseconds": 1000 * float(np.mean(times)),
        "ssim": float(np.mean(alike)),
        "worst": float(np.min(alike)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What copies of pictures for screens weigh, cost and lose.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=30, help="of each source")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as work:
        groups = stored(arguments.data, Path(work), arguments.photos)
        for kind, files in groups.items():
            kept = float(np.mean([file.stat().st_size for file, _ in files])) / 1000
            print(f"\n{kind}: {len(files)} files of {kept:.0f} kB as stored")
            print("| copy | " + " | ".join(f"{size} px: kB, ms, SSIM (worst)" for size in SIZES) + " |")
            print("|---|" + "---|" * len(SIZES))
            rows = {}
            for name, make in makers().items():
                rows[name] = {str(size): measured(files, size, make) for size in SIZES}
                cells = [
                    f"{c['kilobytes']:.1f}, {c['milliseconds']:.0f}, {c['ssim']:.3f} ({c['worst']:.3f})"
                    for c in rows[name].values()
                ]
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
            report[kind] = {"files": len(files), "stored_kilobytes": kept, "copies": rows}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
