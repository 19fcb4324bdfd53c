"""
Whitening over time and over neighbouring channels.

Template matching is optimal only in white noise (Turin 1960). Afterwards the noise of every channel has standard
deviation 1, without correlation over time or between neighbours.
"""

import numba
import numpy as np
from spikeinterface.core import BaseRecording, get_chunk_with_margin
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import CACHED_FRAMES, tiles
from ..compiled import COMPILED
from ..geometry import recording_geometry
from .artefacts import artefact_rule, blank_artefacts
from .estimate_whitening import estimate_whitening
from .traces import check_finite
from .whitening import Whitening, filter_over_time

# Largest white value, in noise standard deviations: the cache holds half-precision floats, which end at 65504.
LARGEST = 6e4
# Channels that are whitened by one matrix product. Whitening is local, so that few channels need few others.
GROUP_CHANNELS = 32


class WhitenTimeSpaceRecording(BasePreprocessor):
    """
    Lazily whitens the traces and blanks artefacts; float32.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit, with a probe.
    order : int, default: 24
        Order of the autoregressive filter over time; 0 whitens over channels alone.
    radius_um : float, default: 100.0
        Channels of a shank this close are decorrelated from each other.
    seed : int, default: 0
        Random seed of the chunks from which noise is estimated.
    time_filter, space_matrix : np.ndarray | list | None, default: None
        The whitening, if it was estimated before: a saved recording holds it. See `Whitening`.

    Attributes
    ----------
    whitening : Whitening
        The filter and the matrix that are applied.

    Raises
    ------
    ValueError
        If traces are not finite or not centred on 0, or if there is no probe.
    """

    def __init__(
        self,
        recording: BaseRecording,
        order: int = 24,
        radius_um: float = 100.0,
        seed: int = 0,
        time_filter: np.ndarray | list | None = None,
        space_matrix: np.ndarray | list | None = None,
    ):
        if time_filter is None or space_matrix is None:
            self.whitening = estimate_whitening(recording, order=order, radius_um=radius_um, seed=seed)
        else:
            self.whitening = Whitening(np.asarray(time_filter), np.asarray(space_matrix))
        BasePreprocessor.__init__(self, recording, dtype="float32")
        is_living = np.any(self.whitening.space_matrix != 0, axis=0)
        rule = artefact_rule(*recording_geometry(recording), is_living, recording.get_sampling_frequency())
        for segment in recording.segments:
            self.add_recording_segment(_WhitenTimeSpaceSegment(segment, self.whitening, rule))
        self.set_channel_gains(1.0)
        self.set_channel_offsets(0.0)
        self._kwargs = dict(
            recording=recording,
            order=order,
            radius_um=radius_um,
            seed=seed,
            time_filter=self.whitening.time_filter,
            space_matrix=self.whitening.space_matrix,
        )


class _WhitenTimeSpaceSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, whitening, rule):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.time_filter, self.space_matrix = whitening.time_filter, whitening.space_matrix
        self.rule = rule
        self.order, self.products = _local_products(self.space_matrix)
        self.places = np.argsort(self.order)

    def get_traces(self, start_frame, end_frame, channel_indices):
        """White traces, (num_frames, num_channels), float32; the same whatever the chunks."""
        reach = self.rule.margin
        margin = len(self.time_filter) - 1 + reach
        traces, _, _ = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, None, margin, add_reflect_padding=True
        )
        traces = traces[: len(traces) - margin + reach].astype("float32", copy=False)
        check_finite(traces, f"between frames {start_frame} and {end_frame}")
        whitened = self._whiten(traces, start_frame - reach)
        blank_artefacts(whitened, self.rule)
        whitened = whitened[reach : len(whitened) - reach]
        return whitened if channel_indices is None else whitened[:, channel_indices]

    def _whiten(self, traces, first_frame):
        """White traces from `first_frame` on; the given traces start `order` frames earlier."""
        order = len(self.time_filter) - 1
        num_frames = len(traces) - order
        whitened = np.empty((num_frames, traces.shape[1]), dtype="float32")
        # Always products of a whole tile: on some machines the last bits of a row depend on the number of rows.
        block, products = np.zeros((2, CACHED_FRAMES, traces.shape[1]), dtype="float32")
        for _, in_tile, in_chunk in tiles(first_frame, first_frame + num_frames, CACHED_FRAMES):
            stretch = np.ascontiguousarray(traces[in_chunk.start : in_chunk.stop + order])
            _take_channels(filter_over_time(stretch, self.time_filter), self.order, block[in_tile])
            for channels, seen, weights in self.products:
                products[:, channels] = block[:, seen] @ weights
            _put_channels(products[in_tile], self.places, np.float32(LARGEST), whitened[in_chunk])
        return whitened


def _local_products(matrix):
    """
    Order channels so that those whitened together are neighbours, and group them.

    Returns
    -------
    order : np.ndarray, shape (num_channels,), int
    groups : list of tuple
        Ordered channels of each group, the stretch of ordered channels that they need, and their weights. The rest is
        0.
    """
    used = matrix != 0
    first, last = used.argmax(axis=0), len(used) - used[::-1].argmax(axis=0)
    order = np.argsort(first + last, kind="stable")
    matrix = matrix[order][:, order]
    groups = []
    for start in range(0, len(matrix), GROUP_CHANNELS):
        channels = slice(start, min(start + GROUP_CHANNELS, len(matrix)))
        rows = np.flatnonzero(np.any(matrix[:, channels] != 0, axis=1))
        if len(rows):
            seen = slice(rows[0], rows[-1] + 1)
            groups.append((channels, seen, np.ascontiguousarray(matrix[seen, channels])))
    return order, groups


@numba.njit(**COMPILED)
def _take_channels(traces, order, taken):
    """Write traces with their channels in an order to `taken`."""
    for frame in range(len(traces)):
        for place in range(len(order)):
            taken[frame, place] = traces[frame, order[place]]


@numba.njit(**COMPILED)
def _put_channels(traces, places, largest, put):
    """Write traces to `put`, each channel from its place in an order of channels, within +-`largest`."""
    for frame in range(len(traces)):
        for channel in range(len(places)):
            put[frame, channel] = min(max(traces[frame, places[channel]], -largest), largest)


whiten_time_space = define_function_from_class(source_class=WhitenTimeSpaceRecording, name="whiten_time_space")
