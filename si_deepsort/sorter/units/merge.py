"""
Merge units that are the same neuron.

Units are compared pair by pair, the largest units first, and a smaller unit joins the nearest larger one for which a
rule says that both are one: their templates or their spikes cannot be distinguished, they share a refractory period, or
(in traces that are interpolated along drift) they have the same shape and hardly coincide.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import pdtr, pdtrc
from scipy.stats import norm

from .coincidences import count_coincidences, expected_coincidences
from .spike_features import SpikeFeatures
from .templates import UnitTemplates

# Time in seconds within which a neuron does not fire twice: a little less than most refractory periods.
REFRACTORY_S = 0.0018
# Two units avoid each other if they coincide less than this fraction of chance, and chance would have them coincide so
# seldom with less than this probability.
AVOIDANCE = 0.2
SIGNIFICANCE = 0.001
# Level of significance with which a separation must exceed that of one unit: the usual one.
LEVEL = 0.05
# What a normal number exceeds by chance at this level, in standard deviations.
EXCEEDED_BY_CHANCE = norm.isf(LEVEL)
# Standard error of the median of normal numbers, relative to that of their mean.
MEDIAN_ERROR = np.sqrt(np.pi / 2)
# Templates are two units, whatever the rules say, if they are farther apart than FAR_DISTANCE noise standard deviations
# and than FAR_FRACTION of the larger norm. Tuned on generated development recordings (seeds 1-5).
FAR_DISTANCE = 12.0
FAR_FRACTION = 0.4
# Smallest cosine between templates of units that may share a refractory period: a neuron whose spikes vary keeps their
# shape. Small units of other shapes, though close in noise units, seem to avoid each other because few of their
# overlapping spikes are found. In 25 generated and hybrid development recordings (most of seeds 1-9) this rule alone
# joined parts of a neuron twice, with cosines of 0.98, and two neurons once, with 0.82.
LEAST_COSINE = 0.9
# Smallest cosine, and smallest norm in noise standard deviations, of templates that may be parts of one drifting unit.
# On generated recordings parts of a unit had cosines above 0.9, different units at most 0.85.
SAME_SHAPE_COSINE, LARGE_NORM = 0.92, 25.0

# Takes the indices of two units and their spike trains, and tells whether they are one unit.
MergeRule = Callable[[int, int, np.ndarray, np.ndarray], bool]


def merge_similar(
    templates: UnitTemplates,
    trains: Sequence[np.ndarray],
    rules: Sequence[MergeRule],
    *,
    distances: np.ndarray,
    lags: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Let each unit join the nearest larger one that a rule says to be the same.

    Parameters
    ----------
    templates : UnitTemplates
    trains : sequence of np.ndarray, int
        Sorted absolute times of the spikes of each unit.
    rules : sequence of callable
        See `MergeRule`; units are one if any rule says so.
    distances, lags : np.ndarray, shape (num_units, num_units)
        Distance and best lag of each pair, see `template_distances`.

    Returns
    -------
    representative : np.ndarray, shape (num_units,), int
        Unit that each unit becomes part of; itself if it joins no other.
    shift : np.ndarray, shape (num_units,), int
        Frames to be added to the spike times of each unit.
    """
    norms = template_norms(templates)
    far = np.maximum(FAR_DISTANCE, FAR_FRACTION * np.maximum(norms[:, None], norms[None]))
    trains = list(trains)
    representative, shift = np.arange(len(norms)), np.zeros(len(norms), dtype=int)
    kept: list[int] = []
    for unit in np.argsort(-templates.num_spikes, kind="stable"):
        near = [other for other in kept if distances[other, unit] < far[other, unit]]
        for other in sorted(near, key=lambda other: distances[other, unit]):
            if any(rule(other, unit, trains[other], trains[unit]) for rule in rules):
                representative[unit], shift[unit] = other, -lags[other, unit]
                trains[other] = np.sort(np.concatenate([trains[other], trains[unit]]))
                break
        else:
            kept.append(int(unit))
    return representative, shift


