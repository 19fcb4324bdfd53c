"""
Which spikes are nearly alone.

Whatever else fires within a spike's window adds to its waveform more than noise does, and spikes that a larger unit
leaves over are never alone. Averages, and comparisons between units, are made from the others.
"""

import numba
import numpy as np

from ...geometry import channel_distances
from .templates import UnitTemplates

# Channels around the main one of a unit on which others count.
RADIUS_UM = 150.0
# Energy that the templates of others may have on the samples and channels of a spike: about as much as noise has there.
MOST_OVERLAP = 200.0
# Where hardly any spike of a unit is alone, those count that are so most nearly.
FEWEST = 60


def are_alone(
    spikes: np.ndarray, templates: UnitTemplates, locations: np.ndarray, *, most_overlap: float = MOST_OVERLAP
) -> np.ndarray:
    """
    Which spikes are nearly alone; of each unit at least `FEWEST`, if it has them.

    Parameters
    ----------
    spikes : np.ndarray
        Spike vector, sorted.
    templates : UnitTemplates
    locations : np.ndarray, shape (num_channels, 2), float
        In um.
    most_overlap : float
        Energy that others may add, in squared noise standard deviations.

    Returns
    -------
    np.ndarray, shape (num_spikes,), bool
    """
    energies = overlap_energies(spikes, templates, locations)
    units = spikes["unit_index"]
    order = np.lexsort((energies, units))
    ranks = np.arange(len(units)) - np.searchsorted(units[order], units[order])
    alone = energies < most_overlap
    alone[order[ranks < FEWEST]] = True
    return alone


def overlap_energies(spikes: np.ndarray, templates: UnitTemplates, locations: np.ndarray) -> np.ndarray:
    """
    Energy that the templates of other spikes have in the window of each spike, near the main channel of its unit.

    The arguments are those of `are_alone`; the result, shape (num_spikes,), is in squared noise standard deviations.
    """
    # Segments are laid end to end, far apart.
    times = spikes["sample_index"].astype("int64") + spikes["segment_index"].astype("int64") * 2**40
    main_channels = np.abs(templates.values).max(axis=1).argmax(axis=1)
    is_near = (channel_distances(locations) <= RADIUS_UM)[main_channels]
    visible = np.any(templates.values != 0, axis=1)
    # Of units on a long probe most are seen nowhere near each other.
    are_near = is_near.astype("float32") @ visible.T.astype("float32") > 0
    # One row for each channel where a template is visible: its energy, summed up over samples.
    owners, channels = np.nonzero(visible)
    rows = np.searchsorted(owners, np.arange(len(templates.values) + 1))
    squares = templates.values[owners, :, channels].astype("float64") ** 2
    cumulative = np.pad(np.cumsum(squares, axis=1), ((0, 0), (1, 0)))
    units = spikes["unit_index"].astype("int64")
    return _sum_overlaps(times, units, is_near, are_near, rows, channels, cumulative)


@numba.njit(cache=True, nogil=True)
def _sum_overlaps(times, units, is_near, are_near, rows, channels, cumulative):
    energies = np.zeros(len(times))
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
    return energies
