"""
The typical waveform of a recording's spikes, and the filters that compare its traces with it.

The energy in a subspace serves spikes of any shape and either polarity, so noise has many ways to be as large as a
small spike. The spikes of one recording are more alike: a matched filter, whose waveform is learnt from the large ones,
finds smaller spikes at the same number of errors. Nothing must be known of the neurons.
"""

import numpy as np

from ..preprocessing.whitening import Whitening
from .candidates import CandidateFinder
from .energy import EnergyFilters, spike_shapes, white_profile, with_mixture

# Spikes from which the waveform is learnt are larger than this, in noise standard deviations, so that noise turns them
# by a tenth at most, and have no larger peak around. Fewer than the second number are not enough.
LEAST_SIZE, FEWEST_SPIKES = 10.0, 20
# Seconds of a recording that are learnt from, if they hold enough spikes: half of what noise is measured in, because
# learning costs more than detection in the same time.
LEARNT_S = 5.0
# Distances in um over which the amplitude of a spike falls by a factor of e. The nearest profile is the channel alone,
# the other two are of small and of middle-sized neurons. Tuned on generated development recordings (seed 1).
DECAYS_UM = (10.0, 30.0)


def make_typical_filters(
    traces: np.ndarray,
    finder: CandidateFinder,
    whitening: Whitening,
    channel_locations: np.ndarray,
    sampling_frequency: float,
) -> EnergyFilters:
    """
    Make the filters that compare white traces with the typical waveform of their spikes.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces, some seconds of them. Without enough large spikes a generated waveform is taken.
    finder : CandidateFinder
        Finds the peaks of the energy on this probe.
    whitening : Whitening
        The whitening of the traces.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um; shanks far apart.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    EnergyFilters
        Signed.
    """
    nbefore, num_samples = finder.filters.nbefore, finder.filters.directions.shape[1]
    learnt = traces[: round(LEARNT_S * sampling_frequency)]
    waveform = learn_waveform(learnt, finder)
    if waveform is None and len(learnt) < len(traces):
        waveform = learn_waveform(traces, finder)
    if waveform is None:
        time_filter = whitening.time_filter.astype(float)
        shapes = spike_shapes(sampling_frequency, time_filter, nbefore=nbefore, nafter=num_samples - nbefore)
        waveform = shapes.mean(axis=0)
    waveform = waveform / np.linalg.norm(waveform)
    matrix = whitening.space_matrix.astype(float)
    profiles = [np.eye(len(channel_locations)), *(white_profile(channel_locations, matrix, um) for um in DECAYS_UM)]
    return EnergyFilters(waveform[None].astype("float32"), *with_mixture(profiles), nbefore, is_signed=True)


def learn_waveform(traces: np.ndarray, finder: CandidateFinder) -> np.ndarray | None:
    """
    The median waveform of the large spikes of a recording.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    finder : CandidateFinder

    Returns
    -------
    np.ndarray | None, shape (num_samples,), float
        In white traces, with its peak where the filters of the finder have it. None if there are too few spikes.
    """
    filters = finder.filters
    samples = np.arange(filters.directions.shape[1]) - filters.nbefore
    margin = max(finder.margin, 2 * len(samples))
    if len(traces) <= 2 * margin:
        return None
    found = finder.find(traces, threshold=LEAST_SIZE, margin=margin)
    found = found.where((found.shares == 1) & (found.echoes[:, 0] == 1))
    # Times of the energy are moved to those of the waveform by what its directions show.
    seen = _seen(traces, filters, found.frames, found.channels, samples) @ filters.directions.T @ filters.directions
    peak = np.abs(seen).argmax(axis=1)
    is_positive = seen[np.arange(len(seen)), peak] > 0
    # Spikes of one polarity: the one that more of them have.
    own = np.flatnonzero(is_positive == (is_positive.mean() > 0.5)) if len(seen) else np.zeros(0, dtype=int)
    if len(own) < FEWEST_SPIKES:
        return None
    waveforms = _seen(traces, filters, found.frames[own] + samples[peak[own]], found.channels[own], samples)
    norms = np.linalg.norm(waveforms, axis=1, keepdims=True)
    return np.median(waveforms / np.where(norms > 0, norms, 1.0), axis=0)


def _seen(traces, filters: EnergyFilters, frames, channels, samples) -> np.ndarray:
    """Waveforms through the profile that sees most of their energy, (num_waveforms, num_samples)."""
    result = np.zeros((len(frames), len(samples)), dtype="float32")
    for channel in np.unique(channels):
        mine = np.flatnonzero(channels == channel)
        profiles = filters.profiles[:, channel]
        reached = np.flatnonzero(profiles.any(axis=0))
        windows = traces[frames[mine][:, None, None] + samples[:, None], reached]
        seen = np.swapaxes(windows @ profiles[:, reached].T, 1, 2)
        best = ((seen @ filters.directions.T) ** 2).sum(axis=2).argmax(axis=1)
        result[mine] = seen[np.arange(len(mine)), best]
    return result
