"""How well local features rank photos whose folder is their identity, and how fast.

    python3 spotid.py bench local_features --data DIR [--sample N] [--masks DIR] [--json FILE]

Every photo of DIR/IDENTITY/ is taken as a finished crop. Reported: ranking by exhaustive verification of all pairs, by
the vote alone, and by verification of the voted shortlist. Times are processor time of one thread, so that other work
on the machine changes them little.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.calibration import Calibration, Evidence
from modelzoo.local import InvertedIndex, LocalConfig, LocalFeatures, extract, from_bytes, to_bytes, verify
from modelzoo.metrics import RankingReport

SUFFIXES = {".jpg", ".jpeg", ".png"}


def photos_below(data: Path, sample: int | None) -> list[tuple[Path, str]]:
    """(file, identity) by folder; sample: that many identities, evenly spaced over the sorted names."""
    folders = sorted(p for p in data.iterdir() if p.is_dir())
    if sample is not None and sample < len(folders):
        folders = [folders[i] for i in np.linspace(0, len(folders) - 1, sample).round().astype(int)]
    return [(p, f.name) for f in folders for p in sorted(f.iterdir()) if p.suffix.lower() in SUFFIXES]


def read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path} cannot be read")
    return np.ascontiguousarray(image[:, :, ::-1])


def extract_all(
    files: list[Path], data: Path, masks: Path | None, config: LocalConfig
) -> tuple[list[LocalFeatures], dict[str, float]]:
    """Features as the database gives them back, and what they cost."""
    features: list[LocalFeatures] = []
    seconds = 0.0
    sizes: list[int] = []
    for path in files:
        crop = read(path)
        mask = None
        if masks is not None:
            read_mask = cv2.imread(str(masks / path.relative_to(data).with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
            mask = None if read_mask is None else read_mask.astype(np.uint8)
        start = time.process_time()
        found = extract(crop, mask, config)
        seconds += time.process_time() - start
        stored = to_bytes(found)
        sizes.append(len(stored))
        features.append(from_bytes(stored))
    counts = [len(f) for f in features]
    return features, {
        "extraction_ms": 1000 * seconds / len(files),
        "keypoints_mean": float(np.mean(counts)),
        "stored_bytes_max": max(sizes),
    }


def exhaustive(features: list[LocalFeatures], config: LocalConfig) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Score matrices from all ordered pairs, and milliseconds per pair (after the float conversion, which is kept)."""
    n = len(features)
    calibration = Calibration.default()
    scores = {name: np.full((n, n), np.nan) for name in ("inliers", "weight", "calibrated")}
    for f in features:
        _ = f.rootsift
    start = time.process_time()
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            v = verify(features[i], features[j], config)
            evidence = Evidence(v.inliers, v.matches, len(features[i]), len(features[j]), weight=v.weight)
            scores["inliers"][i, j] = v.inliers
            scores["weight"][i, j] = v.weight
            scores["calibrated"][i, j] = calibration.score(evidence)
    return scores, 1000 * (time.process_time() - start) / max(n * (n - 1), 1)


def shortlisted(features: list[LocalFeatures], config: LocalConfig, limit: int) -> tuple[dict[str, Any], float, float]:
    """Score matrices by votes, and by votes with the best verified; seconds to build and per query."""
    n = len(features)
    start = time.process_time()
    index = InvertedIndex(features)
    built = time.process_time() - start
    votes = np.full((n, n), np.nan)
    verified = np.full((n, n), np.nan)
    start = time.process_time()
    for i, query in enumerate(features):
        votes[i] = index.votes(query)
        order = [j for j in np.argsort(-votes[i], kind="stable").tolist() if j != i][:limit]
        # Those not verified stay below all that were, in the order of their votes.
        verified[i] = votes[i] / (1.0 + votes[i].max()) - 1.0
        for j in order:
            v = verify(query, features[j], config)
            verified[i, j] = v.weight if v.inliers else verified[i, j]
    return {"votes": votes, "shortlist": verified}, built, (time.process_time() - start) / max(n, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of one folder per identity")
    parser.add_argument("--sample", type=int, help="only that many identities, evenly spaced by name")
    parser.add_argument("--masks", type=Path, help="animal masks: DIR/IDENTITY/NAME.png for each photo")
    parser.add_argument("--limit", type=int, default=50, help="candidates that are verified per query (50)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    config = LocalConfig()
    photos = photos_below(arguments.data, arguments.sample)
    if not photos:
        raise SystemExit(f"no photos below {arguments.data}")
    features, figures = extract_all([p for p, _ in photos], arguments.data, arguments.masks, config)
    labels = [label for _, label in photos]
    scores, pair_ms = exhaustive(features, config)
    voted, built, query_s = shortlisted(features, config, arguments.limit)
    reports = {k: RankingReport.from_scores(v, labels).to_dict() for k, v in (scores | voted).items()}
    result = {
        "data": arguments.data.name,
        "version": config.version,
        "photos": len(photos),
        "identities": len(set(labels)),
        "masks": arguments.masks is not None,
        **figures,
        "pair_ms": pair_ms,
        "index_s": built,
        "shortlist_query_s": query_s,
        **reports,
    }
    print(f"{result['photos']} photos, {result['identities']} identities, features {config.version}")
    for name, report in reports.items():
        print(f"{name:>11}: T1 {report['t1']:.3f}  T5 {report['t5']:.3f}  DT5AP {report['dt5ap']:.3f}")
    print(
        f"extraction {figures['extraction_ms']:.0f} ms per crop, {figures['keypoints_mean']:.0f} keypoints, "
        f"at most {figures['stored_bytes_max']} bytes; {pair_ms:.2f} ms per pair; "
        f"{1000 * query_s:.0f} ms per query with {arguments.limit} verified"
    )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
