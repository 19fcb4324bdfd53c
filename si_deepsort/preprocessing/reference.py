"""Common median reference: noise that all channels of a shank share is subtracted."""

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import CACHED_FRAMES
from ..geometry import recording_geometry
from .frame_medians import frame_medians

# A spike is seen on several channels. The median of fewer channels than this holds spikes, not only common noise.
MIN_CHANNELS = 32


class MedianReferenceRecording(BasePreprocessor):
    """
    Lazily referenced recording: at each frame, the median of each group of channels is subtracted; float32.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit.
    groups : list of list of int
        Channel indices of each group, such as the channels of a shank. Channels of no group stay as they are.
    """

    def __init__(self, recording: BaseRecording, groups: list[list[int]]):
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
        """Traces minus the median of their group, (num_frames, num_channels), float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        referenced = np.empty_like(traces)
        for start in range(0, len(traces), CACHED_FRAMES):
            block, out = (part[start : start + CACHED_FRAMES] for part in (traces, referenced))
            if len(self.groups) == 1 and len(self.groups[0]) == traces.shape[1]:
                np.subtract(block, frame_medians(block)[:, None], out=out)
                continue
            out[:] = block
            for group in self.groups:
                out[:, group] -= frame_medians(block[:, group])[:, None]
        return referenced if channel_indices is None else referenced[:, channel_indices]


subtract_medians = define_function_from_class(source_class=MedianReferenceRecording, name="subtract_medians")


def common_reference(recording: BaseRecording) -> BaseRecording:
    """
    Subtract the median of each shank that has at least 32 channels.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit, with a probe.

    Returns
    -------
    BaseRecording
        Lazy, float32; the recording itself if no shank has enough channels.
    """
    _, shanks = recording_geometry(recording)
    groups = [np.flatnonzero(shanks == shank) for shank in np.unique(shanks)]
    large = [group for group in groups if len(group) >= MIN_CHANNELS]
    return subtract_medians(recording, groups=large) if large else recording
