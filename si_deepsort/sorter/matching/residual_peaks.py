"""Residual peaks: peaks that no matched spike explains. Small units that larger ones had hidden are among them."""

import numba
import numpy as np

from ...compiled import COMPILED
from ...geometry import channel_distances
from ...spike_vectors import absolute_times

# A peak this close in ms to the largest peak of a spike nearby is explained by it: within a spike's main waves.
EXPLAINED_MS = 1.0
# Fraction of the residual peaks of a channel that must have changed since they were last clustered: with fewer changes
# the clusters would be the same. Tuned on generated development recordings (seeds 1-5).
CHANGED_SHARE = 0.1


def residual_peaks(
    peaks: np.ndarray,
    spikes: np.ndarray,
    *,
    peak_channels: np.ndarray,
    peak_offsets: np.ndarray,
    locations: np.ndarray,
    radius_um: float,
    sampling_frequency: float,
) -> np.ndarray:
    """
    Tell which peaks no spike explains.

    Parameters
    ----------
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype.
    spikes : np.ndarray, shape (num_spikes,)
        Spike vector.
    peak_channels, peak_offsets : np.ndarray, shape (num_units,), int
        Channel of the largest peak of each unit, and its offset from the spike time in frames.
    locations : np.ndarray, shape (num_channels, 2), float
        Channel locations in um.
    radius_um : float
        A spike explains peaks on channels within this radius of its largest peak.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
    """
    reach = round(EXPLAINED_MS * sampling_frequency / 1000)
    is_near = channel_distances(locations) <= radius_um
    times = absolute_times(spikes) + peak_offsets[spikes["unit_index"]]
    order = np.argsort(times, kind="stable")
    times, channels = times[order], peak_channels[spikes["unit_index"][order]]
    peak_times = absolute_times(peaks)
    first, last = np.searchsorted(times, [peak_times - reach, peak_times + reach + 1])
    have_one = np.zeros(len(peaks), dtype=bool)
    own = peaks["channel_index"].astype("int64")
    _find_one_near(is_near, own, channels.astype("int64"), first, last, have_one)
    return ~have_one


@numba.njit(**COMPILED)
def _find_one_near(is_near, own, channels, first, last, found):
    """Say in `found` which channels `own` are near one of the channels from a first to a last position."""
    for place in range(len(own)):
        for other in range(first[place], last[place]):
            if is_near[own[place], channels[other]]:
                found[place] = True
                break


def worth_clustering(
    channels: np.ndarray, residual: np.ndarray, clustered_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Choose the residual peaks on channels where they have changed since they were last clustered.

    Clusters of the same peaks would be the same, and those of them that are units have been matched already.

    Parameters
    ----------
    channels : np.ndarray, shape (num_peaks,), int
        Channel of each peak.
    residual : np.ndarray, int
        Positions of the residual peaks, ascending.
    clustered_before : np.ndarray, int
        Positions of the peaks that were clustered last on each channel, ascending; empty in the first round.

    Returns
    -------
    chosen : np.ndarray, int
        Those of `residual` that should be clustered, ascending.
    clustered : np.ndarray, int
        State to pass as `clustered_before` in the next round.
    """
    changed = np.setxor1d(residual, clustered_before, assume_unique=True)
    num_channels = int(channels.max(initial=-1)) + 1
    num_changed = np.bincount(channels[changed], minlength=num_channels)
    num_before = np.bincount(channels[clustered_before], minlength=num_channels)
    has_changed = num_changed > CHANGED_SHARE * num_before
    chosen = residual[has_changed[channels[residual]]]
    return chosen, np.union1d(chosen, clustered_before[~has_changed[channels[clustered_before]]])
