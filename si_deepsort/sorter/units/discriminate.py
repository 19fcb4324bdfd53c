"""
How far two groups of spikes lie apart, by single spikes that are compared with means they are no part of.

Two means always differ, by noise if by nothing else. Whether two groups are one is seen from the single spikes: each is
projected on the line between the mean of its group without itself and the mean of the other group.
"""

from typing import Any

import numpy as np

from ...noise import MAD_TO_SD

# Largest standard deviation of one unit's spikes along a line: noise together with what overlapping spikes add, in
# noise standard deviations, or the variation of its waveform as a fraction of its norm, whichever is larger. Tuned on
# generated development recordings (seeds 1-5).
MOST_NOISE, MOST_VARIATION = 1.15, 0.057


def cross_validated_separation(first: np.ndarray, second: np.ndarray, amplitude_variance: float) -> float:
    """
    Distance between two groups along the line between their means, in standard deviations of either.

    Amplitudes vary by more than noise along the common mean, so the line is tilted away from it (Fisher's linear
    discriminant). Where a group spreads wider than the spikes of one unit can, it holds several units; its spread is
    then limited, because a mixed group is no reason to add another unit to it.

    Parameters
    ----------
    first, second : np.ndarray, shape (num_points, num_features), float
        In noise standard deviations; at least two points each.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.

    Returns
    -------
    float
        0 or less if the means tell no more than chance.
    """
    means = first.mean(axis=0), second.mean(axis=0)
    largest: Any = max(np.linalg.norm(mean) for mean in means)
    above = _projections(first, *means, len(second), amplitude_variance)
    below = -_projections(second, *means[::-1], len(first), amplitude_variance)
    spread = np.sqrt(0.5 * (_robust_variance(above) + _robust_variance(below)))
    spread = np.clip(spread, 1e-9, max(MOST_NOISE, MOST_VARIATION * largest))
    return float((np.median(above) - np.median(below)) / spread)


def means_without_each(points: np.ndarray) -> np.ndarray:
    """Mean of all other points, for each of at least two points; (num_points, num_features)."""
    return (np.sum(points, axis=0) - points) / (len(points) - 1)


def _projections(points, own_mean, other_mean, num_others, amplitude_variance):
    """
    Position of each point on the line from the other group's mean (below 0) to that of its own group (above 0).

    Along the line, features count in which the means differ by more than noise: by the universal threshold (Donoho and
    Johnstone, 1994), with the shrinkage of the garrote (Breiman, 1995). The rest is noise that would hide it.
    """
    without = means_without_each(points)
    common = 0.5 * (own_mean + other_mean)
    lines = without - other_mean
    chance = 2 * np.log(max(lines.shape[1], 2)) * (1 / (len(points) - 1) + 1 / num_others)
    lines = lines * np.maximum(0, 1 - chance / np.maximum(lines**2, 1e-12))
    weight = amplitude_variance / (1.0 + amplitude_variance * common @ common)
    lines = lines - weight * (lines @ common)[:, None] * common
    lines /= np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-9)
    return np.einsum("nf,nf->n", points - 0.5 * (without + other_mean), lines)


def _robust_variance(values):
    return (MAD_TO_SD * np.median(np.abs(values - np.median(values)))) ** 2
