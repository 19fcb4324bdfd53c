"""How well spikes explain windows of traces: all spikes of a window fitted together, and the best pair of spikes."""

import numba
import numpy as np

# Spike times lie anywhere between two samples: the inverse variance of their distance to the nearest one.
DELAY_PRECISION = 12.0


def spike_costs(
    windows: np.ndarray,
    owners: np.ndarray,
    frames: np.ndarray,
    units: np.ndarray,
    templates: np.ndarray,
    *,
    threshold: float,
    amplitude_variance: float,
) -> np.ndarray:
    """
    Cost of explaining each window by some spikes, whose amplitudes and delays are fitted together.

    Parameters
    ----------
    windows : np.ndarray, shape (num_windows, num_frames, num_channels), float32
        White traces.
    owners : np.ndarray, shape (num_spikes,), int
        Window of each spike.
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template of each spike in its window; it may lie outside.
    units : np.ndarray, shape (num_spikes,), int
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
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
    num_samples, length = templates.shape[1], windows.shape[1]
    used, places = np.unique(units, return_inverse=True)
    slopes = np.gradient(templates[used], axis=1)
    costs = np.sum(windows**2, axis=(1, 2), dtype="float64")
    for window in np.unique(owners):
        own = np.flatnonzero((owners == window) & (frames > -num_samples) & (frames < length))
        if len(own) == 0:
            continue
        design: np.ndarray = np.zeros((2 * len(own), length, windows.shape[2]), dtype="float32")
        for row, spike in enumerate(own):
            first, last = max(0, frames[spike]), min(length, frames[spike] + num_samples)
            part = slice(first - frames[spike], last - frames[spike])
            design[2 * row, first:last] = templates[units[spike], part]
            design[2 * row + 1, first:last] = slopes[places[spike], part]
        design = design.reshape(2 * len(own), -1)
        residual = windows[window].ravel() - design[::2].sum(axis=0)
        precision = np.tile([1 / amplitude_variance, DELAY_PRECISION], len(own))
        fit = (design @ residual).astype("float64")
        explained = fit @ np.linalg.solve((design @ design.T).astype("float64") + np.diag(precision), fit)
        costs[window] = np.sum(residual**2, dtype="float64") - explained + threshold * len(own)
    return costs


@numba.njit(cache=True, nogil=True)
def best_pairs(correlations, norms, overlaps, precision):
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
    precision : float
        Inverse variance of the amplitudes.

    Returns
    -------
    np.ndarray, shape (num_windows, 4), int
        Unit and place of one spike, unit and place of the other; -1 if no pair explains anything.
    """
    num_windows, num_units, num_places = correlations.shape
    found = np.full((num_windows, 4), -1, dtype=np.int64)
    for window in range(num_windows):
        best = np.float32(0.0)
        for one in range(num_units):
            top = norms[one] + precision
            for other in range(one + 1, num_units):
                bottom = norms[other] + precision
                for place in range(num_places):
                    first = correlations[window, one, place] + precision
                    for later in range(num_places):
                        second = correlations[window, other, later] + precision
                        shared = overlaps[one, other, num_places - 1 + later - place]
                        determinant = top * bottom - shared * shared
                        gain = bottom * first * first - 2 * shared * first * second + top * second * second
                        if determinant > 0.05 * top * bottom and gain > best * determinant:
                            best = gain / determinant
                            found[window, 0], found[window, 1] = one, place
                            found[window, 2], found[window, 3] = other, later
    return found
