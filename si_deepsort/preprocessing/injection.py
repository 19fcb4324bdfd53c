"""
Measure how much of a small spike a blind prediction keeps: inject spikes, predict with and without them, compare.

The result decides how much of the recorded trace is blended in. The recording's own spikes are no substitute: those
that cross a threshold do so with the help of noise.
"""

import numpy as np

# Amplitude of injected spikes in noise levels: the smallest spikes that are usually detected.
AMPLITUDE_NOISE_LEVELS = 4.0
# Time between injected spikes in ms, a little longer than a spike.
SPACING_MS = 2.7
# Distance in um over which an injected spike decays by a factor of e.
DECAY_UM = 30.0
# One spike is injected at a time for this many channels, so that spikes hardly overlap.
CHANNELS_PER_SPIKE = 32
# Share of the amplitude that is to be kept: half a percent more than the 97 % that are promised, because real spikes
# are no copies of the injected ones.
KEPT_AMPLITUDE = 0.975
# Smallest and largest weight of the recorded trace.
LIMITS = (0.05, 0.95)


def response_to_spikes(predictor, traces, channel_locations, shanks, sampling_frequency, *, seed=0) -> np.ndarray:
    """
    Amplitude that a prediction keeps of small spikes, per channel.

    Parameters
    ----------
    predictor : TracePredictor
    traces : np.ndarray, shape (num_tiles * tile_frames + 2 * context, num_channels), float32
        A stretch of the recording, in noise levels.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    shanks : np.ndarray, shape (num_channels,)
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        1 if spikes are kept whole, 0 if nothing is left of them or none was injected.
    """
    injected = small_spikes(len(traces), channel_locations, shanks, sampling_frequency, seed=seed)
    injected[:, ~predictor.usable] = 0
    context, tile = predictor.context, predictor.tile_frames
    product, energy = 0.0, 0.0
    for first in range(0, len(traces) - 2 * context, tile):
        window = slice(first, first + tile + 2 * context)
        kept = predictor.predict_tile(traces[window] + injected[window]) - predictor.predict_tile(traces[window])
        inner = injected[window][context:-context]
        product = product + (kept * inner).sum(axis=0)
        energy = energy + np.square(inner).sum(axis=0)
    return product / np.maximum(energy, 1e-12)


def small_spikes(num_frames, channel_locations, shanks, sampling_frequency, *, seed=0) -> np.ndarray:
    """
    Spikes of 4 noise levels at random channels, (num_frames, num_channels) float32.

    Each has a trough of 0.25 ms and a slower peak after it, and decays with the distance on its shank.
    """
    rng = np.random.default_rng(seed)
    num_channels = len(shanks)
    waveform = spike_waveform(sampling_frequency)
    injected = np.zeros((num_frames, num_channels), dtype="float32")
    per_slot = max(1, num_channels // CHANNELS_PER_SPIKE)
    for first in range(0, num_frames - len(waveform), round(SPACING_MS * sampling_frequency / 1000)):
        for channel in rng.choice(num_channels, per_slot, replace=False):
            distances = np.linalg.norm(channel_locations - channel_locations[channel], axis=1)
            weights = np.exp(-distances / DECAY_UM) * (shanks == shanks[channel])
            injected[first : first + len(waveform)] += waveform[:, None] * weights.astype("float32")
    return AMPLITUDE_NOISE_LEVELS * injected


def spike_waveform(sampling_frequency: float) -> np.ndarray:
    """A spike with a trough of -1, (num_samples,) float32, 2 ms long."""
    time_ms = np.arange(round(0.002 * sampling_frequency)) / sampling_frequency * 1000
    trough = np.exp(-0.5 * ((time_ms - 0.5) / 0.1) ** 2)
    peak = 0.35 * np.exp(-0.5 * ((time_ms - 0.95) / 0.25) ** 2)
    waveform = peak - trough
    return (waveform / -waveform.min()).astype("float32")


def raw_weights(response: np.ndarray) -> np.ndarray:
    """
    Weight of the recorded trace per channel that brings the kept amplitude up to 97 %, within limits.

    Parameters
    ----------
    response : np.ndarray, shape (num_channels,), float
        From `response_to_spikes`.

    Returns
    -------
    np.ndarray, shape (num_channels,), float
    """
    lost = np.maximum(1 - response, 1e-6)
    return np.clip((KEPT_AMPLITUDE - response) / lost, *LIMITS)
