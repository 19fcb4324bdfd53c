"""
A recording with known spikes added to it, lazily; the spikes are in a folder, so that other processes read the same.

SpikeInterface's `InjectTemplatesRecording` cuts off the fractions of integer traces, wraps around at the ends of their
range, and writes all templates into its description. Here traces are rounded and saturate, as an amplifier's do, and
only the folder is named.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..generation.injection import widening_slopes
from .traces import cast_traces, output_dtype

SPIKES_FILE = "injected.npz"


@dataclass(frozen=True, eq=False, kw_only=True)
class InjectedSpikes:
    """
    Spikes to be added, in the order of segment and frame.

    Attributes
    ----------
    templates : np.ndarray, shape (num_templates, num_samples, num_channels), float32
        In the unit of the traces. A unit that moves has a template for each displacement.
    nbefore : int
        Sample of the peak.
    frames, segment_indices : np.ndarray, shape (num_spikes,), int64
        Where the peaks lie.
    template_indices : np.ndarray, shape (num_spikes,), int64
    amplitudes, widening : np.ndarray, shape (num_spikes,), float32
        Relative to the template: size, and by how much the spike is wider.
    """

    templates: np.ndarray
    nbefore: int
    frames: np.ndarray
    segment_indices: np.ndarray
    template_indices: np.ndarray
    amplitudes: np.ndarray
    widening: np.ndarray

    def save(self, folder: str | Path) -> None:
        """Write `injected.npz` into a folder, which is made if it is missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            Path(folder) / SPIKES_FILE, **{record.name: getattr(self, record.name) for record in fields(self)}
        )

    @classmethod
    def load(cls, folder: str | Path) -> "InjectedSpikes":
        """
        Read what `save` wrote.

        Raises
        ------
        ValueError
            If there is no such file.
        """
        file = Path(folder) / SPIKES_FILE
        if not file.exists():
            raise ValueError(f"There is no {SPIKES_FILE} in {folder}: the injected spikes were moved or deleted.")
        with np.load(file) as data:
            values = {record.name: data[record.name] for record in fields(cls)}
        return cls(**{**values, "nbefore": int(values["nbefore"])})


class HybridRecording(BasePreprocessor):
    """
    Lazily adds known spikes to a recording; the dtype stays, integers are rounded and saturate.

    Parameters
    ----------
    recording : BaseRecording
        Traces of any dtype and unit.
    folder : str | Path
        Holds the spikes, see `InjectedSpikes.save`.

    Raises
    ------
    ValueError
        If there are no spikes in the folder, or their templates have another number of channels.
    """

    def __init__(self, recording: BaseRecording, folder: str | Path):
        dtype = output_dtype(recording, None)
        spikes = InjectedSpikes.load(folder)
        if spikes.templates.shape[2] != recording.get_num_channels():
            raise ValueError(
                f"The injected spikes in {folder} have {spikes.templates.shape[2]} channels, the recording has "
                f"{recording.get_num_channels()}. Give the recording for which they were made."
            )
        BasePreprocessor.__init__(self, recording, dtype=dtype)
        # Single precision holds all integers of 16 bits, not those of 32.
        work = np.result_type(dtype, "float32")
        slopes = widening_slopes(spikes.templates, spikes.nbefore)
        for index, segment in enumerate(recording.segments):
            own = spikes.segment_indices == index
            self.add_recording_segment(_HybridSegment(segment, spikes, slopes, own, dtype=dtype, work=work))
        self._kwargs = dict(recording=recording, folder=str(Path(folder).absolute()))


class _HybridSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, spikes, slopes, own, *, dtype, work):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.templates, self.slopes, self.dtype, self.work = spikes.templates, slopes, dtype, work
        # First frames of the spikes' templates.
        self.starts = spikes.frames[own] - spikes.nbefore
        self.which, self.amplitudes = spikes.template_indices[own], spikes.amplitudes[own]
        self.widening = spikes.widening[own]

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces with spikes, (num_frames, num_channels), of the dtype of the parent; the same whatever the chunks."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        num_samples = self.templates.shape[1]
        first, last = np.searchsorted(self.starts, [start_frame - num_samples + 1, end_frame])
        if first == last:
            return traces
        channels = slice(None) if channel_indices is None else channel_indices
        sums = traces.astype(self.work)
        for spike in range(first, last):
            template = self.which[spike]
            shape = self.templates[template][:, channels] + self.widening[spike] * self.slopes[template][:, channels]
            low, high = max(self.starts[spike], start_frame), min(self.starts[spike] + num_samples, end_frame)
            part = shape[low - self.starts[spike] : high - self.starts[spike]]
            sums[low - start_frame : high - start_frame] += self.amplitudes[spike] * part
        return cast_traces(sums, self.dtype)


hybrid = define_function_from_class(source_class=HybridRecording, name="hybrid")
