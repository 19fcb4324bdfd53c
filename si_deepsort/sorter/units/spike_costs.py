"""How well spikes explain windows of traces: all spikes of a window fitted together, and the best pair of spikes."""

from typing import NamedTuple

import numba
import numpy as np

from ...compiled import COMPILED, INNER
from ..matching.kernels import INTERPOLATION_REACH

# Spike times lie anywhere between two samples: the inverse variance of their distance to the nearest one.
DELAY_PRECISION = 12.0
# Smallest determinant of the norms and the overlap of two spikes, relative to the product of the norms: nearly equal
# spikes at nearly one time could have any amplitudes.
LEAST_DETERMINANT = 0.05
# Bounds of gains are raised by this factor, so that rounding never skips a pair that is the best by a hair.
ROUNDING = 1.001


class SpikeShapes(NamedTuple):
    """
    What spikes of some units add to traces, and how it changes with their times.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_channels, 2, num_samples), float32
        Templates and their slopes.
    visible : np.ndarray, shape (num_units, num_channels), bool
        Where a template is not 0.
    """

    values: np.ndarray
    visible: np.ndarray


def make_spike_shapes(templates: np.ndarray) -> SpikeShapes:
    """Shapes of the spikes of units with templates (num_units, num_samples, num_channels), float32."""
    values = np.empty((len(templates), templates.shape[2], 2, templates.shape[1]), dtype="float32")
    values[:, :, 0], values[:, :, 1] = templates.transpose(0, 2, 1), np.gradient(templates, axis=1).transpose(0, 2, 1)
    return SpikeShapes(values, np.any(templates != 0, axis=1))


def spike_costs(
    windows: np.ndarray,
    owners: np.ndarray,
    frames: np.ndarray,
    units: np.ndarray,
    shapes: SpikeShapes,
    *,
    threshold: float,
    amplitude_variance: float,
) -> np.ndarray:
    """
    Cost of explaining each window by some spikes, whose amplitudes and delays are fitted together.

    Parameters
    ----------
    windows : np.ndarray, shape (num_windows, num_channels, num_frames), float32
        White traces, channel by channel.
    owners : np.ndarray, shape (num_spikes,), int
        Window of each spike.
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template of each spike in its window; it may lie outside.
    units : np.ndarray, shape (num_spikes,), int
    shapes : SpikeShapes
        Shapes of the units.
    threshold : float
        Cost of a spike.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.

    Returns
    -------
    np.ndarray, shape (num_windows,), float
        Energy of the residual, with what the priors of amplitudes and delays and the spikes themselves cost: minus
        twice the log likelihood, up to a constant.
    """
    order = np.flatnonzero((frames > -shapes.values.shape[3]) & (frames < windows.shape[2]))
    order = order[np.argsort(owners[order], kind="stable")]
    starts = np.searchsorted(owners[order], np.arange(len(windows) + 1))
    counts = np.diff(starts)
    most = 2 * int(counts.max(initial=0))
    # Spikes fewer than in the fullest window have a row and a column of the unit matrix, and no fit.
    products, fits = np.zeros((len(windows), most, most)), np.zeros((len(windows), most))
    products[:, range(most), range(most)] = 1.0
    residuals = np.array(windows, dtype="float32", order="C")
    precisions = np.array([1 / amplitude_variance, DELAY_PRECISION])
    _fit_windows(
        residuals, starts, frames[order], units[order], shapes.values, shapes.visible, precisions, products, fits
    )
    explained = np.sum(fits * np.linalg.solve(products, fits[:, :, None])[:, :, 0], axis=1)
    energies = np.sum(residuals**2, axis=(1, 2), dtype="float64")
    return energies - explained + threshold * counts


@numba.njit(**COMPILED)
def _fit_windows(residuals, starts, frames, units, shapes, visible, precisions, products, fits):
    """
    Products of the shapes of the spikes of each window, and their fits to what the spikes leave.

    `residuals` are windows (num_windows, num_channels, num_frames) and `shapes` (num_units, num_channels, 2,
    num_samples) the templates and their slopes. Residuals, products and fits are filled in place.
    """
    length, num_samples = residuals.shape[2], shapes.shape[3]
    for window in range(len(residuals)):
        rest = residuals[window]
        for spike in range(starts[window], starts[window + 1]):
            unit, first = units[spike], max(0, frames[spike])
            last = min(length, frames[spike] + num_samples)
            for channel in range(shapes.shape[1]):
                if not visible[unit, channel]:
                    continue
                # Loops, here and below: numba takes four seconds to compile what checks the shapes of two arrays.
                for frame in range(first, last):
                    rest[channel, frame] -= shapes[unit, channel, 0, frame - frames[spike]]
        for spike in range(starts[window], starts[window + 1]):
            unit, row, first = units[spike], 2 * (spike - starts[window]), max(0, frames[spike])
            last = min(length, frames[spike] + num_samples)
            for channel in range(shapes.shape[1]):
                if not visible[unit, channel]:
                    continue
                seen = shapes[unit, channel, :, first - frames[spike] : last - frames[spike]]
                for kind in range(2):
                    fits[window, row + kind] += _product(seen[kind], rest[channel, first:last])
            for kind in range(2):
                products[window, row + kind, row + kind] = precisions[kind]
            for other in range(starts[window], spike + 1):
                begin, end = max(first, frames[other]), min(last, frames[other] + num_samples)
                column = 2 * (other - starts[window])
                if begin < end:
                    _add_shared(
                        products[window, row : row + 2, column : column + 2],
                        shapes[unit, :, :, begin - frames[spike] : end - frames[spike]],
                        shapes[units[other], :, :, begin - frames[other] : end - frames[other]],
                        visible[unit],
                        visible[units[other]],
                    )
                for kind in range(2):
                    for other_kind in range(2):
                        product = products[window, row + kind, column + other_kind]
                        products[window, column + other_kind, row + kind] = product


