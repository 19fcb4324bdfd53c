"""
White traces whose last steps are computed on a GPU: filter, line noise, reference, motion correction and whitening.

The lazy recordings say what is to be computed; traces go to the device as they are stored, and come back white. Steps
before the last one that is known here, such as filled blanks, are computed on the CPU.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import scipy.signal
import torch
from spikeinterface.core import BaseRecording, get_chunk_with_margin
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import tiles
from ..on_device import DeviceStep, device_for, made_on_device
from .band_pass import TILE_MARGINS, _BandPassSegment
from .device_lines import LineFitOnDevice
from .device_steps import band_pass_tiles, blank_loud_frames, reflected, subtract_shared, whiten_channels
from .half_precision import to_half_precision, to_single_precision
from .line_noise import _RemoveLinesSegment
from .motion_interpolation import _FollowMotionSegment
from .reference import _MedianReferenceSegment
from .traces import check_finite
from .whiten import LARGEST, WhitenTimeSpaceRecording


class WhiteOnDeviceRecording(BasePreprocessor):
    """
    The traces of a whitened recording, computed on a device; float32, rounded to half precision.

    They come back in half precision, as all steps of the sorter read them: half the bytes, and rounded in passing.

    Parameters
    ----------
    recording : WhitenTimeSpaceRecording
    device : str
        As `on_device.device_for` takes it, "cpu" excepted.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """

    def __init__(self, recording: WhitenTimeSpaceRecording, device: str):
        found = device_for(device)
        assert found is not None, f"device={device!r} leaves the traces to compiled code on the CPU"
        BasePreprocessor.__init__(self, recording, dtype="float32")
        step = DeviceStep("whitening", found)
        for segment in recording.segments:
            self.add_recording_segment(_WhiteOnDeviceSegment(segment, step))
        self._kwargs = dict(recording=recording, device=device)


def on_device(white: WhitenTimeSpaceRecording, device: str) -> BaseRecording:
    """The traces computed on a device, see `WhiteOnDeviceRecording`; the recording itself for compiled code."""
    if device_for(device) is None:
        return white
    return made_on_device(lambda: WhiteOnDeviceRecording(white, device), white)


class _WhiteOnDeviceSegment(BasePreprocessorSegment):
    def __init__(self, white_segment, step):
        BasePreprocessorSegment.__init__(self, white_segment)
        self.step, self.white = step, _White(white_segment, step)

    def get_traces(self, start_frame, end_frame, channel_indices):
        """White traces, (num_frames, num_channels), float32."""
        # Threads read at the same time, and take turns on the device.
        traces = self.white.read(start_frame, end_frame)

        def on_device():
            white = self.white.compute(self.step.send(traces).T.contiguous(), start_frame, end_frame)
            rounded = white.T.to(torch.float16, memory_format=torch.contiguous_format)
            return rounded.cpu().numpy(), rounded

        def on_cpu():
            white = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
            return to_half_precision(white), None

        halves, there = self.step.run(on_device, on_cpu)
        white = to_single_precision(halves)
        if there is not None:
            # The last matching correlates these traces on the device.
            self.step.remember(white, there)
        is_whole = channel_indices is None or (isinstance(channel_indices, slice) and channel_indices == slice(None))
        return white if is_whole else white[:, channel_indices]


class _Computed(Protocol):
    """Traces of a segment in two parts: what the CPU reads, and what the device makes of it."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """What is needed for a stretch of frames, (num_frames, num_channels)."""

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Traces of the stretch, (num_channels, stop - start), from what was read for it, channel by channel."""


def _computed(segment, step: DeviceStep) -> _Computed:
    """How the traces of a segment are computed: on the device if its step is known here."""
    known: dict[type, Callable[[Any, DeviceStep], _Computed]] = {
        _BandPassSegment: _BandPass,
        _MedianReferenceSegment: _Reference,
        _FollowMotionSegment: _Motion,
        _RemoveLinesSegment: _Lines,
    }
    return known.get(type(segment), _Read)(segment, step)


class _Read:
    """Traces that the CPU reads, or computes."""

    def __init__(self, segment, step: DeviceStep):
        self.segment = segment

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.segment.get_traces(start, stop, slice(None))

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return traces


