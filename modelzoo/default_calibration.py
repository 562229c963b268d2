"""Coefficients of the calibration that ships. Written by a program: do not edit.

Command: bench default_calibration --surveys 4 --photos 64 --write
Fitted on 960 candidate pairs (29.3% of them right) of synthetic surveys, seeds from 101.
Local features rootsift-1-b2f3ac26. No real photo had a part in it.
embedding: SHA-256 of the weights of rootsift-vlad-2, if its similarities count; empty: they gained nothing.
"""

COEFFICIENTS: dict[str, float | str] = {
    "intercept": -8.3765,
    "weight": 7.852,
    "fused_intercept": -8.3765,
    "fused_weight": 7.852,
    "similarity": 0.0,
    "embedding": "",
    "usual_weight": 0.3029,
    "version": "synthetic-rootsift-1-b2f3ac26",
}

PAIR_MODEL: dict[str, object] = {
    "intercept": -1.7334,
    "slopes": {"score": 0.3638},
    "level_cap": 0.0,
    "scores": "synthetic-rootsift-1-b2f3ac26",
    "version": "pairs-2-synthetic-rootsift-1-b2f3ac26",
}
