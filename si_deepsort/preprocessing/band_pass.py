"""
Band-pass filter: what SpikeInterface's `bandpass_filter` computes, in a quarter of the time.

SciPy filters one channel after the other and copies all traces several times; here all channels of a frame go through
the filter side by side. The results differ only in the first and last milliseconds of a segment.
"""

import numba
import numpy as np
import scipy.signal
from spikeinterface.core import BaseRecording, get_chunk_with_margin
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import tiles
from ..compiled import COMPILED, INNER

# Order of the filter. The Bessel filter has the flattest delay, so that it hardly changes the shape of spikes.
ORDER = 2
# Margin on both sides, in periods of the lower edge: after it, the filter has forgotten where it started.
MARGIN_PERIODS = 3.0
# Margins in a tile: tiles are filtered one by one, each with a margin on both sides. Longer tiles repeat less of the
# work, and shorter ones fit better into the chunks that are read.
TILE_MARGINS = 8
# Lower edge, relative to the sampling frequency, below which the filter runs in double precision: in single precision
# its error would exceed 1e-4 of the signal there.
PRECISE_BELOW = 1e-3
# Largest upper edge, relative to the sampling frequency; a filter needs some room below half of it.
MOST_FREQ_MAX = 0.45


class BandPassRecording(BasePreprocessor):
    """
    Lazily band-passed recording, by a Bessel filter of order 2 that runs forward and backward; float32.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit.
    freq_min, freq_max : float
        Edges of the band in Hz. The upper edge is lowered to 0.45 times the sampling frequency where it is above that.

    Raises
    ------
    ValueError
        If the band is empty.
    """

    def __init__(self, recording: BaseRecording, freq_min: float, freq_max: float):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        self.annotate(is_filtered=True)
        if "offset_to_uV" in self.get_property_keys():
            self.set_channel_offsets(0)  # the filter removes a constant
        sampling_frequency = recording.get_sampling_frequency()
        band = (freq_min, min(freq_max, MOST_FREQ_MAX * sampling_frequency))
        if not 0 < band[0] < band[1]:
            raise ValueError(
                f"freq_min={freq_min:g} and freq_max={freq_max:g} Hz leave no band at a sampling frequency of "
                f"{sampling_frequency:g} Hz. Expected 0 < freq_min < freq_max, and freq_min below "
                f"{MOST_FREQ_MAX * sampling_frequency:g} Hz."
            )
        sections = scipy.signal.iirfilter(ORDER, band, ftype="bessel", fs=sampling_frequency, output="sos")
        dtype = "float64" if freq_min < PRECISE_BELOW * sampling_frequency else "float32"
        margin = round(MARGIN_PERIODS * sampling_frequency / freq_min)
        for segment in recording.segments:
            self.add_recording_segment(_BandPassSegment(segment, sections.astype(dtype), margin))
        self._kwargs = dict(recording=recording, freq_min=freq_min, freq_max=freq_max)


class _BandPassSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, sections, margin):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.sections, self.margin = sections, margin

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Band-passed traces, (num_frames, num_channels), float32; the same whatever the chunks."""
        margin, tile = self.margin, TILE_MARGINS * self.margin
        first = start_frame // tile * tile
        last = min(-(-end_frame // tile) * tile, self.get_num_samples())
        traces, _, _ = get_chunk_with_margin(
            self.parent_recording_segment, first, last, channel_indices, margin, add_reflect_padding=True
        )
        filtered = np.empty((end_frame - start_frame, traces.shape[1]), dtype="float32")
        for at, in_tile, in_chunk in tiles(start_frame, end_frame, tile):
            block = np.array(traces[at - first : at - first + tile + 2 * margin], dtype=self.sections.dtype, order="C")
            filter_forward_and_backward(block, self.sections)
            filtered[in_chunk] = block[margin:][in_tile]
        return filtered


def filter_forward_and_backward(traces: np.ndarray, sections: np.ndarray) -> None:
    """
    Filter each channel forward and backward, in place.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32 or float64
        The first and last frame stand for all frames before and after them.
    sections : np.ndarray, shape (num_sections, 6), of the same dtype
        Second-order sections in SciPy's order, which together remove a constant.
    """
    for frame, step in ((0, 1), (len(traces) - 1, -1)):
        if len(traces):
            traces -= traces[frame].copy()  # a constant is removed anyway, and would cost precision
            _filter(traces, sections, frame, step, np.zeros((len(sections), 2, traces.shape[1]), dtype=traces.dtype))


@numba.njit(fastmath=True, **COMPILED)
def _filter(traces, sections, frame, step, state):
    """Filter from a frame on, in place and in either direction, by the transposed direct form II; the state is 0."""
    for _ in range(len(traces)):
        for section in range(len(sections)):
            b0, b1, b2, _, a1, a2 = sections[section]
            _filter_frame(traces[frame], state[section, 0], state[section, 1], b0, b1, b2, a1, a2)
        frame += step


@numba.njit(fastmath=True, **INNER)
def _filter_frame(row, first, second, b0, b1, b2, a1, a2):
    """One section of the filter at one frame; the compiler vectorises it as a function of its own."""
    for channel in range(len(row)):
        before = row[channel]
        after = b0 * before + first[channel]
        first[channel] = b1 * before - a1 * after + second[channel]
        second[channel] = b2 * before - a2 * after
        row[channel] = after


band_pass = define_function_from_class(source_class=BandPassRecording, name="band_pass")