class _BandPass:
    """Band-passed traces, in the same tiles as on the CPU."""

    def __init__(self, segment: _BandPassSegment, step: DeviceStep):
        self.segment, self.step = segment, step
        self.margin, self.tile = segment.margin, TILE_MARGINS * segment.margin
        size = self.tile + 2 * self.margin
        _, response = scipy.signal.sosfreqz(segment.sections.astype("float64"), np.fft.rfftfreq(size), fs=1.0)
        # Forward and backward: the phase cancels.
        self.response = step.send(np.abs(response) ** 2)

    def _bounds(self, start: int, stop: int) -> tuple[int, int]:
        first = start // self.tile * self.tile
        return first, min(-(-stop // self.tile) * self.tile, self.segment.get_num_samples())

    def read(self, start: int, stop: int) -> np.ndarray:
        first, last = self._bounds(start, stop)
        parent = self.segment.parent_recording_segment
        return get_chunk_with_margin(parent, first, last, slice(None), self.margin, add_reflect_padding=True)[0]

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        first, last = self._bounds(start, stop)
        # The last frame stands for all frames after the end of a segment.
        missing = -(-(last - first) // self.tile) * self.tile - (last - first)
        if missing:
            traces = torch.cat([traces, traces[:, -1:].expand(-1, missing)], dim=1)
        filtered = band_pass_tiles(traces, self.response, self.step, tile=self.tile, margin=self.margin)
        return filtered[:, start - first : stop - first]


class _Lines:
    """Traces without line noise."""

    def __init__(self, segment: _RemoveLinesSegment, step: DeviceStep):
        self.parent = _computed(segment.parent_recording_segment, step)
        self.half, self.num_frames = segment.fit.half, segment.get_num_samples()
        self.fit = LineFitOnDevice(segment.fit, step)

    def _bounds(self, start: int, stop: int) -> tuple[int, int]:
        """Frames of the segment in the tiles that a stretch touches."""
        return max(start // self.half - 1, 0) * self.half, min((-(-stop // self.half) + 1) * self.half, self.num_frames)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.parent.read(*self._bounds(start, stop))

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        first, last = self._bounds(start, stop)
        traces = self.parent.compute(traces, first, last)
        # The first tile begins half of its length before the half that the stretch begins in.
        begin, end = (start // self.half - 1) * self.half, (-(-stop // self.half) + 1) * self.half
        lines = self.fit.lines(traces, before=first - begin, after=end - last)
        offset = start - (begin + self.half)
        return traces[:, start - first : stop - first] - lines[:, offset : offset + stop - start]


class _Reference:
    """Traces minus what their group of channels shares."""

    def __init__(self, segment: _MedianReferenceSegment, step: DeviceStep):
        self.parent, self.step = _computed(segment.parent_recording_segment, step), step
        self.groups = [torch.from_numpy(group).to(step.device) for group in segment.groups]
        self.gains = [None if own is None else torch.from_numpy(own).to(step.device) for own in segment.gains]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.parent.read(start, stop)

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        traces = self.parent.compute(traces, start, stop)
        subtract_shared(traces, self.groups, self.gains, self.step)
        return traces


class _Motion:
    """Traces at the positions that the tissue had before it moved."""

    def __init__(self, segment: _FollowMotionSegment, step: DeviceStep):
        self.parent = _computed(segment.parent_recording_segment, step)
        self.segment, self.step = segment, step

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.parent.read(start, stop)

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        traces = self.parent.compute(traces, start, stop)
        moved = torch.empty_like(traces)
        for first, in_step, inside in tiles(start, stop, self.segment.step):
            # Always a product of whole steps, as on the CPU.
            whole = traces.new_zeros((len(traces), self.segment.step))
            whole[:, in_step] = traces[:, inside]
            moved[:, inside] = (self.step.send(self.segment.matrix_from(first)).T @ whole)[:, in_step]
        return moved


class _White:
    """White traces, without artefacts."""

    def __init__(self, segment, step: DeviceStep):
        self.parent, self.step = _computed(segment.parent_recording_segment, step), step
        self.rule, self.num_frames = segment.rule, segment.get_num_samples()
        self.order = len(segment.time_filter) - 1
        self.taps = step.send(segment.time_filter[::-1].copy())
        self.matrix = step.send(segment.space_matrix.T)

    def _bounds(self, start: int, stop: int) -> tuple[int, int]:
        """Frames of the segment on which a stretch depends."""
        reach = self.rule.margin
        return max(0, start - reach - self.order), min(self.num_frames, stop + reach)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.parent.read(*self._bounds(start, stop))

    def compute(self, traces: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        reach, (first, last) = self.rule.margin, self._bounds(start, stop)
        traces = self.parent.compute(traces, first, last)
        if not torch.isfinite(traces).all():
            check_finite(traces.T.cpu().numpy(), f"between frames {start} and {stop}")
        traces = reflected(traces, first - (start - reach - self.order), stop + reach - last)
        place = dict(largest=LARGEST, first_frame=start - reach)
        white = whiten_channels(traces, self.taps, self.matrix, self.step, **place)
        blank_loud_frames(white, self.rule)
        return white[:, reach : white.shape[1] - reach]
