"""
How loud the noise of white traces is over time.

Muscles, movement or anaesthesia can make noise louder for seconds. White traces have standard deviation 1 where noise
is usual. In louder noise, thousands of peaks of noise exceed every threshold, and clusters of them look like units.
"""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ...noise import noise_levels
from ...threads import each

logger = logging.getLogger(__name__)

# Seconds of the chunks in which noise is measured: the changes that are looked for take seconds.
CHUNK_S = 0.5
# Frames of a chunk that are read, spread over it: the level then has a standard error of 3 %; and the fewest that tell
# one, to 12 %.
MOST_FRAMES, FEWEST_FRAMES = 1500, 100
# Noise is louder than usual from this level on: five standard errors above 1.
LOUD_LEVEL = 1.15
# Such noise is told from this level on: below it, only the smallest neurons may be lost.
TOLD_LEVEL = 1.5
# Frames this close in ms to peaks of this size, in standard deviations, are left out: spikes make no noise.
LARGE_PEAK, LARGE_PEAK_MS = 12.0, 1.5


@dataclass(frozen=True)
class NoiseOverTime:
    """
    Noise levels of white traces.

    Attributes
    ----------
    chunk_frames : int
        Frames of a chunk.
    levels : list of np.ndarray, shape (num_chunks, num_channels), float32
        Standard deviation of the noise of each segment, chunk and channel; 1 where it is not louder than usual.
    """

    chunk_frames: int
    levels: list[np.ndarray]

    @property
    def is_even(self) -> bool:
        """Whether noise is nowhere louder than usual."""
        return all(np.all(levels == 1) for levels in self.levels)

    def at(self, segments: np.ndarray, frames: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Noise level at some frames of segments and channels, all (num_events,) int; (num_events,) float."""
        found = np.ones(len(frames))
        for segment_index, levels in enumerate(self.levels):
            own = np.flatnonzero(segments == segment_index)
            chunks = np.clip(frames[own] // self.chunk_frames, 0, len(levels) - 1)
            found[own] = levels[chunks, channels[own]]
        return found


def measure_noise_over_time(traces: BaseRecording, peaks: np.ndarray) -> NoiseOverTime:
    """
    Measure the noise of white traces in each half second.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample. Frames around large peaks are left out.
    """
    frequency = traces.get_sampling_frequency()
    chunk_frames = round(CHUNK_S * frequency)
    reach = round(LARGE_PEAK_MS * frequency / 1000)
    large = peaks[np.abs(peaks["amplitude"]) >= LARGE_PEAK]

    def level_of(chunk):
        segment_index, start, stop = chunk
        first, last = np.searchsorted(large["segment_index"], [segment_index, segment_index + 1])
        frames = np.arange(start, stop)
        free = frames[_are_far(frames, large["sample_index"][first:last], reach)] - start
        if len(free) < FEWEST_FRAMES:
            return np.ones(traces.get_num_channels())
        return noise_levels(traces.get_traces(segment_index, start, stop)[free[:: len(free) // MOST_FRAMES + 1]])

    levels = []
    for segment_index in range(traces.get_num_segments()):
        num_frames = traces.get_num_frames(segment_index)
        starts = range(0, max(num_frames, 1), chunk_frames)
        chunks = [(segment_index, start, min(start + chunk_frames, num_frames)) for start in starts]
        measured = np.array(list(each(level_of, chunks)), dtype="float32")
        levels.append(np.where(measured > LOUD_LEVEL, measured, np.float32(1)))
    return NoiseOverTime(chunk_frames, levels)


def _are_far(frames: np.ndarray, times: np.ndarray, reach: int) -> np.ndarray:
    """Which frames are more than `reach` frames from each of some times, which are sorted."""
    return np.searchsorted(times, frames - reach) == np.searchsorted(times, frames + reach, side="right")


def tell_loud_noise(noise: NoiseOverTime) -> None:
    """Say in the log for how long noise is louder than usual; nothing if it is hardly louder."""
    levels = np.concatenate(noise.levels)
    if np.all(levels < TOLD_LEVEL):
        return
    logger.warning(
        "In %.0f %% of the time noise is louder than usual on some channels, up to %.1f times. Spikes must stand out "
        "from it there, and units of small spikes that fire only then are left out.",
        100 * np.mean(np.any(levels > 1, axis=1)),
        levels.max(),
    )
