"""Windows of white traces around candidates, as a detection network sees them."""

from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED
from ..geometry import channel_distances, neighbor_indices
from ..nets.detector import DetectorConfig

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
    """

    neighbors: np.ndarray
    distances_um: np.ndarray
    resampling: np.ndarray
    before: int


def make_window_plan(
    config: DetectorConfig,
    channel_locations: np.ndarray,
    sampling_frequency: float,
    *,
    usable: np.ndarray | None = None,
) -> WindowPlan:
    """
    Plan the windows of a detector for a probe and a sampling rate.

    Parameters
    ----------
    config : DetectorConfig
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um; shanks far apart.
    sampling_frequency : float
        Sampling rate of the traces in Hz.
    usable : np.ndarray | None, shape (num_channels,), bool, default: None
        Channels that are alive.
    """
    neighbors = neighbor_indices(channel_locations, config.num_neighbors, radius_um=config.radius_um, usable=usable)
    distances = channel_distances(channel_locations)[np.arange(len(neighbors))[:, None], neighbors]
    distances = np.where(neighbors < 0, np.inf, distances).astype("float32")
    reach_s = max(config.frames_before, config.frames_after) / config.sampling_frequency
    before = int(np.ceil(reach_s * sampling_frequency)) + int(KERNEL_HALF_WIDTH)
    target_s = np.arange(-config.frames_before, config.frames_after + 1) / config.sampling_frequency
    resampling = _resampling_matrix(before, sampling_frequency, target_s, config.sampling_frequency)
    return WindowPlan(neighbors, distances, resampling, before)


def _resampling_matrix(before, sampling_frequency, target_s, target_frequency) -> np.ndarray:
    """Sinc interpolation, cut by a Hann window, low-passed where the target rate is the lower one."""
    source = np.arange(-before, before + 1)
    lag = target_s[None] * sampling_frequency - source[:, None]
    cutoff = min(1.0, target_frequency / sampling_frequency)
    half_width = KERNEL_HALF_WIDTH / cutoff
    kernel = cutoff * np.sinc(cutoff * lag) * np.cos(np.pi * np.clip(lag / half_width, -1, 1) / 2) ** 2
    return (kernel / kernel.sum(0, keepdims=True)).astype("float32")


def cut_windows(traces: np.ndarray, frames: np.ndarray, channels: np.ndarray, plan: WindowPlan) -> np.ndarray:
    """
    Cut the windows around candidates.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    frames, channels : np.ndarray, shape (num_candidates,), int
        At least `plan.before` frames from either end.

    Returns
    -------
    np.ndarray, shape (num_candidates, num_neighbors, window_frames), float32
        0 at empty places.
    """
    neighbors = plan.neighbors[channels]
    stretches = np.zeros((*neighbors.shape, 2 * plan.before + 1), dtype="float32")
    _cut_stretches(traces, frames - plan.before, neighbors, stretches)
    windows = stretches.reshape(-1, stretches.shape[2]) @ plan.resampling
    return windows.reshape(*neighbors.shape, -1)


@numba.njit(**COMPILED)
def _cut_stretches(traces: np.ndarray, starts, channels, stretches):
    """Write the traces of some channels from a first frame on to `stretches`, which are 0, but for channels -1."""
    for window in range(len(starts)):
        for frame in range(stretches.shape[2]):
            for place in range(channels.shape[1]):
                if channels[window, place] >= 0:
                    stretches[window, place, frame] = traces[starts[window] + frame, channels[window, place]]
