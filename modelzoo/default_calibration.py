"""Coefficients of the calibration, until they are fitted."""

COEFFICIENTS: dict[str, float | str] = {
    "intercept": -4.0,
    "weight": 2.0,
    "similarity": 1.0,
    "similarity_centre": 0.5,
    "usual_weight": 0.25,
    "version": "unfitted",
}
