"""
Band-pass and common reference: what SpikeInterface's preprocessors compute, in a quarter of the time.

SciPy filters one channel after the other and copies all traces several times; here all channels of a frame go through
the filter side by side. The first and last milliseconds of a segment differ, where what lies beyond is guessed.
"""

import numba
import numpy as np
import scipy.signal
from spikeinterface.core import get_chunk_with_margin
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import CACHED_FRAMES
from ..noise import medians

ORDER = 2
# Periods of the lower edge after which nothing is left of where the filter started.
MARGIN_PERIODS = 3.0


class BandPassRecording(BasePreprocessor):
    """
    Lazily band-passed recording, by a Bessel filter of order 2 that runs forth and back.

    Parameters
    ----------
    recording : BaseRecording
        Of any type.
    freq_min, freq_max : float
        Edges in Hz.
    """

    def __init__(self, recording, freq_min, freq_max):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        self.annotate(is_filtered=True)
        if "offset_to_uV" in self.get_property_keys():
            self.set_channel_offsets(0)  # a constant does not pass
        sampling_frequency = recording.get_sampling_frequency()
        band = (freq_min, freq_max)
        sections = scipy.signal.iirfilter(ORDER, band, ftype="bessel", fs=sampling_frequency, output="sos")
        margin = round(MARGIN_PERIODS * sampling_frequency / freq_min)
        for segment in recording.segments:
            self.add_recording_segment(_BandPassSegment(segment, sections, margin))
        self._kwargs = dict(recording=recording, freq_min=freq_min, freq_max=freq_max)


class _BandPassSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, sections, margin):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.sections, self.margin = sections, margin

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Band-passed traces, (num_frames, num_channels), float32; the same whatever the chunks, up to rounding."""
        traces, left, right = get_chunk_with_margin(
            self.parent_recording_segment,
            start_frame,
            end_frame,
            channel_indices,
            self.margin,
            add_reflect_padding=True,
        )
        filtered = np.array(traces, dtype="float32", order="C")
        filter_forth_and_back(filtered, self.sections)
        return filtered[left : len(filtered) - right]


def filter_forth_and_back(traces: np.ndarray, sections: np.ndarray) -> None:
    """
    Filter each channel forth and back, in place.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        What was before and after them is taken to be as their first and last frame.
    sections : np.ndarray, shape (num_sections, 6), float
        Second-order sections as SciPy has them, which together do not let a constant pass.
    """
    for frame, step in ((0, 1), (len(traces) - 1, -1)):
        if len(traces):
            traces -= traces[frame].copy()  # a constant does not pass, and would cost precision
            _filter(traces, sections.astype("float32"), frame, step)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _filter(traces, sections, frame, step):
    """Filter from a frame on, in place and in either direction, by the transposed direct form II."""
    num_frames, num_channels = traces.shape
    state = np.zeros((len(sections), 2, num_channels), dtype=np.float32)
    for _ in range(num_frames):
        row = traces[frame]
        for section in range(len(sections)):
            b0, b1, b2, _, a1, a2 = sections[section]
            first, second = state[section, 0], state[section, 1]
            for channel in range(num_channels):
                before = row[channel]
                after = b0 * before + first[channel]
                first[channel] = b1 * before - a1 * after + second[channel]
                second[channel] = b2 * before - a2 * after
                row[channel] = after
        frame += step


class MedianReferenceRecording(BasePreprocessor):
    """
    Lazily referenced recording: at each frame the median of each group of channels is subtracted.

    Parameters
    ----------
    recording : BaseRecording
        Of any type; float32 comes out.
    groups : list of list of int
        Indices of the channels of each group, such as the channels of a shank.
    """

    def __init__(self, recording, groups):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        indices = [np.asarray(group) for group in groups]
        for segment in recording.segments:
            self.add_recording_segment(_MedianReferenceSegment(segment, indices))
        self._kwargs = dict(recording=recording, groups=[list(map(int, group)) for group in groups])


class _MedianReferenceSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, groups):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.groups = groups

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces, (num_frames, num_channels), less the median of their group."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        referenced = traces.copy()
        for start in range(0, len(traces), CACHED_FRAMES):
            block = referenced[start : start + CACHED_FRAMES]
            for group in self.groups:
                if len(group) == traces.shape[1]:
                    block -= medians(block)[:, None]
                else:
                    block[:, group] -= medians(block[:, group])[:, None]
        return referenced if channel_indices is None else referenced[:, channel_indices]


band_pass_forth_and_back = define_function_from_class(source_class=BandPassRecording, name="band_pass_forth_and_back")
subtract_medians = define_function_from_class(source_class=MedianReferenceRecording, name="subtract_medians")
