"""Traces divided by the level that their noise has at each time."""

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment


class EvenNoiseRecording(BasePreprocessor):
    """
    Lazily divides white traces by their noise levels, interpolated between the middles of the chunks; float32.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    chunk_frames : int
        Frames of a chunk.
    levels : list of list
        Noise levels of each segment, (num_chunks, num_channels).
    """

    def __init__(self, recording: BaseRecording, chunk_frames: int, levels: list):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        for segment, own in zip(recording.segments, levels, strict=True):
            self.add_recording_segment(_EvenNoiseSegment(segment, chunk_frames, np.asarray(own, dtype="float32")))
        as_lists = [np.asarray(own).tolist() for own in levels]
        self._kwargs = dict(recording=recording, chunk_frames=chunk_frames, levels=as_lists)


class _EvenNoiseSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, chunk_frames, levels):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.chunk_frames, self.levels = chunk_frames, levels

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces divided by the noise level of each frame, (num_frames, num_channels)."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        levels = self.levels if channel_indices is None else self.levels[:, channel_indices]
        places = (np.arange(start_frame, end_frame) + 0.5) / self.chunk_frames - 0.5
        places = np.clip(places, 0, len(levels) - 1)
        before = places.astype(int)
        after = np.minimum(before + 1, len(levels) - 1)
        share = (places - before).astype("float32")[:, None]
        return traces / (levels[before] * (1 - share) + levels[after] * share)


with_even_noise = define_function_from_class(source_class=EvenNoiseRecording, name="with_even_noise")
