"""
Candidates for spikes, and the window around each that a detector looks at.

A candidate is a local extremum over time of a channel, not smaller than what its nearest neighbours show at the same
moment. Everywhere else the probability of a spike's peak is 0 by definition, so a network need not be evaluated there.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry import channel_distances, neighbor_indices

# Candidates compete over this time with their neighbours.
RIVAL_MS = 0.07


@dataclass(frozen=True)
class WindowPlan:
    """
    How windows are cut from the traces of one probe at one sampling rate.

    Attributes
    ----------
    neighbors : np.ndarray, shape (num_channels, num_neighbors), int
        The channel itself first, -1 for an empty place.
    distances_um : np.ndarray, shape (num_channels, num_neighbors), float32
        Infinite for an empty place.
    resampling : np.ndarray, shape (native_frames, window_frames), float32
        From frames -before..before of the traces to the frames of a window.
    before : int
        Reach of a window to either side, in frames of the traces.
    rival_frames : int
        Reach of the competition between candidates, in frames of the traces.
    """

    neighbors: np.ndarray
    distances_um: np.ndarray
    resampling: np.ndarray
    before: int
    rival_frames: int


def make_window_plan(config, channel_locations, sampling_frequency: float, *, shanks=None, usable=None) -> WindowPlan:
    """
    Plan the windows of a detector for a probe and a sampling rate.

    Parameters
    ----------
    config : DetectorConfig
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        Of the traces, in Hz.
    shanks : np.ndarray | None, shape (num_channels,), default: None
    usable : np.ndarray | None, shape (num_channels,), bool, default: None
        Channels that are alive.
    """
    neighbors = neighbor_indices(
        channel_locations, config.num_neighbors, radius_um=config.radius_um, shanks=shanks, usable=usable
    )
    distances = channel_distances(channel_locations)[np.arange(len(neighbors))[:, None], neighbors]
    distances = np.where(neighbors < 0, np.inf, distances).astype("float32")
    reach_s = max(config.frames_before, config.frames_after) / config.sampling_frequency
    before = int(np.ceil(reach_s * sampling_frequency)) + 4
    target_s = np.arange(-config.frames_before, config.frames_after + 1) / config.sampling_frequency
    resampling = _resampling_matrix(before, sampling_frequency, target_s, config.sampling_frequency)
    return WindowPlan(neighbors, distances, resampling, before, max(1, round(RIVAL_MS * sampling_frequency / 1000)))


def _resampling_matrix(before, sampling_frequency, target_s, target_frequency) -> np.ndarray:
    """Sinc interpolation, cut by a Hann window, low-passed where the target rate is the lower one."""
    source = np.arange(-before, before + 1)
    lag = target_s[None] * sampling_frequency - source[:, None]
    cutoff = min(1.0, target_frequency / sampling_frequency)
    half_width = 4.0 / cutoff
    kernel = cutoff * np.sinc(cutoff * lag) * np.cos(np.pi * np.clip(lag / half_width, -1, 1) / 2) ** 2
    return (kernel / kernel.sum(0, keepdims=True)).astype("float32")


def find_candidates(scaled: np.ndarray, plan: WindowPlan, *, threshold: float, margin: int):
    """
    Local extrema of each channel that are not smaller than those of the neighbours at the same moment.

    Parameters
    ----------
    scaled : np.ndarray, shape (num_frames, num_channels), float32
        Traces in noise levels.
    plan : WindowPlan
    threshold : float
        Smallest height of a candidate, in noise levels.
    margin : int
        Frames at either end that hold no candidate; at least `plan.rival_frames`.

    Returns
    -------
    frames, channels : np.ndarray, shape (num_candidates,), int
        Ordered by frame, then channel.
    """
    num_frames, num_channels = scaled.shape
    height = np.abs(scaled)
    inside = height[margin : num_frames - margin].reshape(-1)
    found = np.flatnonzero(inside >= threshold) + margin * num_channels
    flat = height.reshape(-1)
    for shift in range(1, plan.rival_frames + 1):
        value = flat[found]
        before, after = flat[found - shift * num_channels], flat[found + shift * num_channels]
        found = found[(value > before) & (value >= after)]
    frames, channels = np.divmod(found, num_channels)
    return _without_rivals(height, frames, channels, plan)


def _without_rivals(height, frames, channels, plan: WindowPlan, num_rivals: int = 4):
    for place in range(1, min(num_rivals + 1, plan.neighbors.shape[1])):
        rivals = plan.neighbors[channels, place]
        value = height[frames, channels]
        keep = np.ones(len(frames), dtype=bool)
        for shift in range(-plan.rival_frames, plan.rival_frames + 1):
            other = height[frames + shift, rivals]
            # Of two equal heights the earlier stays, then the lower channel.
            keep &= (other < value) | ((other == value) & ((shift > 0) | ((shift == 0) & (rivals > channels))))
        keep |= rivals < 0
        frames, channels = frames[keep], channels[keep]
    return frames, channels


def cut_windows(channel_traces: np.ndarray, frames: np.ndarray, channels: np.ndarray, plan: WindowPlan) -> np.ndarray:
    """
    The windows of candidates.

    Parameters
    ----------
    channel_traces : np.ndarray, shape (num_channels + 1, num_frames), float32
        Traces in noise levels, as `with_empty_channel` lays them out.
    frames, channels : np.ndarray, shape (num_candidates,), int
        At least `plan.before` frames from either end.

    Returns
    -------
    np.ndarray, shape (num_candidates, num_neighbors, window_frames), float32
    """
    stretches = np.lib.stride_tricks.sliding_window_view(channel_traces, 2 * plan.before + 1, axis=1)
    return stretches[plan.neighbors[channels], (frames - plan.before)[:, None]] @ plan.resampling


def with_empty_channel(scaled: np.ndarray) -> np.ndarray:
    """Traces (frames, channels) as (channels + 1, frames), the last channel 0: what an empty place (-1) shows."""
    channel_traces = np.zeros((scaled.shape[1] + 1, scaled.shape[0]), dtype="float32")
    channel_traces[:-1] = scaled.T
    return channel_traces
