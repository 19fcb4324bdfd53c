"""
Which units are one unit, and which are none.

Two units whose spikes cannot be told apart are one unit. Two that could be told apart, but never fire within each
other's refractory period though chance would have them do so, are one unit as well: a neuron whose spikes vary; so are
large ones of the same shape that take turns along drift. A template that others explain when they fire together is no
unit.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.special import pdtr

from ..matching.overlaps import INTERPOLATION_REACH, make_template_overlaps
from ..matching.pursuit import pursue_correlations
from .templates import UnitTemplates

REFRACTORY_S = 0.0018
SIGNIFICANCE = 0.001
# Templates farther apart than this, in noise standard deviations and in units of the larger one's norm, are two units.
FAR_DISTANCE = 12.0
FAR_FRACTION = 0.4
# A neuron whose spikes vary keeps their shape, by the cosine. Small units of other shapes, though close in noise units,
# seem to avoid each other because few of their overlapping spikes are found.
LEAST_ALIKE = 0.6
# Large units whose shapes are this similar are one, where following drift leaves over more than noise. On generated
# recordings parts of a unit had cosines above 0.9, different units at most 0.85.
SAME_SHAPE, LARGE_NORM = 0.92, 25.0
# A mixture leaves less than this fraction of its energy unexplained. A unit may well look like the sum of two others,
# too: it is one if it has so many times more spikes than these coincide by chance, within this time, and one more.
MIXTURE_RESIDUAL = 0.15
MIXTURE_EXCESS = 2.5
MIXTURE_REACH_S = 0.0003
# Units with fewer spikes are not known well enough to say how often they coincide.
LEAST_KNOWN = 100
# Spikes of a unit at one lag from those of a larger one are left over by it if they are a share that chance does not
# explain; bursts have many lags. A unit that has more than this fraction of them has no spikes of its own.
LEFTOVER_SHARE = 0.2
LEFTOVER_REACH_S = 0.008
LEFTOVER_SPREAD_S = 0.0004
# The larger unit is the one with more energy within this of its spikes: the rest of a window may be of another unit.
CORE_S = 0.001
SATELLITE_FRACTION = 0.5


def merge_similar(
    templates: UnitTemplates,
    spikes: np.ndarray,
    sampling_frequency: float,
    *,
    distances: np.ndarray,
    lags: np.ndarray,
    is_same: Callable[[int, int], bool],
    follows_drift: bool = False,
):
    """
    Which units are one: the smaller joins the nearest larger one.

    Parameters
    ----------
    templates : UnitTemplates
    spikes : np.ndarray
        Spike vector of these units.
    distances, lags : np.ndarray, shape (num_units, num_units)
        Of the templates, see `template_distances`.
    is_same : callable
        Whether two units, by index, cannot be told apart. Units of similar shape that share a refractory period are
        joined anyway.
    follows_drift : bool, default: False
        Whether traces were interpolated along drift. What that misses of large units is larger than noise: parts of
        one of them, from different moments of the drift, are joined if they have the same shape and do not coincide.

    Returns
    -------
    representative : np.ndarray, shape (num_units,), int
        Unit that each unit becomes.
    shift : np.ndarray, shape (num_units,), int
        To be added to its spikes' sample_index.
    """
    norms = np.sqrt(np.sum(templates.values**2, axis=(1, 2)))
    far = np.maximum(FAR_DISTANCE, FAR_FRACTION * np.maximum(norms[:, None], norms[None]))
    cosines = (norms[:, None] ** 2 + norms[None] ** 2 - distances**2) / np.maximum(2 * np.outer(norms, norms), 1e-9)
    trains = trains_of(spikes, len(norms))
    representative, shift = np.arange(len(norms)), np.zeros(len(norms), dtype=int)
    kept: list[int] = []

    def are_one(other, unit):
        if is_same(other, unit):
            return True
        if follows_drift and cosines[other, unit] > SAME_SHAPE and min(norms[other], norms[unit]) > LARGE_NORM:
            return seldom_coincide(trains[other], trains[unit], sampling_frequency)
        is_alike = cosines[other, unit] > LEAST_ALIKE
        return is_alike and share_refractory_period(trains[other], trains[unit], sampling_frequency)

    for unit in np.argsort(-templates.num_spikes, kind="stable"):
        near = [other for other in kept if distances[other, unit] < far[other, unit]]
        for other in sorted(near, key=lambda other: distances[other, unit]):
            if are_one(other, unit):
                representative[unit], shift[unit] = other, -lags[other, unit]
                trains[other] = np.sort(np.concatenate([trains[other], trains[unit]]))
                break
        else:
            kept.append(int(unit))
    return representative, shift


def share_refractory_period(first: np.ndarray, second: np.ndarray, sampling_frequency: float) -> bool:
    """
    Whether two spike trains avoid each other within the refractory period much more than by chance.

    Parameters
    ----------
    first, second : np.ndarray, int
        Sorted frames; segments lie far apart.
    """
    if len(first) == 0 or len(second) == 0:
        return False
    reach = REFRACTORY_S * sampling_frequency
    observed, expected = _coincidences(first, second, reach), _coincidences_by_chance(first, second, reach)
    # pdtr is the distribution function of Poisson's distribution.
    return bool(observed < 0.2 * expected and pdtr(observed, expected) < SIGNIFICANCE)


def seldom_coincide(first: np.ndarray, second: np.ndarray, sampling_frequency: float) -> bool:
    """Whether two spike trains hardly share a refractory period, be it that they fire at different times anyway."""
    reach = REFRACTORY_S * sampling_frequency
    return _coincidences(first, second, reach) <= 0.2 * _coincidences_by_chance(first, second, reach)


def find_mixtures(templates: UnitTemplates, trains: list[np.ndarray] | None, sampling_frequency: float) -> np.ndarray:
    """
    Templates that two or more others explain together: clusters of coinciding spikes.

    Parameters
    ----------
    templates : UnitTemplates
    trains : list of np.ndarray | None
        Sorted frames of the spikes of each unit, if matching found them: then a mixture has hardly more than coincide
        by chance (two neurons that are made to fire together look like a third one). None for clusters, which hold too
        few of a unit's spikes to tell.

    Returns
    -------
    np.ndarray, shape (num_units,), bool
    """
    is_mixture = np.zeros(len(templates.values), dtype=bool)
    overlaps = make_template_overlaps(templates.values)
    errors = templates.squared_errors().sum(axis=1)
    num_samples = overlaps.num_lags
    for unit in np.argsort(templates.num_spikes, kind="stable"):
        larger = (templates.num_spikes > templates.num_spikes[unit]) & ~is_mixture
        if larger.sum() < 2:
            continue
        template = templates.values[unit]
        pairs = slice(overlaps.starts[unit], overlaps.starts[unit + 1])
        correlations = np.zeros((len(overlaps.norms), 2 * num_samples - 1), dtype="float32")
        correlations[overlaps.units[pairs]] = overlaps.values[pairs, INTERPOLATION_REACH:-INTERPOLATION_REACH]
        thresholds = np.where(larger, 0.02 * overlaps.norms[unit] + 10.0, np.inf)
        frames, units, amplitudes, _ = pursue_correlations(
            correlations, overlaps, thresholds=thresholds, amplitude_variance=0.02, refractory_frames=num_samples
        )
        if len(units) < 2:
            continue
        traces = np.pad(template, ((num_samples - 1, num_samples - 1), (0, 0)))
        for frame, other, amplitude in zip(frames, units, amplitudes, strict=True):
            traces[frame : frame + num_samples] -= amplitude * templates.values[other]
        is_mixture[unit] = np.sum(traces**2) - errors[unit] < MIXTURE_RESIDUAL * overlaps.norms[unit]
        if is_mixture[unit] and trains is not None:
            parts = [trains[other] for other in units[np.argsort(-amplitudes * overlaps.norms[units])[:2]]]
            expected = _coincidences_by_chance(*parts, MIXTURE_REACH_S * sampling_frequency)
            are_known = min(map(len, parts)) >= LEAST_KNOWN
            is_mixture[unit] = not are_known or len(trains[unit]) <= MIXTURE_EXCESS * (1 + expected)
    return is_mixture


def find_leftovers(templates: UnitTemplates, spikes: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Spikes next to those of larger units: misfits that their templates leave over, and late waves beyond them.

    Parameters
    ----------
    templates : UnitTemplates
    spikes : np.ndarray
        Spike vector of these units, sorted.

    Returns
    -------
    np.ndarray, shape (num_spikes,), bool
    """
    visible = np.any(templates.values != 0, axis=1)
    sharing = (visible.astype(int) @ visible.T.astype(int)) > 0
    core = round(CORE_S * sampling_frequency)
    norms = np.sum(templates.values[:, max(0, templates.nbefore - core) : templates.nbefore + core] ** 2, axis=(1, 2))
    trains = trains_of(spikes, len(norms))
    reach, spread = LEFTOVER_REACH_S * sampling_frequency, LEFTOVER_SPREAD_S * sampling_frequency
    leftover, is_satellite = np.zeros(len(spikes), dtype=bool), np.zeros(len(norms), dtype=bool)
    # The largest first: what is left over by a unit that is left over itself says nothing.
    for unit in np.argsort(-norms, kind="stable"):
        explained = np.zeros(len(trains[unit]), dtype=bool)
        for other in np.flatnonzero(sharing[unit] & ~is_satellite & (norms > norms[unit])):
            follows = _follows_at_one_lag(trains[unit], trains[other], reach, spread)
            if np.mean(follows) > LEFTOVER_SHARE:
                explained |= follows
        leftover[spikes["unit_index"] == unit] = explained
        is_satellite[unit] = np.mean(explained) > SATELLITE_FRACTION if len(explained) > 0 else False
    return leftover | is_satellite[spikes["unit_index"]]


