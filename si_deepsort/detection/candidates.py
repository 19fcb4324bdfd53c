"""
Candidates for spikes, and the window around each that a detector looks at.

A candidate is a local extremum of a channel over time that is not smaller than the traces of its nearest neighbours at
the same moment. Elsewhere the probability of a spike's peak is 0 by definition, and no network is evaluated.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry import channel_distances, neighbor_indices
from ..nets.detector import DetectorConfig

# Time in ms in which candidates compete with each other: two samples at 30 kHz, by which peaks on neighbouring channels
# differ.
RIVAL_MS = 0.07
# Nearest neighbours that a candidate competes with.
NUM_RIVALS = 4
# Half width of the interpolation kernel, in samples of the lower sampling rate.
KERNEL_HALF_WIDTH = 4.0


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


def make_window_plan(
    config: DetectorConfig,
    channel_locations: np.ndarray,
    sampling_frequency: float,
    *,
    shanks: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> WindowPlan:
    """
    Plan the windows of a detector for a probe and a sampling rate.

    Parameters
    ----------
    config : DetectorConfig
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        Sampling rate of the traces in Hz.
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
    before = int(np.ceil(reach_s * sampling_frequency)) + int(KERNEL_HALF_WIDTH)
    target_s = np.arange(-config.frames_before, config.frames_after + 1) / config.sampling_frequency
    resampling = _resampling_matrix(before, sampling_frequency, target_s, config.sampling_frequency)
    return WindowPlan(neighbors, distances, resampling, before, max(1, round(RIVAL_MS * sampling_frequency / 1000)))


def _resampling_matrix(before, sampling_frequency, target_s, target_frequency) -> np.ndarray:
    """Sinc interpolation, cut by a Hann window, low-passed where the target rate is the lower one."""
    source = np.arange(-before, before + 1)
    lag = target_s[None] * sampling_frequency - source[:, None]
    cutoff = min(1.0, target_frequency / sampling_frequency)
    half_width = KERNEL_HALF_WIDTH / cutoff
    kernel = cutoff * np.sinc(cutoff * lag) * np.cos(np.pi * np.clip(lag / half_width, -1, 1) / 2) ** 2
    return (kernel / kernel.sum(0, keepdims=True)).astype("float32")


def find_candidates(
    scaled: np.ndarray, plan: WindowPlan, *, threshold: float, margin: int
) -> tuple[np.ndarray, np.ndarray]:
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


def _without_rivals(height, frames, channels, plan: WindowPlan, num_rivals: int = NUM_RIVALS):
    for place in range(1, min(num_rivals + 1, plan.neighbors.shape[1])):
        rivals = plan.neighbors[channels, place]
        value = height[frames, channels]
        keep = np.ones(len(frames), dtype=bool)
        for shift in range(-plan.rival_frames, plan.rival_frames + 1):
            other = height[frames + shift, rivals]
            # The earlier of two candidates of equal height stays, then the one on the lower channel.
            keep &= (other < value) | ((other == value) & ((shift > 0) | ((shift == 0) & (rivals > channels))))
        keep |= rivals < 0
        frames, channels = frames[keep], channels[keep]
    return frames, channels


def cut_windows(channel_traces: np.ndarray, frames: np.ndarray, channels: np.ndarray, plan: WindowPlan) -> np.ndarray:
    """
    Cut the windows around candidates.

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
