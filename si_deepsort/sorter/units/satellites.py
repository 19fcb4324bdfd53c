"""
Satellites: units made of what the templates of larger units leave over, and the spikes of such a kind in other units.

A satellite follows the larger unit at a nearly constant lag: it is a misfit of that unit's template, or a late wave
beyond the end of the template.
"""

import numpy as np

from ...spike_vectors import trains_of
from .templates import UnitTemplates

# Spikes of a unit at one lag from those of a larger unit are its residuals if they are more than this fraction of all:
# chance does not explain as many, and bursts have many lags.
SATELLITE_SHARE = 0.2
# Largest lag, and largest deviation from the median lag, in seconds.
SATELLITE_REACH_S = 0.008
SATELLITE_SPREAD_S = 0.0004
# Largest deviation in seconds at lags within CORE_S. A misfit of the template keeps its place there, and neurons that
# fire together have as many spikes within the deviation above: up to a quarter of all vanished, and a whole neuron most
# of whose spikes followed a neighbour that fires often. In 9 development recordings satellites lay at lags beyond
# CORE_S, and spikes of neurons that fire together spread evenly within it.
CORE_SPREAD_S = 0.0001
# A unit is a satellite if more than this fraction of its spikes are residuals: the others are too few to be a unit.
SATELLITE_FRACTION = 0.5
# The larger of two units is the one with more energy within this many seconds of its spikes: the rest of a window may
# hold another unit.
CORE_S = 0.001


def find_satellite_spikes(templates: UnitTemplates, spikes: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Find spikes that are residuals of larger units.

    Parameters
    ----------
    templates : UnitTemplates
    spikes : np.ndarray
        Sorted spike vector of these units.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_spikes,), bool
        All spikes of satellites, and the residuals among the spikes of other units.
    """
    visible = templates.visible
    sharing = (visible.astype(int) @ visible.T.astype(int)) > 0
    core = round(CORE_S * sampling_frequency)
    energies = np.sum(
        templates.values[:, max(0, templates.nbefore - core) : templates.nbefore + core] ** 2, axis=(1, 2)
    )
    trains = trains_of(spikes, len(energies))
    reach, spread, core_spread = (
        seconds * sampling_frequency for seconds in (SATELLITE_REACH_S, SATELLITE_SPREAD_S, CORE_SPREAD_S)
    )
    is_residual, is_satellite = np.zeros(len(spikes), dtype=bool), np.zeros(len(energies), dtype=bool)
    # Large units come first: what follows a satellite is no evidence.
    for unit in np.argsort(-energies, kind="stable"):
        explained = np.zeros(len(trains[unit]), dtype=bool)
        for other in np.flatnonzero(sharing[unit] & ~is_satellite & (energies > energies[unit])):
            follows = _follows_at_one_lag(trains[unit], trains[other], reach, spread, core, core_spread)
            if follows.sum() > SATELLITE_SHARE * len(follows):
                explained |= follows
        is_residual[spikes["unit_index"] == unit] = explained
        is_satellite[unit] = explained.sum() > SATELLITE_FRACTION * len(explained)
    return is_residual | is_satellite[spikes["unit_index"]]


def _follows_at_one_lag(own, others, reach, spread, core, core_spread):
    """Which spikes have one of another unit within reach, at nearly the median lag."""
    if len(own) == 0 or len(others) == 0:
        return np.zeros(len(own), dtype=bool)
    after = np.searchsorted(others, own)
    lags = np.stack([others[np.clip(after - step, 0, len(others) - 1)] - own for step in (0, 1)])
    nearest = np.where(np.abs(lags[0]) < np.abs(lags[1]), lags[0], lags[1])
    is_near = np.abs(nearest) <= reach
    if not is_near.any():
        return is_near
    lag = np.median(nearest[is_near])
    apart = np.abs(nearest - lag)
    return is_near & (apart <= (core_spread if abs(lag) <= core else spread))