def _follows_at_one_lag(own, others, reach, spread):
    """Which spikes have another one in reach, at nearly the lag that most of them have."""
    if len(own) == 0 or len(others) == 0:
        return np.zeros(len(own), dtype=bool)
    after = np.searchsorted(others, own)
    lags = np.stack([others[np.clip(after - step, 0, len(others) - 1)] - own for step in (0, 1)])
    nearest = np.where(np.abs(lags[0]) < np.abs(lags[1]), lags[0], lags[1])
    is_near = np.abs(nearest) <= reach
    if not is_near.any():
        return is_near
    return is_near & (np.abs(nearest - np.median(nearest[is_near])) <= spread)


def _coincidences(first, second, reach):
    return int(np.sum(np.searchsorted(second, first + reach, "right") - np.searchsorted(second, first - reach, "left")))


def _coincidences_by_chance(first, second, reach):
    """From those that happen a little later, so that slow changes of the rates do not matter."""
    wide = 25 * reach
    later = _coincidences(first, second, wide) - _coincidences(first, second, reach)
    return later * reach / (wide - reach)


def trains_of(spikes: np.ndarray, num_units: int) -> list[np.ndarray]:
    """Sorted frames of each unit's spikes; segments lie far apart."""
    frames = spikes["sample_index"] + spikes["segment_index"].astype("int64") * 2**40
    order = np.lexsort((frames, spikes["unit_index"]))
    bounds = np.searchsorted(spikes["unit_index"][order], np.arange(num_units + 1))
    return [frames[order[first:last]] for first, last in pairwise(bounds)]
