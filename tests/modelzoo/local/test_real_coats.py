"""Local features on the real leopard crops, which lie outside the repository."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from modelzoo.calibration import Calibration, Evidence
from modelzoo.local import LocalConfig, extract, from_bytes, to_bytes, verify
from modelzoo.metrics import RankingReport


@pytest.mark.shared_data
def test_leopards_are_told_apart(shared_data):
    """The bar of the project is T1 and DT5AP 0.95; HotSpotter reaches DT5AP 0.992 on these 36 crops."""
    files = sorted((shared_data / "spotid" / "crops").glob("*/*.jpg"))
    assert len(files) == 36
    config, calibration = LocalConfig(), Calibration.default()
    coats = []
    for file in files:
        crop = cv2.imread(str(file))[:, :, ::-1]
        coats.append(from_bytes(to_bytes(extract(np.ascontiguousarray(crop), None, config))))
    scores = np.full((len(files), len(files)), np.nan)
    for i, j in combinations(range(len(files)), 2):
        found = verify(coats[i], coats[j], config)
        evidence = Evidence(found.inliers, found.matches, len(coats[i]), len(coats[j]), weight=found.weight)
        scores[i, j] = scores[j, i] = calibration.score(evidence)
    report = RankingReport.from_scores(scores, [file.parent.name for file in files])
    assert report.t1 >= 0.97
    assert report.dt5ap >= 0.99
