"""
Fit a prediction to a recording without training: its scale and its blend with the recorded trace.

A prediction that is too large is scaled down. Automatic blending meets two conditions. Injected small spikes keep
their amplitude, which requires a share of the recorded trace. And noise does not cross a threshold more often than
before, which limits the nonlinear part of the network: it keeps excursions of noise that resemble a spike while it
reduces the noise around them. A linear prediction cannot do that.
"""

import numpy as np
from spikeinterface.core import BaseRecording

from ..noise import noise_levels
from .injection import raw_weights, response_to_spikes
from .surrogate import noise_crossings, noise_like

# Most frames of the stretch into which small spikes are injected.
MAX_RESPONSE_FRAMES = 8192
# A prediction is scaled down if the slope of the trace against it is below this; the slope measured on a short stretch
# varies by a few percent.
MIN_SLOPE = 0.95
# Scaling down leaves at least this share of the amplitude of small spikes.
MIN_KEPT_AMPLITUDE = 0.85
# Shares of the nonlinear part that are tried.
SHARES = np.linspace(0, 1, 9)
# Threshold, in noise levels, whose crossings are counted: the usual threshold of spike detection.
CROSSING_NOISE_LEVELS = 4.0
# Duration of the surrogate noise in s, summed over channels, and its longest duration: a few hundred crossings.
SURROGATE_CHANNEL_S, MAX_SURROGATE_S = 320.0, 30.0


def calibrate(tiles, recording: BaseRecording, *, is_automatic: bool, seed: int) -> None:
    """
    Set the scales of the prediction and, for automatic blending, the share of its nonlinear part.

    Parameters
    ----------
    tiles : _Tiles
        The tiles of `deep_interpolate`; `prediction_scales` and `nonlinear_share` are set.
    recording : BaseRecording
    is_automatic : bool
        Whether the share of the nonlinear part is chosen.
    seed : int
        Random seed of the injected spikes and the surrogate noise.
    """
    tiles.prediction_scales = scales_against_overshoot(tiles, recording, seed)
    if is_automatic:
        tiles.nonlinear_share = largest_quiet_share(tiles, recording, seed)


def weights_that_keep_spikes(tiles, recording: BaseRecording, seed: int) -> np.ndarray:
    """Weight of the recorded trace with which small spikes keep their amplitude, (num_channels,) float."""
    return raw_weights(tiles.prediction_scales * _response_to_spikes(tiles, recording, seed))


def scales_against_overshoot(tiles, recording: BaseRecording, seed: int) -> np.ndarray:
    """
    Factor per channel that scales down a prediction that is too large, (num_channels,) float32.

    A blind prediction shares no noise with the trace, so that the slope of the trace against it is 1 if its scale is
    right. A smaller slope means that the prediction overshoots, for example because the channels have more or nearer
    neighbours than in training, or that the network predicts noise that is not there. In the second case small spikes
    would suffer, so that their amplitude limits the factor.
    """
    traces = tiles.stretch(recording, MAX_RESPONSE_FRAMES)
    predicted, context = _prediction(tiles, traces), tiles.predictor.context
    shared = (predicted * traces[context:-context]).sum(axis=0)
    energy = np.square(predicted).sum(axis=0)
    slope = shared / np.maximum(energy, 1e-12)
    is_off = tiles.usable & (slope < MIN_SLOPE) & (energy > 0)
    if not is_off.any():
        return np.ones(len(tiles.usable), dtype="float32")
    least = MIN_KEPT_AMPLITUDE / np.maximum(_response_to_spikes(tiles, recording, seed), 1e-6)
    return np.where(is_off, np.clip(np.maximum(slope, least), 0, 1), 1).astype("float32")


def largest_quiet_share(tiles, recording: BaseRecording, seed: int) -> float:
    """
    Largest share of the nonlinear part, 0 to 1, with which blended noise crosses a threshold no more often than before.

    The noise has the spectrum and covariance of a stretch of the recording. Each share is tried with the weights of the
    recorded trace that keep small spikes.
    """
    sampling_frequency = recording.get_sampling_frequency()
    max_frames = round(min(SURROGATE_CHANNEL_S / len(tiles.usable), MAX_SURROGATE_S) * sampling_frequency)
    traces = noise_like(tiles.stretch(recording, max_frames), seed=seed)
    traces = np.where(tiles.usable, traces / np.maximum(noise_levels(traces), 1e-12), 0).astype("float32")
    ends = []
    for share in (0.0, 1.0):
        tiles.nonlinear_share = share
        ends.append((_prediction(tiles, traces), _response_to_spikes(tiles, recording, seed)))
    (linear, linear_response), (full, full_response) = ends
    context = tiles.predictor.context
    raw = traces[context:-context][:, tiles.usable]
    allowed, best = noise_crossings(raw, CROSSING_NOISE_LEVELS, sampling_frequency), 0.0
    for share in SHARES:
        response = tiles.prediction_scales * (linear_response + share * (full_response - linear_response))
        predicted = (tiles.prediction_scales * (linear + share * (full - linear)))[:, tiles.usable]
        blended = predicted + raw_weights(response)[tiles.usable].astype("float32") * (raw - predicted)
        if noise_crossings(blended, CROSSING_NOISE_LEVELS, sampling_frequency) > allowed:
            break
        best = float(share)
    return best


def _prediction(tiles, traces) -> np.ndarray:
    predictor = tiles.predictor
    step, length = predictor.tile_frames, predictor.tile_frames + 2 * predictor.context
    starts = range(0, len(traces) - 2 * predictor.context, step)
    return np.concatenate([predictor.predict_tile(traces[start : start + length]) for start in starts])


def _response_to_spikes(tiles, recording, seed) -> np.ndarray:
    traces = tiles.stretch(recording, MAX_RESPONSE_FRAMES)
    sampling_frequency = recording.get_sampling_frequency()
    locations, shanks = tiles.geometry
    return response_to_spikes(tiles.predictor, traces, locations, shanks, sampling_frequency, seed=seed)
