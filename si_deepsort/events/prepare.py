"""Prepare a trace for the network: one rate, no mains hum, no drift, units of the noise level, no gaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import scipy.signal
from spikeinterface.core import BaseRecording

from ..noise import noise_levels
from .hum import remove_hum
from .traces import scaled_traces

# Rate of the network, in Hz; traces are resampled by a whole factor to near it. The bundled model was trained at it.
MODEL_RATE = 10_000.0
# The drift is the running median, over this many blocks, of the medians of blocks of this length. 225 ms are long
# against an event (decay up to 25 ms), so that events hardly count.
BLOCK_MS = 25.0
NUM_BLOCKS = 9
# Length of the pieces in which a recording is read, in s: bounds the memory and does not change the result.
CHUNK_S = 30.0
# A trace that rests at its extreme for more than this part of its time has no noise; it is not saturated.
MOST_SATURATED = 0.3
# A stretch that does not change at all for this long, in ms, and at least this many frames, may be saturation.
SHORTEST_SATURATION_MS, SHORTEST_SATURATION_FRAMES = 1.0, 5
# The noise level of longer recordings, in frames, is that of every second, third ... frame: from 17 minutes at 10 kHz.
MOST_FRAMES_OF_LEVEL = 10_000_000
# Frames whose drift is interpolated at once: bounds the memory.
DRIFT_CHUNK_FRAMES = 1_000_000
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
    values : np.ndarray, shape (num_frames,), float32
        Drift removed, in the unit of the recording.
    is_valid : np.ndarray, shape (num_frames,), bool
        False where the recording had NaN or a saturated amplifier, and where the user excluded it.
    rate : float
        Frames per second.
    """

    values: np.ndarray
    is_valid: np.ndarray
    rate: float

    def start(self, duration_s: float) -> "PreparedTrace":
        """The first `duration_s` seconds."""
        stop = max(1, round(duration_s * self.rate))
        return replace(self, values=self.values[:stop], is_valid=self.is_valid[:stop])


def resampling_factors(sampling_frequency: float, time_scale: float = 1.0) -> tuple[int, int]:
    """
    Integers (up, down), one of them 1, that bring a trace near `MODEL_RATE / time_scale`.

    Whole factors keep the frames on the recording's own clock, so that times are exact at any odd rate.
    """
    ratio = sampling_frequency * time_scale / MODEL_RATE
    return (1, max(1, round(ratio))) if ratio >= 1 else (max(1, round(1 / ratio)), 1)


