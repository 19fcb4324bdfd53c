"""The start of an interpolator's training: filters and linear weights in closed form, before any gradient."""

import numpy as np
import torch

from ...nets.interpolator import TABLE_SCALE, Interpolator
from ...preprocessing.surrogate import clipped_at_noise, noise_like
from ...preprocessing.wiener import filter_gram, lagged_covariance, leading_filters, solve_ridge, wiener_filters
from .batches import TrainingRecording

# Ridge of the least squares, relative to the variance of the traces.
RIDGE = 1e-3
# Channels of all recordings whose Wiener filters the filters over time span.
MAX_EXAMPLE_CHANNELS = 16
# Steps of Adam, and its learning rate, that teach the linear weights to the geometry network.
SHARED_STEPS, SHARED_RATE = 200, 5e-3
# Frames in which the errors of the network are measured; it bounds the time.
MAX_ERROR_FRAMES = 100_000
# Standard deviation of the noise on the first filters, so that none stays 0.
FILTER_NOISE = 0.02
# Relative difference of two sampling rates that counts as none.
SAME_RATE = 0.01


def start_filters(net: Interpolator, prepared: list[TrainingRecording], samples: list[np.ndarray]) -> None:
    """
    Set the filters over time to those that best span the Wiener filters of some channels.

    Parameters
    ----------
    net : Interpolator
    prepared : list of TrainingRecording
    samples : list of np.ndarray, shape (num_frames, num_channels), float32
    """
    config = net.config
    lags = np.arange(-config.context, config.context + 1)
    lags = lags[np.abs(lags) > config.omission]
    examples = []
    for recording, sample in zip(prepared, samples, strict=True):
        covariance = lagged_covariance(sample, 2 * config.context)
        channels = np.nonzero(recording.has_signal.numpy())[0]
        step = -(-len(channels) // max(1, MAX_EXAMPLE_CHANNELS // len(prepared)))
        for channel in channels[::step]:
            examples.append(wiener_filters(covariance, channel, _sources(recording, channel), lags, RIDGE))
    filters = np.zeros((config.num_features, 2 * config.context + 1))
    filters[:, lags + config.context] = leading_filters(np.concatenate(examples), config.num_features)
    with torch.no_grad():
        noise = FILTER_NOISE * torch.randn_like(net.filters)
        net.filters.copy_(torch.from_numpy(filters).float() + noise * net.is_seen)


def start_shared_part(
    net: Interpolator, prepared: list[TrainingRecording], samples: list[np.ndarray], *, noise_fraction: float = 0.0
) -> None:
    """Teach the geometry network the linear weights of all recordings, as a function of position alone."""
    targets = []
    for recording, sample in zip(prepared, samples, strict=True):
        targets.append(torch.from_numpy(_linear_weights(net, recording, sample, noise_fraction)))
    parameters = [*net.neighborhood.parameters(), *net.geometry.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=SHARED_RATE)
    for _ in range(SHARED_STEPS):
        losses = []
        for recording, target in zip(prepared, targets, strict=True):
            plan = recording.plans[0]
            errors = (net.mixing_weights(plan)[0][:, :, 0] - target) * plan.feeds[..., None]
            losses.append(errors.square().sum() / plan.feeds.sum())
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()


@torch.no_grad()
def start_table(
    net: Interpolator, recording: TrainingRecording, sample: np.ndarray, *, noise_fraction: float = 0.0
) -> None:
    """
    Fit the recording's own linear part: the best linear correction of what the network predicts without it.

    Parameters
    ----------
    net : Interpolator
        With a table.
    recording : TrainingRecording
    sample : np.ndarray, shape (num_frames, num_channels), float32
    noise_fraction : float, default: 0.0
        Weight of noise alone, whose prediction should be 0, as in training.
    """
    plan = recording.plans[0]
    net.table_locations.copy_(torch.from_numpy(recording.channel_locations))
    net.table_offsets.copy_(torch.from_numpy(plan.offsets))
    net.table.zero_()
    weights = _linear_weights(net, recording, sample, noise_fraction, is_correction=True)
    net.table.copy_(torch.from_numpy(weights) / TABLE_SCALE)


@torch.no_grad()
def _linear_weights(net, recording, sample, noise_fraction, *, is_correction=False) -> np.ndarray:
    """(num_channels, num_neighbors, num_seen) float32: weights of the closed-form prediction of each channel."""
    config, context = net.config, net.config.context
    filters = net.filters_over_time().double().numpy()
    covariance = (1 - noise_fraction) * lagged_covariance(sample, 2 * context)
    seen = covariance  # of what is filtered, of which noise is a part that gives nothing to predict
    if noise_fraction:
        seen = covariance + noise_fraction * lagged_covariance(clipped_at_noise(sample), 2 * context)
    taps = 2 * context - np.arange(-context, context + 1)
    cross = None
    if is_correction:
        sample = sample[:MAX_ERROR_FRAMES]
        cross = (1 - noise_fraction) * _cross_covariance_of_errors(net, recording, sample)
        if noise_fraction:
            cross = cross + noise_fraction * _cross_covariance_of_errors(net, recording, noise_like(sample), wanted=0)
    weights = np.zeros((len(recording.scales), config.num_neighbors, config.num_seen), dtype="float32")
    for channel in np.nonzero(recording.has_signal.numpy())[0]:
        sources = _sources(recording, channel)
        target = covariance[sources, channel][:, taps] @ filters.T
        if cross is not None:
            target = cross[channel, : len(sources)]
        may_see = np.ones(target.shape, dtype=bool)
        may_see[0, config.num_features :] = False
        may_see = may_see.ravel()
        gram = filter_gram(seen, filters, sources)[np.ix_(may_see, may_see)]
        solution = np.zeros(may_see.size)
        solution[may_see] = solve_ridge(gram, target.ravel()[may_see], RIDGE)
        weights[channel, : len(sources)] = solution.reshape(len(sources), -1)
    return weights


def _cross_covariance_of_errors(net, recording, sample, *, wanted=1, chunk_frames: int = 1024) -> np.ndarray:
    """
    What each channel's error shares with its neighbours' features, (num_channels, num_neighbors, num_seen).

    `wanted` is the share of the sample that should be predicted: 1, or 0 of noise.
    """
    plan, context = recording.plans[0], net.config.context
    plan.table_rows = None
    blocks, filters = net.block_weights(plan), net.filters_over_time()
    total: torch.Tensor | float = 0.0
    count = 0
    for start in range(0, len(sample) - 2 * context, chunk_frames):
        traces = torch.from_numpy(np.ascontiguousarray(sample[start : start + chunk_frames + 2 * context].T))
        errors = wanted * traces[:, context:-context] - net.predict(traces[None], plan, blocks)[0]
        features = torch.nn.functional.conv1d(traces[:, None], filters[:, None])
        # All pairs in one product: much faster than picking the neighbours first
        total = total + (features.flatten(0, 1) @ errors.T).double()
        count += errors.shape[1]
    everything = torch.as_tensor(total / max(count, 1)).unflatten(0, (len(recording.scales), -1)).numpy()
    channels = np.arange(len(recording.scales))[:, None]
    return everything[np.maximum(plan.neighbors, 0), :, channels]


def resample_filters(net: Interpolator, ratio: float) -> None:
    """
    Stretch the filters over time to another sampling frequency, `ratio` times the old one.

    Linear interpolation is a start, not a solution: training adapts them.
    """
    if abs(ratio - 1) < SAME_RATE:
        return
    lags = np.arange(-net.config.context, net.config.context + 1)
    with torch.no_grad():
        filters = (net.filters * net.is_seen).numpy()
        stretched = np.stack([np.interp(lags / ratio, lags, row, left=0, right=0) for row in filters]) / ratio
        net.filters.copy_(torch.from_numpy(stretched).float())


def _sources(recording, channel):
    plan = recording.plans[0]
    is_there = plan.feeds[channel].numpy() > 0
    return plan.neighbors[channel][is_there]
