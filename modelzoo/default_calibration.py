"""Provisional."""

COEFFICIENTS = {
    "intercept": -6.0,
    "inliers": 2.0,
    "inlier_share": 1.0,
    "similarity": 4.0,
    "similarity_centre": 0.5,
    "version": "0",
}
