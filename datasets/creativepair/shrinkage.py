"""Shrinkage: what is known of a pair's true log CTR ratio, given how far ads of an item differ.

A prior is tau, the spread within an item, and a shape: how the true ratios are shared out over
normals whose standard deviations are multiples of tau. `creativepair.noise` fits both.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

# Standard deviations as multiples of tau. Where most ads are near equal and some far apart, one
# normal fits neither, and shrinks what noise made of the near-equal ones too little.
# Under 1/8 a scale is less than noise can be told from: the error of the noise alone would decide
# how much of the ads is there, and P would be too unsure of all near-equal ones.
# Source: Stephens 2017, "False discovery rates: a new deal", scale mixtures with a mode at 0.
SHAPE_SCALES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
Shape = tuple[float, ...]  # the share of each scale, summing to 1
NORMAL_SHAPE: Shape = tuple(float(scale == 1) for scale in SHAPE_SCALES)


def update(
    log_ratio: Floats, variance: Floats, tau: float | Floats, shape: Shape
) -> tuple[Floats, Floats, Floats]:
    """Return the posterior mean, its standard deviation and P(true log ratio > 0), [num_pairs].

    With one normal, N(0, tau²), the posterior has mean θ̂ tau² / (tau² + V) and variance
    V tau² / (tau² + V); with several, each has its own, weighted by share and likelihood.

    Args:
        log_ratio, variance: θ̂ and V, [num_pairs], NaN where a pair has no estimate.
        tau: spread of true log ratios, over 0; one for all, or [num_pairs].
        shape: share of each of `SHAPE_SCALES`.
    """
    scales = np.array([scale for scale, share in zip(SHAPE_SCALES, shape, strict=True) if share])
    shares = np.array([share for share in shape if share])
    prior = (scales[:, None] * tau) ** 2  # [num_scales, num_pairs] as all below, or one column
    weight = prior / (prior + variance)
    means, variances = weight * log_ratio, weight * variance
    density = shares[:, None] * np.exp(relative_log_density(log_ratio, prior + variance))
    density /= density.sum(axis=0)
    mean = (density * means).sum(axis=0)
    spread = (density * (variances + (means - mean) ** 2)).sum(axis=0)
    prob = (density * ndtr(log_ratio * np.sqrt(weight / variance))).sum(axis=0)
    return mean, np.sqrt(spread), np.minimum(prob, 1.0)  # shares sum to 1 but for rounding


def relative_log_density(log_ratio: Floats, variances: Floats) -> Floats:
    """Return the log density of N(0, variances), less its largest; [num_scales, num_pairs]."""
    density = -0.5 * (np.log(variances) + log_ratio**2 / variances)
    relative: Floats = density - density.max(axis=0)
    return relative
