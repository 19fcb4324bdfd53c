"""
How a prediction is fitted to the recording at hand, without training: its size, and what it is blended with.

A prediction that is too large is scaled back. Automatic blending asks two things of the result. Injected small spikes
must keep their amplitude, which takes a share of the raw trace. And noise must not look more like spikes than before,
which limits the nonlinear part of the network: it keeps what resembles a spike while the noise around it shrinks, in
noise, too; what is linear cannot do that.
"""

import numpy as np

from ..noise import noise_levels
from .injection import raw_weights, response_to_spikes
from .surrogate import noise_crossings, noise_like

MAX_RESPONSE_FRAMES = 8192
MIN_SLOPE = 0.95
MIN_KEPT_AMPLITUDE = 0.85
SHARES = np.linspace(0, 1, 9)
CROSSING_NOISE_LEVELS = 4.0
# Of the surrogate noise, summed over channels: a few hundred crossings, in the time that a second of a probe takes.
SURROGATE_CHANNEL_S, MAX_SURROGATE_S = 320.0, 30.0


def calibrate(tiles, recording, *, is_automatic: bool, seed: int):
    """
    Set the scales of the prediction and, for automatic blending, the share of its nonlinear part.

    Parameters
    ----------
    tiles : _Tiles
        Of `deep_interpolate`; `prediction_scales` and `nonlinear_share` are set.
    recording : BaseRecording
    is_automatic : bool
    seed : int
        Of the injected spikes and the surrogate noise.
    """
    tiles.prediction_scales = scales_against_overshoot(tiles, recording, seed)
    if is_automatic:
        tiles.nonlinear_share = largest_quiet_share(tiles, recording, seed)


def weights_that_keep_spikes(tiles, recording, seed: int) -> np.ndarray:
    """Weight of the raw trace per channel with which a small spike keeps its amplitude, (num_channels,) float."""
    return raw_weights(tiles.prediction_scales * _response_to_spikes(tiles, recording, seed))


def scales_against_overshoot(tiles, recording, seed: int) -> np.ndarray:
    """
    Factor per channel that takes back a prediction that is too large, (num_channels,) float32.

    A blind prediction shares no noise with the trace, so the slope of the trace against it is 1 if its size is
    right. A smaller slope means that it overshoots, as where there are more or nearer neighbours than the model
    knows, or that it takes noise for predictable; small spikes must not suffer for the latter.
    """
    traces = tiles.stretch(recording, MAX_RESPONSE_FRAMES)
    predicted, context = _prediction(tiles, traces), tiles.predictor.context
    shared = (predicted * traces[context:-context]).sum(axis=0)
    energy = np.square(predicted).sum(axis=0)
    slope = shared / np.maximum(energy, 1e-12)
    # The slope of a short stretch varies by a few percent.
    is_off = tiles.usable & (slope < MIN_SLOPE) & (energy > 0)
    if not is_off.any():
        return np.ones(len(tiles.usable), dtype="float32")
    least = MIN_KEPT_AMPLITUDE / np.maximum(_response_to_spikes(tiles, recording, seed), 1e-6)
    return np.where(is_off, np.clip(np.maximum(slope, least), 0, 1), 1).astype("float32")


def largest_quiet_share(tiles, recording, seed: int) -> float:
    """
    Largest share of the nonlinear part, 0 to 1, with which blended noise crosses a threshold no more than raw noise.

    The noise has the spectrum and covariance of a stretch of the recording; each share is tried with the weights of
    the raw trace that keep small spikes.
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
    return response_to_spikes(tiles.predictor, traces, *tiles.geometry, sampling_frequency, seed=seed)
