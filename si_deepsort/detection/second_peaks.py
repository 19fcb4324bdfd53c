"""
Tell second peaks of a spike from spikes of other neurons, by how often they come back.

A large spike has further peaks: along the dendrites, on the flank of its footprint, before and after the main phase.
Each comes back with every spike of the neuron, at the same place, after the same time, and with the same share of its
size. Spikes of another neuron do so by chance alone. Nothing must be known of the neurons.
"""

import numba
import numpy as np

from ..compiled import COMPILED
from .candidates import ECHO_UM

# A peak is a second one if at least this share of the spikes like the larger one beside it have the same second peak.
# Neurons that join each other in a third of their spikes, within .8 ms, stay below. Tuned on generated development
# recordings of neurons with dendrites (seed 1), and the following values with it.
LEAST_SHARE = 0.1
# A second peak comes at most this much before or after the main one in ms: the slow phases of a spike last so long.
# Tuned on generated development recordings (seed 1).
REACH_MS = 2.0
# Two second peaks are the same if their delays differ by no more than this in ms, their places by this in um, and the
# logarithms of their shares of the larger peak by this.
SAME_DELAY_MS, SAME_PLACE_UM, SAME_SHARE_LOG = 0.15, 30.0, 0.3
# Two spikes of one channel are alike if the logarithms of their sizes differ by no more than this.
ALIKE_LOG = 0.2
# A spike is compared with so many smaller and so many larger ones that are like it, at most: it bounds the time. Fewer
# than the second number in all say nothing.
MOST_COMPARED, FEWEST_COMPARED = 50, 5
# A second peak may be larger by noise than the main one: peaks up to this many times as large are looked at.
LARGEST_RATIO = 1.25


def are_second_peaks(
    frames: np.ndarray,
    channels: np.ndarray,
    sizes: np.ndarray,
    distances_um: np.ndarray,
    sampling_frequency: float,
) -> np.ndarray:
    """
    Which peaks are second peaks of larger ones.

    Parameters
    ----------
    frames, channels : np.ndarray, shape (num_peaks,), int
        Where they are.
    sizes : np.ndarray, shape (num_peaks,), float
        Positive, in any unit.
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Between channels.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
    """
    order = np.lexsort((channels, frames))
    logs = np.log(np.maximum(sizes[order], np.finfo("float32").tiny)).astype("float64")
    peaks = frames[order].astype("int64"), channels[order].astype("int64"), logs
    reach, tolerance = (round(ms * sampling_frequency / 1000) for ms in (REACH_MS, SAME_DELAY_MS))
    first = np.zeros(len(frames) + 1, dtype="int64")
    _visit_companions(*peaks, distances_um <= ECHO_UM, reach, first, np.zeros(0, dtype="int64"))
    companions = np.zeros(first[-1], dtype="int64")
    _visit_companions(*peaks, distances_um <= ECHO_UM, reach, first, companions)
    by_size = np.lexsort((logs, peaks[1]))
    rank = np.empty_like(by_size)
    rank[by_size] = np.arange(len(by_size))
    shares = np.zeros(len(frames))
    is_same_place = distances_um <= SAME_PLACE_UM
    _find_shares(*peaks, first, companions, by_size, rank, is_same_place, max(1, tolerance), shares)
    is_second = np.zeros(len(frames), dtype=bool)
    is_second[order] = shares >= LEAST_SHARE
    return is_second


@numba.njit(**COMPILED)
def _visit_companions(frames, channels, logs, is_near, reach, first, companions):
    """Count the companions of each peak in `first`, as bounds, or fill them in where there is room for them."""
    most, earliest, total = logs + np.log(LARGEST_RATIO), 0, 0
    for peak in range(len(frames)):
        first[peak] = total
        while frames[earliest] < frames[peak] - reach:
            earliest += 1
        for other in range(earliest, len(frames)):
            if frames[other] > frames[peak] + reach:
                break
            if other != peak and logs[other] < most[peak] and is_near[channels[peak], channels[other]]:
                if len(companions):
                    companions[total] = other
                total += 1
    first[len(frames)] = total


@numba.njit(**COMPILED)
def _find_shares(frames, channels, logs, first, companions, by_size, rank, is_same_place, reach, shares):
    """For each peak, the largest share of the spikes like a larger companion that have the same second peak."""
    for main in range(len(frames)):
        for place in range(first[main], first[main + 1]):
            peak = companions[place]
            if logs[peak] >= logs[main]:
                continue
            delay, share = frames[peak] - frames[main], logs[peak] - logs[main]
            num_alike, num_same = 0, 0
            for step in (-1, 1):
                for away in range(1, MOST_COMPARED + 1):
                    position = rank[main] + step * away
                    if position < 0 or position >= len(by_size):
                        break
                    alike = by_size[position]
                    if channels[alike] != channels[main] or abs(logs[alike] - logs[main]) > ALIKE_LOG:
                        break
                    num_alike += 1
                    for other in companions[first[alike] : first[alike + 1]]:
                        if (
                            abs(frames[other] - frames[alike] - delay) <= reach
                            and abs(logs[other] - logs[alike] - share) <= SAME_SHARE_LOG
                            and is_same_place[channels[other], channels[peak]]
                        ):
                            num_same += 1
                            break
            if num_alike >= FEWEST_COMPARED:
                shares[peak] = max(shares[peak], num_same / num_alike)
