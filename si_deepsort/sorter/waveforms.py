"""
Waveforms around many peaks or spikes, read in one pass over the recording.

SpikeInterface's waveform extractors hold all waveforms at once; here a chunk's waveforms are handed on and forgotten.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from spikeinterface.core import BaseRecording

from ..chunks import chunk_frames
from ..compiled import COMPILED
from ..preprocessing.half_precision import single_from_bits, stored_halves
from ..threads import each

# Seconds of traces that are read at once, unless there are so many channels that memory asks for fewer.
CHUNK_S = 2.0


def read_waveforms(
    recording: BaseRecording,
    peaks: np.ndarray,
    neighbors: np.ndarray,
    *,
    nbefore: int,
    nafter: int,
    chunk_s: float = CHUNK_S,
    describe: Callable[[np.ndarray, np.ndarray], Any] | None = None,
) -> Iterator[tuple[np.ndarray, Any]]:
    """
    Waveforms of peaks on the channels around them, chunk by chunk: memory does not grow with the number of peaks.

    Several threads may read, see `si_deepsort.threads`.

    Parameters
    ----------
    recording : BaseRecording
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels that are read around each channel; -1 where there are fewer.
    nbefore, nafter : int
        Samples before and from the peak on.
    chunk_s : float, default: CHUNK_S
        Longest chunk in seconds.
    describe : callable | None, default: None
        Takes positions and waveforms, and returns what is to be handed on instead of the waveforms.

    Yields
    ------
    positions : np.ndarray, shape (num_read,), int
        Positions in `peaks`.
    waveforms : np.ndarray, shape (num_read, nbefore + nafter, max_neighbors), float32
        0 beyond the ends of the recording and where there is no neighbour.
    """
    num_samples = nbefore + nafter

    def read(chunk):
        segment_index, start, stop, positions = chunk
        begin, end = max(0, start - num_samples), min(recording.get_num_frames(segment_index), stop + num_samples)
        traces = stored_traces(recording, segment_index, begin, end)
        onsets = peaks["sample_index"][positions].astype("int64") - begin - nbefore
        waveforms = cut_out(traces, onsets, neighbors[peaks["channel_index"][positions]], num_samples)
        return positions, waveforms if describe is None else describe(positions, waveforms)

    yield from each(read, chunks_with_events(recording, peaks, chunk_s))


def chunks_with_events(recording: BaseRecording, events, chunk_s) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Segment, first frame and end of each chunk that holds events (peaks or spikes), and their positions."""
    chunk = chunk_frames(recording, chunk_s)
    for segment_index in range(recording.get_num_segments()):
        own = np.flatnonzero(events["segment_index"] == segment_index)
        frames = events["sample_index"][own]
        num_frames = recording.get_num_frames(segment_index)
        for start in range(0, num_frames, chunk):
            # Spikes that an alignment has moved beyond the end are skipped.
            stop = min(start + chunk, num_frames)
            first, last = np.searchsorted(frames, [start, stop])
            if first < last:
                yield segment_index, start, stop, own[first:last]


def stored_traces(recording: BaseRecording, segment_index: int, begin: int, end: int) -> np.ndarray:
    """
    Traces from one frame to another, for `cut_out`; most of them are never looked at.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32 | uint16
        Where a recording holds half-precision numbers, their bits, which are not read from a file yet.
    """
    halves = stored_halves(recording)
    if halves is None:
        return np.ascontiguousarray(recording.get_traces(segment_index, begin, end), dtype="float32")
    bits = np.ascontiguousarray(halves.get_traces(segment_index, begin, end)).view("uint16")
    bits.flags.writeable = False  # as those of a file: numba compiles what may be written apart
    return bits


def single(stored):
    """Single-precision number of a float, which is itself, or of the bits of a half-precision number."""
    raise NotImplementedError("Only compiled code uses this function.")


@overload(single, inline="always")
def _single_of(stored):
    if isinstance(stored, numba.types.Float):
        return lambda stored: stored
    return lambda stored: single_from_bits(stored)


def cut_out(traces: np.ndarray, onsets: np.ndarray, channels: np.ndarray, num_samples: int) -> np.ndarray:
    """
    Cut waveforms out of traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
        From `stored_traces`.
    onsets : np.ndarray, shape (num_spikes,), int
        First frame of each waveform; it may lie outside.
    channels : np.ndarray, shape (num_spikes, num_places), int
        Channels of each waveform; -1 for an empty place.
    num_samples : int

    Returns
    -------
    np.ndarray, shape (num_spikes, num_samples, num_places), float32
        0 outside the traces and at empty places.
    """
    waveforms = np.zeros((len(onsets), num_samples, channels.shape[1]), dtype="float32")
    _cut_out(traces, onsets, channels, waveforms)
    return waveforms


@numba.njit(**COMPILED)
def _cut_out(traces, onsets, channels, waveforms):
    num_samples = waveforms.shape[1]
    for spike in range(len(onsets)):
        first, last = max(0, -onsets[spike]), min(num_samples, len(traces) - onsets[spike])
        for sample in range(first, last):
            for place in range(channels.shape[1]):
                if channels[spike, place] >= 0:
                    waveforms[spike, sample, place] = single(traces[onsets[spike] + sample, channels[spike, place]])
