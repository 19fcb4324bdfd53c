"""
Blanks: stretches in which somebody has set all channels to a constant, such as 0, to hide an artefact.

In a recording with an offset a blank of zeros begins and ends with a large step, at which a band-pass rings for many
milliseconds and hides spikes. The usual value of each channel makes hardly any step.
"""

import numpy as np
from spikeinterface.core import BaseRecording, get_chunk_with_margin
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..noise import blank_frames, medians, sample_traces, shortest_blank

# Chunks in which blanks are looked for, and their duration in s.
NUM_CHUNKS, CHUNK_S = 100, 0.1


class FillBlanksRecording(BasePreprocessor):
    """
    Lazily sets blanks to the usual value of each channel; the dtype of the parent.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit.
    values : list of float
        The usual value of each channel in the unit of the traces.
    """

    def __init__(self, recording: BaseRecording, values: list[float]):
        BasePreprocessor.__init__(self, recording)
        num_frames = shortest_blank(recording)
        own = np.asarray(values).astype(recording.get_dtype())
        for segment in recording.segments:
            self.add_recording_segment(_FillBlanksSegment(segment, own, num_frames))
        self._kwargs = dict(recording=recording, values=list(map(float, values)))


class _FillBlanksSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, values, num_frames):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.values, self.num_frames = values, num_frames

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces with filled blanks, (num_frames, num_channels); the same whatever the chunks."""
        traces, left, right = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, slice(None), self.num_frames
        )
        inside = slice(left, len(traces) - right)
        is_blank = blank_frames(traces, self.num_frames)[inside]
        channels = slice(None) if channel_indices is None else channel_indices
        filled = traces[inside][:, channels]
        if is_blank.any():
            filled = filled.copy()
            filled[is_blank] = self.values[channels]
        return filled


fill_with_values = define_function_from_class(source_class=FillBlanksRecording, name="fill_with_values")


def fill_blanks(recording: BaseRecording, *, seed: int = 0) -> tuple[BaseRecording, float]:
    """
    Set blanks to the usual value of each channel, if there are blanks.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered traces of any dtype and unit.
    seed : int, default: 0
        Seed of the chunks in which blanks are looked for.

    Returns
    -------
    recording : BaseRecording
        Lazy; the recording itself if no blank is found, or if all channels are constant throughout.
    share : float
        Share of the frames that lie in blanks.
    """
    traces = sample_traces(recording, seed=seed, num_chunks=NUM_CHUNKS, chunk_s=CHUNK_S)
    is_blank = blank_frames(traces, shortest_blank(recording))
    if not is_blank.any() or is_blank.all():
        return recording, float(is_blank.all())
    values = medians(traces[~is_blank].T)
    if not np.isfinite(values).all():
        return recording, float(is_blank.mean())
    return fill_with_values(recording, values=values.tolist()), float(is_blank.mean())
