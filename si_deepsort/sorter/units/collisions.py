"""
Units that are collisions: their template is the sum of two or more others, which fired together.

A cluster of coinciding spikes looks like a unit of its own.
"""

from collections.abc import Sequence

import numpy as np

from ..matching.kernels import INTERPOLATION_REACH
from ..matching.overlaps import make_template_overlaps
from ..matching.pursuit import pursue_correlations
from .coincidences import expected_coincidences
from .templates import UnitTemplates

# Largest fraction of the energy of a collision that the templates of others leave unexplained. Tuned on generated
# development recordings (seeds 1-5).
COLLISION_RESIDUAL = 0.15
# Templates of others are used if their score exceeds this fraction of the energy of the unit, plus this constant in
# squared noise standard deviations.
EXPLAINED_FRACTION, EXPLAINED_ENERGY = 0.02, 10.0
# Variance of the amplitudes with which the templates of others are fitted, relative to them.
AMPLITUDE_VARIANCE = 0.02
# A unit whose template looks like the sum of two others is a unit of its own if it has more spikes than
# COLLISION_EXCESS * (1 + number of chance coincidences of these two within COLLISION_REACH_S seconds).
COLLISION_EXCESS = 2.5
COLLISION_REACH_S = 0.0003
# Spikes that both others must have for their chance coincidences to be known.
LEAST_KNOWN_SPIKES = 100


def find_collision_units(
    templates: UnitTemplates, trains: Sequence[np.ndarray] | None, sampling_frequency: float
) -> np.ndarray:
    """
    Find units whose template two or more units with more spikes explain together.

    Parameters
    ----------
    templates : UnitTemplates
    trains : sequence of np.ndarray | None
        Sorted absolute times of the spikes of each unit, if matching found them: a unit with many more spikes than the
        others coincide by chance is kept. None for clusters, which hold too few spikes of a unit to tell.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_units,), bool
    """
    is_collision = np.zeros(len(templates.values), dtype=bool)
    overlaps = make_template_overlaps(templates.values)
    errors = templates.squared_errors().sum(axis=1)
    for unit in np.argsort(templates.num_spikes, kind="stable"):
        larger = (templates.num_spikes > templates.num_spikes[unit]) & ~is_collision
        if larger.sum() < 2:
            continue
        others, amplitudes, residual = _explain_template(templates.values, overlaps, unit, larger)
        if len(others) < 2:
            continue
        is_collision[unit] = residual - errors[unit] < COLLISION_RESIDUAL * overlaps.norms[unit]
        if is_collision[unit] and trains is not None:
            largest = others[np.argsort(-amplitudes * overlaps.norms[others])[:2]]
            parts = [trains[other] for other in largest]
            is_collision[unit] = not _has_own_spikes(trains[unit], parts, sampling_frequency)
    return is_collision


def _explain_template(templates, overlaps, unit, candidates):
    """Units, amplitudes and residual energy when the template of a unit is matched with those of some candidates."""
    num_samples = overlaps.num_lags
    pairs = slice(overlaps.starts[unit], overlaps.starts[unit + 1])
    correlations = np.zeros((len(overlaps.norms), 2 * num_samples - 1), dtype="float32")
    correlations[overlaps.units[pairs]] = overlaps.values[pairs, INTERPOLATION_REACH:-INTERPOLATION_REACH]
    least_score = EXPLAINED_FRACTION * overlaps.norms[unit] + EXPLAINED_ENERGY
    frames, others, amplitudes, _ = pursue_correlations(
        correlations,
        overlaps,
        thresholds=np.where(candidates, least_score, np.inf),
        amplitude_variance=AMPLITUDE_VARIANCE,
        refractory_frames=num_samples,
    )
    residual = np.pad(templates[unit], ((num_samples - 1, num_samples - 1), (0, 0)))
    for frame, other, amplitude in zip(frames, others, amplitudes, strict=True):
        residual[frame : frame + num_samples] -= amplitude * templates[other]
    return others, amplitudes, np.sum(residual**2)


def _has_own_spikes(train, parts, sampling_frequency):
    """Whether a unit has many more spikes than the two units whose sum it looks like coincide by chance."""
    if min(map(len, parts)) < LEAST_KNOWN_SPIKES:
        return False
    expected = expected_coincidences(*parts, COLLISION_REACH_S * sampling_frequency)
    return len(train) > COLLISION_EXCESS * (1 + expected)
