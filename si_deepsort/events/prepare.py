"""Prepare a trace for the network: one rate, no mains hum, no drift, units of the noise level, no gaps."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import scipy.signal
from spikeinterface.core import BaseRecording

from ..noise import noise_levels
from .gaps import FlatRuns, bridge, bridge_stored, is_excluded
from .hum import remove_hum
from .stored import CHUNK_FRAMES, ChangedFrames, Frames, FrameStore, every_nth
from .traces import scaled_traces

# Rate of the network, in Hz; traces are resampled by a whole factor to near it. The bundled model was trained at it.
MODEL_RATE = 10_000.0
# Slowest recording in which an event of some ms can be seen, in Hz: one frame every 2 ms.
SLOWEST_RATE = 500.0
# The drift is the running median, over this many blocks, of the medians of blocks of this length. 225 ms are long
# against an event (decay up to 25 ms), so that events hardly count.
BLOCK_MS = 25.0
NUM_BLOCKS = 9
# Length of the pieces in which a recording is read, in s: bounds the memory and does not change the result.
CHUNK_S = 30.0
# The noise level of longer recordings, in frames, is that of every second, third ... frame: from 17 minutes at 10 kHz.
MOST_FRAMES_OF_LEVEL = 10_000_000
# Reach of the resampling filter to each side, in samples of the slower of the two rates, and its Kaiser beta: those of
# scipy.signal.resample_poly.
FILTER_REACH, KAISER_BETA = 10, 5.0
# Beyond about this many noise levels the input of the network is compressed (arcsinh), so that artefacts stay finite.
LINEAR_LEVELS = 5.0


@dataclass(frozen=True)
class PreparedTrace:
    """
    One segment of a trace at the network's rate.

    Attributes
    ----------
    values : Frames, shape (num_frames,), float32
        Drift removed, in the unit of the recording: an array, or frames in a file.
    is_valid : Frames, shape (num_frames,), bool
        False where the recording had NaN or a saturated amplifier, and where the user excluded it.
    rate : float
        Frames per second.
    """

    values: Frames
    is_valid: Frames
    rate: float

    def start(self, duration_s: float) -> "PreparedTrace":
        """The first `duration_s` seconds, in memory."""
        stop = max(1, round(duration_s * self.rate))
        return replace(self, values=self.values[:stop], is_valid=self.is_valid[:stop])

    def valid_s(self) -> float:
        """Duration of what is valid, in s."""
        starts = range(0, len(self.is_valid), CHUNK_FRAMES)
        return sum(int(self.is_valid[start : start + CHUNK_FRAMES].sum()) for start in starts) / self.rate


def resampling_factors(sampling_frequency: float, time_scale: float = 1.0) -> tuple[int, int]:
    """
    Integers (up, down), one of them 1, that bring a trace near `MODEL_RATE / time_scale`.

    Whole factors keep the frames on the recording's own clock, so that times are exact at any odd rate. A ValueError if
    the recording is too slow for such events.
    """
    if sampling_frequency * time_scale < SLOWEST_RATE:
        raise ValueError(
            f"The recording has {sampling_frequency:g} frames per second, in which events of some milliseconds cannot "
            f"be seen; expected at least {SLOWEST_RATE / time_scale:g} Hz. If its rate is in kHz or its times are in "
            "ms, say so where it was made; for events that are many times as slow set time_scale."
        )
    ratio = sampling_frequency * time_scale / MODEL_RATE
    return (1, max(1, round(ratio))) if ratio >= 1 else (max(1, round(1 / ratio)), 1)


def prepare_trace(
    recording: BaseRecording,
    segment_index: int,
    *,
    time_scale: float = 1.0,
    exclude_s: Sequence[tuple[float, float]] = (),
    store: FrameStore | None = None,
) -> PreparedTrace:
    """
    Read one segment in chunks, resample it to the network's rate, remove mains hum and drift.

    The result does not depend on the size of the chunks. Samples that are NaN or infinite are bridged by a line, and
    stretches of at least 1 ms at the largest or smallest value of the segment are taken for a saturated amplifier.

    Parameters
    ----------
    recording : BaseRecording
        With one channel.
    segment_index : int
    time_scale : float, default: 1.0
        Above 1 for events slower than the network knows.
    exclude_s : sequence of (start, stop), default: ()
        Intervals in s from the start of the segment, such as a test pulse, in which nothing is looked for. They are
        bridged by a line.
    store : FrameStore | None, default: None
        Where the trace is kept. None keeps it in memory.

    Returns
    -------
    PreparedTrace

    Raises
    ------
    ValueError
        If the recording is too slow for such events.
    """
    rate, num_frames = recording.get_sampling_frequency(), recording.get_num_frames(segment_index)
    up, down = resampling_factors(rate, time_scale)
    zeros = np.zeros if store is None else store.zeros
    values, is_valid = zeros(-(-num_frames * up // down), "float32"), zeros(-(-num_frames * up // down), "bool")
    chunk = max(1, round(CHUNK_S * rate / down)) * down
    margin = FILTER_REACH * max(up, down) // up // down * down + down
    flat = FlatRuns(rate)
    for start in range(0, num_frames, chunk):
        stop = min(start + chunk, num_frames)
        left, right = min(margin, start), min(margin, num_frames - stop)
        traces = scaled_traces(recording, segment_index, start - left, stop + right)
        bad = ~np.isfinite(traces) | is_excluded(exclude_s, start - left, stop + right, rate)
        bridge(traces, bad)
        flat.add(traces, start - left)
        resampled = _resample(traces, up, down)[left * up // down :]
        first, length = start * up // down, -(-(stop - start) * up // down)
        values[first : first + length] = resampled[:length]
        is_valid[first : first + length] = np.repeat(~bad[left : left + stop - start], up)[::down]
    for first, stop in flat.saturated(num_frames):
        is_valid[-(-first * up // down) : -(-stop * up // down)] = False
    bridge_stored(values, is_valid)
    remove_hum(values, rate * up / down)
    _remove_drift(values, rate * up / down * time_scale)
    return PreparedTrace(values=values, is_valid=is_valid, rate=rate * up / down)


def running_baseline(values: Frames, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Slow drift of a trace: the running median of block medians, so that events hardly count.

    Parameters
    ----------
    values : Frames, shape (num_frames,), float
    rate : float
        Frames per second (times the time scale).

    Returns
    -------
    frames, drift : np.ndarray, shape (num_blocks,), float
        The drift in the middle of each block. In between it is a line, and beyond the ends it is constant.
    """
    block = max(1, round(BLOCK_MS * rate / 1000))
    num_blocks = len(values) // block
    if num_blocks < 3:
        return np.zeros(1), np.full(1, np.median(values[:]) if len(values) else 0.0)
    edges = [*range(0, num_blocks, max(1, CHUNK_FRAMES // block)), num_blocks]
    medians = np.concatenate(
        [
            np.median(values[first * block : stop * block].reshape(-1, block), axis=1)
            for first, stop in itertools.pairwise(edges)
        ]
    )
    medians = scipy.ndimage.median_filter(medians, min(NUM_BLOCKS, num_blocks), mode="nearest")
    medians = scipy.ndimage.uniform_filter1d(medians, 3, mode="nearest")
    return (np.arange(num_blocks) + 0.5) * block, medians


def _remove_drift(values, rate):
    """Subtract the drift of a trace, in place."""
    frames, drift = running_baseline(values, rate)
    for start in range(0, len(values), CHUNK_FRAMES):
        stop = min(start + CHUNK_FRAMES, len(values))
        values[start:stop] = values[start:stop] - np.interp(np.arange(start, stop), frames, drift).astype("float32")


def trace_noise_level(prepared: Sequence[PreparedTrace]) -> float:
    """Robust noise level over all segments of a recording; 1 for a constant trace, so that nothing is divided by 0."""
    step = -(-sum(len(trace.values) for trace in prepared) // MOST_FRAMES_OF_LEVEL) or 1
    valid = [every_nth(trace.values, step)[every_nth(trace.is_valid, step)] for trace in prepared]
    values = np.concatenate(valid) if valid else np.zeros(0)
    level = float(noise_levels(values[:, None])[0]) if len(values) else 0.0
    if level > 0 or not len(values):
        return level or 1.0
    return float(values.std()) or 1.0  # a noiseless trace: the median absolute deviation is 0


def in_noise_levels(values: Frames, noise_level: float, polarity: int) -> ChangedFrames:
    """A trace in noise levels, events upwards, computed where it is read."""
    return ChangedFrames(values, lambda _, piece: polarity * piece / noise_level)  # in A, a trace is of order 1e-12


def network_input(values: np.ndarray, noise_level: float, polarity: int) -> np.ndarray:
    """Trace as the network sees it: events upwards, in noise levels, compressed beyond about 5 of them; float32."""
    return (LINEAR_LEVELS * np.arcsinh(polarity * values / (LINEAR_LEVELS * noise_level))).astype("float32")


def _resample(traces, up, down):
    if up == down == 1:
        return traces
    reach = FILTER_REACH * max(up, down)
    taps = scipy.signal.firwin(2 * reach + 1, 1.0 / max(up, down), window=("kaiser", KAISER_BETA)).astype("float32")
    for phase in range(up):  # else the offset of a trace (-130 pA) would come out as a ripple
        taps[phase::up] /= up * taps[phase::up].sum()
    # The edges are held, not filled with zeros: a trace at -130 pA must not begin with a step.
    held = np.pad(traces, -(-reach // down) * down if up == 1 else FILTER_REACH, mode="edge")
    skip = (len(held) - len(traces)) // 2 * up // down
    resampled = scipy.signal.resample_poly(held, up, down, window=taps * 1.0, padtype="constant")
    return resampled[skip : skip + -(-len(traces) * up // down)].astype("float32")
