"""Runs inside the environment that `hotspotter.py` makes: every photo of a list asks HotSpotter for all others.

    python hotspotter_queries.py PHOTOS.json SCORES.npz

PHOTOS.json is a list of paths, all different files. SCORES.npz gets scores (n×n float64, row = query, NaN on the
diagonal; 0 where HotSpotter lists nothing) and, of all photos, feature_seconds, query_seconds and
query_processor_seconds. Names are left unset, so that none helps its own photos; `csum` scores photos, as Crall et
al. 2013 call it.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import ibeis
import numpy as np


def main() -> None:
    photos = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        database = ibeis.opendb(dbdir=folder, allow_newdir=True)
        coats = database.use_images_as_annotations(database.add_images(photos), adjust_percent=0.0)
        if len(set(coats)) != len(photos):
            raise SystemExit("HotSpotter gave one number to several photos: exact duplicates must be left out")
        began = time.perf_counter()
        database.get_annot_num_feats(coats)
        features = time.perf_counter() - began
        began, used = time.perf_counter(), time.process_time()
        request = database.new_query_request(coats, coats, cfgdict={"score_method": "csum"})
        found = request.execute()
        queries, used = time.perf_counter() - began, time.process_time() - used
    position = {coat: index for index, coat in enumerate(coats)}
    scores = np.zeros((len(coats), len(coats)))
    for match in found:
        row = position[match.qaid]
        scores[row, [position[coat] for coat in match.daid_list]] = match.annot_score_list
    np.fill_diagonal(scores, np.nan)
    np.savez(sys.argv[2], scores=scores, feature_seconds=features, query_seconds=queries, query_processor_seconds=used)


if __name__ == "__main__":
    main()
