"""What spike times tell: refractory violations, coincidences with other units, and presence over time."""

import numba
import numpy as np

from ..compiled import COMPILED
from ..spike_vectors import absolute_times

# Upper edges in ms of the intervals that are counted: no neuron fires again within the first ones.
INTERVAL_EDGES_MS = (0.3, 0.7, 1.0, 1.5, 2.0, 3.0)
# Lags in ms between the spikes of two units that count as the same event, as within the refractory period of one
# neuron, and as unrelated.
SAME_MS, REFRACTORY_MS, UNRELATED_MS = 0.4, 2.0, (5.0, 25.0)
# Parts of equal duration in which the presence of a unit is measured.
NUM_PARTS = 20
# Interval in ms that stands for "none near".
LONGEST_MS = 1000.0


def short_intervals(trains: list[np.ndarray], rates_hz: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Share of the intervals below each edge, and what a Poisson process of the same rate would have.

    Parameters
    ----------
    trains : list of np.ndarray, int
        Sorted absolute times of each unit, see `spike_vectors.trains_of`.
    rates_hz : np.ndarray, shape (num_units,), float
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (2, num_units, num_edges), float
        Measured shares, and expected ones.
    """
    edges_s = np.array(INTERVAL_EDGES_MS) / 1000
    measured = np.zeros((len(trains), len(edges_s)))
    for unit, train in enumerate(trains):
        intervals = np.diff(train) / sampling_frequency
        measured[unit] = (intervals[:, None] < edges_s).mean(axis=0) if len(intervals) else 0.0
    return np.stack([measured, 1 - np.exp(-rates_hz[:, None] * edges_s)])


def contamination(shares: np.ndarray, rates_hz: np.ndarray) -> np.ndarray:
    """
    Share of spikes of other neurons, from the refractory violations (Llobet, Wyngaard and Barbour 2022).

    Parameters
    ----------
    shares : np.ndarray, shape (num_units,), float
        Share of intervals below 1.5 ms.
    rates_hz : np.ndarray, shape (num_units,), float

    Returns
    -------
    np.ndarray, shape (num_units,), float
        From 0 to 1; 1 where there are more violations than in a Poisson process.
    """
    expected = np.maximum(2 * rates_hz * 0.0015, 1e-9)
    return 1 - np.sqrt(np.clip(1 - 2 * shares / expected, 0, 1))


def pair_coincidences(trains: list[np.ndarray], neighbours: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Spikes of each unit beside spikes of its neighbours.

    Parameters
    ----------
    trains : list of np.ndarray, int
        Sorted absolute times of each unit.
    neighbours : np.ndarray, shape (num_units, num_neighbours), int
        -1 for none.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_units, num_neighbours, 3), float
        Pairs per spike of the unit at lags up to .4 ms; at lags of .4 to 2 ms; and those expected at the latter, from
        lags of 5 to 25 ms.
    """
    found = np.zeros((*neighbours.shape, 3))
    edges = np.array([0.0, SAME_MS, REFRACTORY_MS, *UNRELATED_MS]) * sampling_frequency / 1000
    scale = (REFRACTORY_MS - SAME_MS) / (UNRELATED_MS[1] - UNRELATED_MS[0])
    for unit, rank in zip(*np.nonzero(neighbours >= 0), strict=True):
        counts = np.zeros(len(edges) - 1)
        _count_pairs_by_lag(trains[unit], trains[neighbours[unit, rank]], edges, counts)
        found[unit, rank] = np.array([counts[0], counts[1], counts[3] * scale]) / max(1, len(trains[unit]))
    return found


@numba.njit(**COMPILED)
def _count_pairs_by_lag(train, other, edges, counts):
    """Add the number of pairs of spikes with an absolute lag between successive edges."""
    start, longest = 0, edges[-1]
    for time in train:
        while start < len(other) and other[start] < time - longest:
            start += 1
        place = start
        while place < len(other) and other[place] <= time + longest:
            lag = abs(other[place] - time)
            for edge in range(len(counts)):
                if edges[edge] <= lag < edges[edge + 1]:
                    counts[edge] += 1
            place += 1


def parts_of_recording(spikes: np.ndarray, num_units: int, num_frames: list[int]) -> np.ndarray:
    """
    Spikes of each unit in parts of the recording of equal duration, (num_units, NUM_PARTS), int.

    Parameters
    ----------
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    num_frames : list of int
        Frames of each segment.
    """
    starts = np.concatenate([[0], np.cumsum(num_frames)])
    times = spikes["sample_index"] + starts[spikes["segment_index"]]
    parts = np.clip(times * NUM_PARTS // max(1, starts[-1]), 0, NUM_PARTS - 1).astype("int64")
    counts = np.bincount(spikes["unit_index"].astype("int64") * NUM_PARTS + parts, minlength=num_units * NUM_PARTS)
    return counts.reshape(num_units, NUM_PARTS)


def nearest_own_spike_ms(spikes: np.ndarray, num_units: int, sampling_frequency: float) -> np.ndarray:
    """Interval in ms from each spike to the nearest other spike of its unit, at most 1000, (num_spikes,), float."""
    times = absolute_times(spikes)
    order = np.lexsort((times, spikes["unit_index"]))
    gaps = np.diff(times[order]) / sampling_frequency * 1000
    gaps[np.diff(spikes["unit_index"][order]) != 0] = LONGEST_MS
    padded = np.concatenate([[LONGEST_MS], gaps, [LONGEST_MS]])
    nearest = np.empty(len(spikes))
    nearest[order] = np.minimum(padded[:-1], padded[1:])[: len(spikes)]
    return np.minimum(nearest, LONGEST_MS)