def prepare_trace(
    recording: BaseRecording,
    segment_index: int,
    *,
    time_scale: float = 1.0,
    exclude_s: Sequence[tuple[float, float]] = (),
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
    """
    sampling_frequency = recording.get_sampling_frequency()
    up, down = resampling_factors(sampling_frequency, time_scale)
    num_frames = recording.get_num_frames(segment_index)
    chunk = max(1, round(CHUNK_S * sampling_frequency / down)) * down
    margin = FILTER_REACH * max(up, down) // up // down * down + down
    values, is_bad = np.empty(-(-num_frames * up // down), "float32"), np.zeros(num_frames, dtype=bool)
    flat, extremes = [], []
    for start in range(0, num_frames, chunk):
        stop = min(start + chunk, num_frames)
        left, right = min(margin, start), min(margin, num_frames - stop)
        traces = scaled_traces(recording, segment_index, start - left, stop + right)
        bad = ~np.isfinite(traces) | _is_excluded(exclude_s, start - left, stop + right, sampling_frequency)
        _bridge(traces, bad)
        flat.append(_flat_runs(traces, sampling_frequency, start - left))
        extremes.append((traces.min(), traces.max()))
        resampled = _resample(traces, up, down)[left * up // down :]
        first, length = start * up // down, -(-(stop - start) * up // down)
        values[first : first + length] = resampled[:length]
        is_bad[start:stop] = bad[left : left + stop - start]
    if flat:
        _mark_saturated(is_bad, np.concatenate(flat), (np.min(extremes), np.max(extremes)))
    is_valid = ~is_bad[::down] if up == 1 else np.repeat(~is_bad, up)
    _bridge(values, ~is_valid)
    rate = sampling_frequency * up / down
    return PreparedTrace(
        values=_without_drift(remove_hum(values, rate), rate * time_scale), is_valid=is_valid, rate=rate
    )


def running_baseline(values: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Slow drift of a trace: the running median of block medians, so that events hardly count.

    Parameters
    ----------
    values : np.ndarray, shape (num_frames,), float
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
        return np.zeros(1), np.full(1, np.median(values) if len(values) else 0.0)
    together = max(1, DRIFT_CHUNK_FRAMES // block)
    blocks = values[: num_blocks * block].reshape(num_blocks, block)
    medians = np.concatenate([np.median(blocks[i : i + together], axis=1) for i in range(0, num_blocks, together)])
    medians = scipy.ndimage.median_filter(medians, min(NUM_BLOCKS, num_blocks), mode="nearest")
    medians = scipy.ndimage.uniform_filter1d(medians, 3, mode="nearest")
    return (np.arange(num_blocks) + 0.5) * block, medians


def _without_drift(values, rate):
    """The trace less its drift, in place."""
    frames, drift = running_baseline(values, rate)
    for start in range(0, len(values), DRIFT_CHUNK_FRAMES):
        stop = min(start + DRIFT_CHUNK_FRAMES, len(values))
        values[start:stop] -= np.interp(np.arange(start, stop), frames, drift).astype("float32")
    return values


def trace_noise_level(prepared: Sequence[PreparedTrace]) -> float:
    """Robust noise level over all segments of a recording; 1 for a constant trace, so that nothing is divided by 0."""
    step = -(-sum(len(trace.values) for trace in prepared) // MOST_FRAMES_OF_LEVEL) or 1
    valid = [trace.values[::step][trace.is_valid[::step]] for trace in prepared]
    values = np.concatenate(valid) if valid else np.zeros(0)
    level = float(noise_levels(values[:, None])[0]) if len(values) else 0.0
    if level > 0 or not len(values):
        return level or 1.0
    return float(values.std()) or 1.0  # a noiseless trace: the median absolute deviation is 0


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


def _flat_runs(traces, sampling_frequency, offset):
    """Rows (first frame, frame after the last, value) of stretches of at least 1 ms that do not change at all."""
    changes = np.diff(np.concatenate([[0], np.diff(traces) == 0, [0]]).astype("int8"))
    first, stop = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1) + 1
    is_long = stop - first >= max(SHORTEST_SATURATION_FRAMES, SHORTEST_SATURATION_MS * sampling_frequency / 1000)
    first, stop = first[is_long], stop[is_long]
    return np.stack([first + offset, stop + offset, traces[first].astype(float)], axis=1)


def _mark_saturated(is_bad, runs, extremes):
    """Mark the flat runs at the smallest or largest value as bad, unless the trace rests there (no noise at all)."""
    for extreme in extremes:
        at = runs[runs[:, 2] == extreme, :2].astype(int)
        if (at[:, 1] - at[:, 0]).sum() < MOST_SATURATED * len(is_bad):
            for first, stop in at:
                is_bad[first:stop] = True


def _is_excluded(exclude_s, first_frame, stop_frame, sampling_frequency):
    times = np.arange(first_frame, stop_frame) / sampling_frequency
    is_excluded = np.zeros(len(times), dtype=bool)
    for start, stop in exclude_s:
        is_excluded |= (times >= start) & (times < stop)
    return is_excluded


def _bridge(values, is_bad):
    """Put a line over the bad frames, in place; 0 where there are no others."""
    if not is_bad.any():
        return
    if is_bad.all():
        values[:] = 0
        return
    frames = np.flatnonzero(is_bad)
    # Good frames beside the bad ones; a line between two of them passes over bad frames alone.
    beside = np.unique(np.concatenate([frames - 1, frames + 1]))
    beside = beside[(beside >= 0) & (beside < len(values))]
    beside = beside[~is_bad[beside]]
    values[frames] = np.interp(frames, beside, values[beside])