def template_norms(templates: UnitTemplates) -> np.ndarray:
    """Norm of each template in noise standard deviations, shape (num_units,)."""
    return np.sqrt(np.sum(templates.values**2, axis=(1, 2)))


def template_cosines(norms: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Cosine of the angle between each pair of templates, shape (num_units, num_units); -inf if they share nothing."""
    return (norms[:, None] ** 2 + norms[None] ** 2 - distances**2) / np.maximum(2 * np.outer(norms, norms), 1e-9)


def same_by_templates(distances: np.ndarray, merge_distance: float) -> MergeRule:
    """Rule: templates are closer than `merge_distance` noise standard deviations."""
    return lambda one, other, *trains: bool(distances[one, other] < merge_distance)


def same_by_spikes(
    features: SpikeFeatures, lags: np.ndarray, *, merge_separation: float, amplitude_variance: float
) -> MergeRule:
    """
    Rule: spikes are not significantly farther apart than `merge_separation` of their own standard deviations.

    The fewer spikes there are, the larger may the separation of two parts of a unit be by chance.
    """

    def are_same(one, other, *trains):
        separation = features.separation(one, other, lags[one, other], amplitude_variance)
        error = MEDIAN_ERROR * np.sqrt(sum(1 / max(len(features.positions[unit]), 1) for unit in (one, other)))
        return bool(separation < merge_separation + EXCEEDED_BY_CHANCE * error)

    return are_same


def same_by_refractory_period(cosines: np.ndarray, sampling_frequency: float) -> MergeRule:
    """Rule: similar shapes, and spikes that avoid each other within the refractory period."""

    def are_same(one, other, one_train, other_train):
        return bool(cosines[one, other] > LEAST_COSINE) and share_refractory_period(
            one_train, other_train, sampling_frequency
        )

    return are_same


def same_along_drift(cosines: np.ndarray, norms: np.ndarray, sampling_frequency: float) -> MergeRule:
    """
    Rule: large units of the same shape that hardly coincide, for traces that are interpolated along drift.

    What interpolation misses of large units is larger than noise, so parts of such a unit from different moments of
    the drift have different templates.
    """

    def are_same(one, other, one_train, other_train):
        is_shape_same = cosines[one, other] > SAME_SHAPE_COSINE and min(norms[one], norms[other]) > LARGE_NORM
        return bool(is_shape_same) and seldom_coincide(one_train, other_train, sampling_frequency)

    return are_same


def share_refractory_period(first: np.ndarray, second: np.ndarray, sampling_frequency: float) -> bool:
    """
    Whether two spike trains avoid each other within the refractory period, significantly more than by chance.

    Parameters
    ----------
    first, second : np.ndarray, int
        Sorted absolute times.
    sampling_frequency : float
        In Hz.
    """
    if len(first) == 0 or len(second) == 0:
        return False
    reach = REFRACTORY_S * sampling_frequency
    observed, expected = count_coincidences(first, second, reach), expected_coincidences(first, second, reach)
    # pdtr is the cumulative distribution function of the Poisson distribution.
    return bool(observed < AVOIDANCE * expected and pdtr(observed, expected) < SIGNIFICANCE)


def seldom_coincide(first: np.ndarray, second: np.ndarray, sampling_frequency: float) -> bool:
    """Whether two spike trains hardly coincide, also where they fire at different times anyway."""
    reach = REFRACTORY_S * sampling_frequency
    return count_coincidences(first, second, reach) <= AVOIDANCE * expected_coincidences(first, second, reach)


def fire_as_two(first: np.ndarray, second: np.ndarray, sampling_frequency: float) -> bool:
    """
    Whether two spike trains coincide within the refractory period as one neuron does not.

    Parameters as in `share_refractory_period`. Because of spikes of others, parts of one neuron may coincide in a
    fraction of the cases that chance explains, `AVOIDANCE`; these coincide significantly more often.
    """
    reach = REFRACTORY_S * sampling_frequency
    observed, expected = count_coincidences(first, second, reach), expected_coincidences(first, second, reach)
    return bool(observed > 0 and pdtrc(observed - 1, max(AVOIDANCE * expected, 1e-9)) < SIGNIFICANCE)
