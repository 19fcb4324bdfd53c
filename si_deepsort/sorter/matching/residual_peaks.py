"""Peaks that no spike explains: where small units are that larger ones had hidden."""

import numpy as np

from ...spike_vectors import SEGMENT_FRAMES, absolute_times

# Where fewer peaks than this share have come or gone since the last look, clusters would be the same.
CHANGED_SHARE = 0.1


def unexplained_peaks(peaks, frames, channels, segments, nearby: np.ndarray, *, reach: int) -> np.ndarray:
    """
    Peaks that no spike explains.

    Parameters
    ----------
    peaks : np.ndarray
        SpikeInterface's peak dtype.
    frames, channels, segments : np.ndarray, shape (num_spikes,), int
        Of the largest peak of each spike.
    nearby : np.ndarray, shape (num_channels, num_channels), bool
        Channels on which a spike explains a peak.
    reach : int
        Frames between a peak and the spike that explains it, at most.

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
    """
    times = frames + segments * SEGMENT_FRAMES
    order = np.argsort(times, kind="stable")
    times, channels = times[order], channels[order]
    peak_times = absolute_times(peaks)
    first, last = np.searchsorted(times, [peak_times - reach, peak_times + reach + 1])
    return np.array(
        [
            not nearby[channel, channels[start:stop]].any()
            for channel, start, stop in zip(peaks["channel_index"], first, last, strict=True)
        ],
        dtype=bool,
    )


def worth_clustering(
    channels: np.ndarray, missed: np.ndarray, clustered_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Peaks that are worth another look: those of channels on which others are missed than when they were last clustered.

    Clusters of the same peaks would be the same, and those of them that are units have been matched.

    Parameters
    ----------
    channels : np.ndarray, shape (num_peaks,), int
        Of all peaks.
    missed : np.ndarray, int
        Positions, ascending, of the peaks that are missed now.
    clustered_before : np.ndarray, int
        Positions, ascending, of those that were clustered last, for each channel.

    Returns
    -------
    chosen : np.ndarray, int
        Some of `missed`.
    clustered : np.ndarray, int
        What is clustered last once they are: `clustered_before` of the next time.
    """
    changed = np.setxor1d(missed, clustered_before, assume_unique=True)
    num_channels = int(channels.max(initial=-1)) + 1
    num_changed = np.bincount(channels[changed], minlength=num_channels)
    num_before = np.bincount(channels[clustered_before], minlength=num_channels)
    is_worth_it = num_changed > CHANGED_SHARE * num_before
    chosen = missed[is_worth_it[channels[missed]]]
    return chosen, np.union1d(chosen, clustered_before[~is_worth_it[channels[clustered_before]]])
