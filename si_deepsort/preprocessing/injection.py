"""
How much of a small spike a blind prediction keeps: inject some, predict with and without them, compare.

The answer decides how much of the raw trace has to be blended in. Selecting the recording's own spikes by a threshold
would not do, because noise helps them over it.
"""

import numpy as np

AMPLITUDE_NOISE_LEVELS = 4.0
SPACING_MS = 2.7
DECAY_UM = 30.0
CHANNELS_PER_SPIKE = 32
# Half a percent more than the 97 % that are promised: real spikes are no copies of the injected ones.
KEPT_AMPLITUDE = 0.975
LIMITS = (0.05, 0.95)


def response_to_spikes(predictor, traces, channel_locations, shanks, sampling_frequency, *, seed=0) -> np.ndarray:
    """
    Amplitude that a prediction keeps of small spikes, per channel.

    Parameters
    ----------
    predictor : TracePredictor
    traces : np.ndarray, shape (num_tiles * tile_frames + 2 * context, num_channels), float32
        Part of the recording, in noise levels.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    shanks : np.ndarray, shape (num_channels,)
    sampling_frequency : float
        In Hz.

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        1 where a spike comes through whole, 0 where nothing is left (or nothing was injected).
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

    A trough of 0.25 ms and a slower peak behind it; smaller with the distance on the same shank.
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
    Weight of the raw trace per channel that brings the kept amplitude up to 97 %, within limits.

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