@numba.njit(**INNER)
def _add_shared(products, seen, met, is_seen, is_met):
    """Add the products (2, 2) of two templates and their slopes on the channels where both are visible."""
    for channel in range(len(is_seen)):
        if not (is_seen[channel] and is_met[channel]):
            continue
        for kind in range(2):
            for other_kind in range(2):
                products[kind, other_kind] += _product(seen[channel, kind], met[channel, other_kind])


@numba.njit(fastmath=True, **INNER)
def _product(one, other):
    """Inner product of two stretches of one channel, in single precision."""
    total = np.float32(0.0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@numba.njit(**COMPILED)
def subtract_spikes(correlations, first_place, windows, frames, units, starts, others, values, num_lags):
    """
    Subtract what some spikes, each at the size of its template, add to the correlations of their windows.

    Parameters
    ----------
    correlations : np.ndarray, shape (num_windows, num_units, num_places), float32
        Inner products of each window with each template at successive frames; changed in place.
    first_place : int
        Frame of the first place.
    windows, frames, units : np.ndarray, shape (num_spikes,), int
        Window of each spike, first frame of its template there, and its unit.
    starts, others, values, num_lags
        `starts`, `units`, `values` and `num_lags` of `TemplateOverlaps` of the templates at all frames.
    """
    num_places = correlations.shape[2]
    for spike in range(len(windows)):
        offset = first_place - frames[spike]
        first, last = max(0, 1 - num_lags - offset), min(num_places, num_lags - offset)
        middle = INTERPOLATION_REACH + num_lags - 1 + offset
        for pair in range(starts[units[spike]], starts[units[spike] + 1]):
            row = correlations[windows[spike], others[pair]]
            for place in range(first, last):
                row[place] -= values[pair, middle + place]


def best_pairs(correlations: np.ndarray, norms: np.ndarray, overlaps: np.ndarray, precision: np.float32) -> np.ndarray:
    """
    The pair of spikes of two units that explains each window best.

    Parameters
    ----------
    correlations : np.ndarray, shape (num_windows, num_units, num_places), float32
        Inner products of the window with each template at each place.
    norms : np.ndarray, shape (num_units,), float32
        Squared norms of the templates.
    overlaps : np.ndarray, shape (num_units, num_units, 2 * num_places - 1), float32
        Inner products of two templates; at num_places - 1 + lag the second comes `lag` frames after the first.
    precision : np.float32
        Inverse variance of the amplitudes.

    Returns
    -------
    np.ndarray, shape (num_windows, 4), int
        Unit and place of one spike, unit and place of the other; -1 if no pair explains anything.
    """
    found = np.full((len(correlations), 4), -1, dtype="int64")
    bottoms = norms + precision
    # The gain of a pair is largest if the overlap is, and turns the smaller of two fits around.
    most_shared = np.abs(overlaps).max(axis=2) / np.sqrt(np.multiply.outer(bottoms, bottoms))
    largest = np.abs(correlations + precision).max(axis=2) / np.sqrt(bottoms)
    _find_best_pairs(correlations, norms, overlaps, precision, most_shared, largest, found)
    return found


@numba.njit(**COMPILED)
def _find_best_pairs(correlations, norms, overlaps, precision, most_shared, largest, found):
    """Fill `found`, all -1, from the largest overlaps of pairs and the largest fits in windows, divided by norms."""
    num_windows, num_units, num_places = correlations.shape
    for window in range(num_windows):
        best = np.float32(0.0)
        for one in range(num_units):
            top = norms[one] + precision
            for other in range(one + 1, num_units):
                bottom = norms[other] + precision
                for place in range(num_places):
                    first = correlations[window, one, place] + precision
                    bound = _most_gain(abs(first) / np.sqrt(top), largest[window, other], most_shared[one, other])
                    if bound * ROUNDING <= best:
                        continue
                    for later in range(num_places):
                        second = correlations[window, other, later] + precision
                        shared = overlaps[one, other, num_places - 1 + later - place]
                        determinant = top * bottom - shared * shared
                        gain = bottom * first * first - 2 * shared * first * second + top * second * second
                        if determinant > LEAST_DETERMINANT * top * bottom and gain > best * determinant:
                            best = gain / determinant
                            found[window, 0], found[window, 1] = one, place
                            found[window, 2], found[window, 3] = other, later


@numba.njit(**INNER)
def _most_gain(one, other, most_shared):
    """Largest gain of two spikes whose fits, divided by their norms, are at most so large, and so their overlap."""
    least = max(1 - most_shared * most_shared, np.float32(LEAST_DETERMINANT))
    return (one * one + other * other + 2 * most_shared * one * other) / least
