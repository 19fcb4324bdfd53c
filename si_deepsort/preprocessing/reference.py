"""Common reference: noise that all channels of a shank share is subtracted."""

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import CACHED_FRAMES
from ..geometry import recording_geometry
from ..noise import sample_traces
from .frame_medians import frame_medians
from .shared_noise import (
    CHUNK_S,
    FEWEST_CHANNELS,
    MANY_CHANNELS,
    SharedNoise,
    living_frames,
    measure_bursts,
    measure_shared_noise,
    shared_signal,
)

# A spike is seen on several channels. The median of fewer channels than this holds spikes, not only common noise, so
# that it is subtracted only where channels share much noise.
MIN_CHANNELS = 32
# Chunks in which bursts of shared noise are looked for: 1,000 tiles, so that a share of .01 is known to .003.
BURST_CHUNKS = 100


class MedianReferenceRecording(BasePreprocessor):
    """
    Lazily referenced recording: at each frame, what each group of channels shares is subtracted; float32.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit.
    groups : list of list of int
        Channel indices of each group, such as the channels of a shank. Channels of no group stay as they are.
    gains : list | None, default: None
        For each group, what each channel holds of the shared signal, or None, which subtracts the median. See
        `shared_noise.shared_signal`.
    """

    def __init__(
        self, recording: BaseRecording, groups: list[list[int]], gains: list[list[float] | None] | None = None
    ):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        indices = [np.asarray(group) for group in groups]
        gains = [None] * len(indices) if gains is None else gains
        factors = [None if own is None else np.asarray(own, dtype="float32") for own in gains]
        for segment in recording.segments:
            self.add_recording_segment(_MedianReferenceSegment(segment, indices, factors))
        self._kwargs = dict(
            recording=recording,
            groups=[list(map(int, group)) for group in groups],
            gains=[None if own is None else list(map(float, own)) for own in factors],
        )


class _MedianReferenceSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, groups, gains):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.groups, self.gains = groups, gains

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces minus what their group shares, (num_frames, num_channels), float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        referenced = np.empty_like(traces)
        for start in range(0, len(traces), CACHED_FRAMES):
            block, out = (part[start : start + CACHED_FRAMES] for part in (traces, referenced))
            if len(self.groups) == 1 and len(self.groups[0]) == traces.shape[1] and self.gains[0] is None:
                np.subtract(block, frame_medians(block)[:, None], out=out)
                continue
            out[:] = block
            for group, gains in zip(self.groups, self.gains, strict=True):
                shared = shared_signal(block[:, group], gains)[:, None]
                out[:, group] -= shared if gains is None else shared * gains
        return referenced if channel_indices is None else referenced[:, channel_indices]


subtract_medians = define_function_from_class(source_class=MedianReferenceRecording, name="subtract_medians")


def common_reference(recording: BaseRecording) -> BaseRecording:
    """
    Subtract the median of each shank that has at least 32 channels, and from others the noise that they share.

    Shared noise is looked for in each shank, and in all smaller shanks together, such as tetrodes. Where it is strong,
    or comes in frequent strong bursts, what is subtracted is scaled for each channel.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces of any dtype and unit, with a probe.

    Returns
    -------
    BaseRecording
        Lazy, float32; the recording itself if there is nothing to subtract.
    """
    _, shanks = recording_geometry(recording)
    own = [np.flatnonzero(shanks == shank) for shank in np.unique(shanks)]
    if max(map(len, own)) < FEWEST_CHANNELS and len(shanks) < MANY_CHANNELS:
        return recording
    traces = living_frames(sample_traces(recording, chunk_s=CHUNK_S))
    groups, gains, others = [], [], []
    for group in _groups(traces, own):
        noise = measure_shared_noise(traces[:, group])
        if noise.is_strong or len(group) >= MIN_CHANNELS:
            groups.append(group)
            gains.append(noise.gains.tolist() if noise.is_strong else None)
        else:
            others.append(group)
    for group, noise in _bursts(recording, others):
        groups.append(group)
        gains.append(noise.gains.tolist())
    return subtract_medians(recording, groups=groups, gains=gains) if groups else recording


def _groups(traces, shanks):
    """Groups of channels that may share noise: those of a shank, and of all small shanks if they share much."""
    many = [shank for shank in shanks if len(shank) >= MANY_CHANNELS]
    few = [shank for shank in shanks if len(shank) < MANY_CHANNELS]
    together = np.concatenate(few) if len(few) > 1 else np.zeros(0, dtype=int)
    if len(together) >= MANY_CHANNELS and measure_shared_noise(traces[:, together]).is_strong:
        few = [together]
    return many + few


def _bursts(recording, groups) -> list[tuple[np.ndarray, SharedNoise]]:
    """Groups of many channels, all small ones together, that share frequent bursts of noise, and these."""
    few = [group for group in groups if len(group) < MANY_CHANNELS]
    looked_at = [group for group in groups if len(group) >= MANY_CHANNELS]
    looked_at += [np.concatenate(few)] if sum(map(len, few)) >= MANY_CHANNELS else []
    if not looked_at:
        return []
    traces = living_frames(sample_traces(recording, num_chunks=BURST_CHUNKS, chunk_s=CHUNK_S))
    found = [(group, measure_bursts(traces[:, group], recording.get_sampling_frequency())) for group in looked_at]
    return [(group, noise) for group, noise in found if noise is not None]
