"""Coefficients of the calibration that ships. Written by a program: do not edit.

Command: bench default_calibration --surveys 4 --photos 64 --write
Fitted on 960 candidate pairs (29.3% of them right) of synthetic surveys, seeds from 101.
Local features rootsift-1-61b7f3f7. No real photo had a part in it.
embedding: SHA-256 of the weights of rootsift-vlad, if its similarities count; empty: they gained nothing.
"""

COEFFICIENTS: dict[str, float | str] = {
    "intercept": -6.6283,
    "weight": 4.8267,
    "fused_intercept": -6.6283,
    "fused_weight": 4.8267,
    "similarity": 0.0,
    "embedding": "",
    "usual_weight": 0.3003,
    "version": "synthetic-rootsift-1-61b7f3f7",
}

PAIR_MODEL: dict[str, object] = {
    "intercept": -0.503,
    "slopes": {"score": 0.7336},
    "level_cap": 0.0,
    "share": 0.2555,
    "scores": "synthetic-rootsift-1-61b7f3f7",
    "version": "pairs-synthetic-rootsift-1-61b7f3f7",
}
