"""Coefficients of the calibration that ships. Written by a program: do not edit.

Command: bench default_calibration --surveys 4 --photos 64 --write
Fitted on 960 candidate pairs (29.3% of them right) of synthetic surveys, seeds from 101.
Local features rootsift-1-61b7f3f7. No real photo had a part in it.
similarity and similarity_centre are not fitted but set weak: no trained embedding existed to fit them with.
"""

COEFFICIENTS: dict[str, float | str] = {
    "intercept": -6.6283,
    "weight": 4.8267,
    "similarity": 1.0,
    "similarity_centre": 0.5,
    "usual_weight": 0.3003,
    "version": "synthetic-rootsift-1-61b7f3f7",
}
