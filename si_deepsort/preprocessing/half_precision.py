"""Traces kept as half-precision floats, read as single-precision ones several times faster than NumPy converts them."""

import numba
import numpy as np
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

# Exponents of single precision count from 127, those of half precision from 15.
REBIAS = np.float32(2.0 ** (127 - 15))


class SinglePrecisionRecording(BasePreprocessor):
    """
    Lazily converted recording; float32.

    Parameters
    ----------
    recording : BaseRecording
        float16, all finite.
    """

    def __init__(self, recording):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        for segment in recording.segments:
            self.add_recording_segment(_SinglePrecisionSegment(segment))
        self._kwargs = dict(recording=recording)


class _SinglePrecisionSegment(BasePreprocessorSegment):
    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces, (num_frames, num_channels), float32."""
        return to_single_precision(self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices))


single_precision = define_function_from_class(source_class=SinglePrecisionRecording, name="single_precision")


def to_single_precision(halves: np.ndarray) -> np.ndarray:
    """
    The same numbers as float32.

    Parameters
    ----------
    halves : np.ndarray, float16
        All finite: inf and NaN do not come out as such.
    """
    singles = np.empty(halves.shape, dtype="float32")
    _move_bits(np.ascontiguousarray(halves).view("uint16").ravel(), singles.ravel())
    return singles


@numba.njit(cache=True, nogil=True)
def _move_bits(halves, singles):
    """The sign to the top, exponent and mantissa to where single precision has them; in place."""
    for place in range(len(halves)):
        bits = np.uint32(halves[place])
        moved = ((bits & np.uint32(0x8000)) << np.uint32(16)) | ((bits & np.uint32(0x7FFF)) << np.uint32(13))
        singles[place] = np.uint32(moved).view(np.float32) * REBIAS
