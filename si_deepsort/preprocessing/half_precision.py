"""
Traces stored as half-precision floats and read as single-precision floats.

NumPy needs several times as long for the conversions (64 against 1.6 ms for a chunk that is read).
"""

import numba
import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..compiled import COMPILED, INNER

# Single precision stores exponents plus 127, half precision plus 15 (IEEE 754); this factor makes up for it.
REBIAS = np.float32(2.0 ** (127 - 15))


# Smallest number that half precision holds with all its digits, and the distance between two numbers below it.
SMALLEST_NORMAL, SUBNORMAL_STEP = np.float32(2.0**-14), np.float32(2.0**-24)
# To add and subtract this rounds a small number to a multiple of the distance: it is the same between .5 and 1.
ROUNDING = np.float32(0.75)


class RoundedRecording(BasePreprocessor):
    """
    Lazily rounds traces to the numbers that half precision holds, so that they are the same with and without a cache.

    Parameters
    ----------
    recording : BaseRecording
        Traces of dtype float32, all finite and of a size that half precision can hold (65504).

    Raises
    ------
    ValueError
        If the traces have another dtype.
    """

    def __init__(self, recording: BaseRecording):
        if recording.get_dtype() != np.float32:
            raise ValueError(
                f'The traces are {recording.get_dtype()}, expected float32: recording.astype("float32") converts them.'
            )
        BasePreprocessor.__init__(self, recording, dtype="float32")
        for segment in recording.segments:
            self.add_recording_segment(_RoundedSegment(segment))
        self._kwargs = dict(recording=recording)


class _RoundedSegment(BasePreprocessorSegment):
    def get_traces(self, start_frame, end_frame, channel_indices):
        """Rounded traces, (num_frames, num_channels), float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        return _rounded(traces)


round_to_half_precision = define_function_from_class(source_class=RoundedRecording, name="round_to_half_precision")


class SinglePrecisionRecording(BasePreprocessor):
    """
    Lazily converts half-precision traces to single precision.

    Parameters
    ----------
    recording : BaseRecording
        Traces of dtype float16, all finite.

    Raises
    ------
    ValueError
        If the traces have another dtype.
    """

    def __init__(self, recording: BaseRecording):
        _check_half(recording.get_dtype(), 'recording.astype("float32")')
        BasePreprocessor.__init__(self, recording, dtype="float32")
        for segment in recording.segments:
            self.add_recording_segment(_SinglePrecisionSegment(segment))
        self._kwargs = dict(recording=recording)


class _SinglePrecisionSegment(BasePreprocessorSegment):
    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces, (num_frames, num_channels), float32."""
        return to_single_precision(self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices))


single_precision = define_function_from_class(source_class=SinglePrecisionRecording, name="single_precision")


def stored_halves(recording: BaseRecording) -> BaseRecording | None:
    """The half-precision traces that a recording converts, to read a few of them; None if it reads others."""
    return recording.get_parent() if isinstance(recording, SinglePrecisionRecording) else None


def to_single_precision(halves: np.ndarray) -> np.ndarray:
    """
    Convert half-precision floats to single precision, without rounding.

    Parameters
    ----------
    halves : np.ndarray, float16
        Any shape; all finite. Inf and NaN would become finite numbers.

    Returns
    -------
    np.ndarray, float32
        The same numbers in the same shape.

    Raises
    ------
    ValueError
        If they are no half-precision floats.
    """
    _check_half(halves.dtype, 'traces.astype("float32")')
    singles = np.empty(halves.shape, dtype="float32")
    bits = np.ascontiguousarray(halves).view("uint16").ravel()
    bits.flags.writeable = False  # as those of a file: numba compiles what may be written apart
    _move_bits(bits, singles.ravel())
    return singles


def to_half_precision(singles: np.ndarray) -> np.ndarray:
    """
    Round single-precision floats to half precision, as NumPy does (to the nearest, ties to even).

    Parameters
    ----------
    singles : np.ndarray, float32
        Any shape; all finite, and at most 65504.

    Returns
    -------
    np.ndarray, float16
        In the same shape.
    """
    rounded = _rounded(singles)
    halves = np.empty(singles.shape, dtype="uint16")
    _take_bits(rounded.ravel(), rounded.view("uint32").ravel(), halves.ravel())
    return halves.view("float16")


def _check_half(dtype, remedy):
    if np.dtype(dtype) != np.float16:
        raise ValueError(f"The traces are {np.dtype(dtype)}, expected float16. Convert them by {remedy} instead.")


@numba.njit(**INNER)
def single_from_bits(half):
    """Single-precision number whose half-precision bits are given: sign, exponent and mantissa go to their places."""
    bits = np.uint32(half)
    moved = ((bits & np.uint32(0x8000)) << np.uint32(16)) | ((bits & np.uint32(0x7FFF)) << np.uint32(13))
    return np.uint32(moved).view(np.float32) * REBIAS


@numba.njit(**COMPILED)
def _move_bits(halves, singles):
    """Fill `singles` from the bits of half-precision numbers."""
    for place in range(len(halves)):
        singles[place] = single_from_bits(halves[place])


def _rounded(singles):
    """Single-precision numbers, rounded to half precision."""
    singles, rounded = np.ascontiguousarray(singles), np.empty(singles.shape, dtype="float32")
    _round(singles.ravel(), singles.ravel().view("uint32"), rounded.ravel(), rounded.ravel().view("uint32"))
    return rounded


@numba.njit(**COMPILED)
def _round(singles, bits, rounded, places):
    """Round to half precision; `rounded`, with its bits `places`, is filled in place."""
    for place in range(len(singles)):
        if abs(singles[place]) < SMALLEST_NORMAL:
            rounded[place] = (singles[place] + ROUNDING) - ROUNDING
        else:
            own = bits[place]
            tie = (own >> np.uint32(13)) & np.uint32(1)
            places[place] = (own + np.uint32(0xFFF) + tie) & np.uint32(0xFFFFE000)


@numba.njit(**COMPILED)
def _take_bits(rounded, bits, halves):
    """Move the bits of rounded numbers to their places in half precision; `halves` is filled in place."""
    for place in range(len(rounded)):
        sign = (bits[place] >> np.uint32(16)) & np.uint32(0x8000)
        if abs(rounded[place]) < SMALLEST_NORMAL:
            magnitude = np.uint32(abs(rounded[place]) / SUBNORMAL_STEP)
        else:
            magnitude = ((bits[place] >> np.uint32(13)) & np.uint32(0x3FFFF)) - np.uint32(112 << 10)
        halves[place] = np.uint16(sign | magnitude)
