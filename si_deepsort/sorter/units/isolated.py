"""
Isolated spikes: those in whose window hardly any other spike falls.

Another spike in the window of a spike adds more to its waveform than noise does, and residuals of a larger unit are
never isolated. Averages of units, and comparisons between units, are therefore made from isolated spikes.
"""

import numba
import numpy as np

from ...compiled import COMPILED
from ...geometry import channel_distances
from ...spike_vectors import absolute_times, main_channels

# Channels within this radius in um around the main channel of a unit count when overlaps are measured: beyond it few
# units are visible.
ISOLATION_RADIUS_UM = 150.0
# Energy, in squared noise standard deviations, that the templates of other spikes may have in the window of an isolated
# spike: about what noise has there.
ISOLATED_OVERLAP = 200.0
# Fewest spikes of each unit that are used: if fewer are isolated, the least overlapped ones are added. Noise in the
# average of as many is an eighth of that in a single spike.
FEWEST_ISOLATED = 60


def are_isolated(
    spikes: np.ndarray, templates: np.ndarray, locations: np.ndarray, *, most_overlap: float = ISOLATED_OVERLAP
) -> np.ndarray:
    """
    Tell which spikes are isolated; at least `FEWEST_ISOLATED` of each unit, if it has as many.

    Parameters
    ----------
    spikes : np.ndarray
        Sorted spike vector.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In noise standard deviations; 0 on channels where a unit is not visible.
    locations : np.ndarray, shape (num_channels, 2), float
        Channel locations in um.
    most_overlap : float, default: ISOLATED_OVERLAP
        Energy that other spikes may add, in squared noise standard deviations.

    Returns
    -------
    np.ndarray, shape (num_spikes,), bool
    """
    energies = overlap_energies(spikes, templates, locations)
    units = spikes["unit_index"]
    order = np.lexsort((energies, units))
    ranks = np.arange(len(units)) - np.searchsorted(units[order], units[order])
    isolated = energies < most_overlap
    isolated[order[ranks < FEWEST_ISOLATED]] = True
    return isolated


def overlap_energies(spikes: np.ndarray, templates: np.ndarray, locations: np.ndarray) -> np.ndarray:
    """
    Energy that the templates of other spikes have in the window of each spike, near the main channel of its unit.

    Parameters
    ----------
    spikes, templates, locations
        See `are_isolated`.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float
        In squared noise standard deviations.
    """
    is_near = (channel_distances(locations) <= ISOLATION_RADIUS_UM)[main_channels(templates)]
    visible = np.any(templates != 0, axis=1)
    # Most pairs of units on a long probe are far apart.
    are_near = is_near.astype("float32") @ visible.T.astype("float32") > 0
    # One row for each channel on which a template is visible: its energy, summed up over samples.
    owners, channels = np.nonzero(visible)
    rows = np.searchsorted(owners, np.arange(len(templates) + 1))
    squares = templates[owners, :, channels].astype("float64") ** 2
    cumulative = np.pad(np.cumsum(squares, axis=1), ((0, 0), (1, 0)))
    units = spikes["unit_index"].astype("int64")
    energies = np.zeros(len(spikes))
    _sum_overlaps(absolute_times(spikes), units, is_near, are_near, rows, channels, cumulative, energies)
    return energies


@numba.njit(**COMPILED)
def _sum_overlaps(times, units, is_near, are_near, rows, channels, cumulative, energies):
    """Add to the energy of each spike what other spikes have in its window."""
    num_samples = cumulative.shape[1] - 1
    for spike in range(len(times)):
        near = is_near[units[spike]]
        for step in (-1, 1):
            other = spike + step
            while 0 <= other < len(times) and abs(times[other] - times[spike]) < num_samples:
                lag = times[other] - times[spike]
                first, last = max(0, -lag), min(num_samples, num_samples - lag)
                if are_near[units[spike], units[other]]:
                    for row in range(rows[units[other]], rows[units[other] + 1]):
                        if near[channels[row]]:
                            energies[spike] += cumulative[row, last] - cumulative[row, first]
                other += step
