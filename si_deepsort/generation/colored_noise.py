"""Noise with a given spectrum and spatial correlation, as a lazy recording."""

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe

from ..geometry import recording_geometry
from ..noise import (
    NEUROPIXELS_NOISE_FREQUENCIES,
    NEUROPIXELS_NOISE_POWER,
    noise_filter,
    spatial_correlation,
    synthesize_noise,
)
from .settings import GenerationSettings


class ColoredNoiseRecording(si.BaseRecording):
    """
    Endless-precision noise with a given spectrum and spatial correlation, as a lazy recording.

    Any stretch equals that stretch of the whole, whatever was asked before.
    """

    def __init__(self, probe: Probe, settings: GenerationSettings, noise_power=None):
        channel_ids = [str(channel) for channel in range(probe.get_contact_count())]
        si.BaseRecording.__init__(self, settings.sampling_frequency, channel_ids, "float32")
        self.set_probe(probe)
        locations, shanks = recording_geometry(self)
        frequencies, power = noise_power or (NEUROPIXELS_NOISE_FREQUENCIES, NEUROPIXELS_NOISE_POWER)
        covariance = spatial_correlation(
            locations,
            correlation=settings.noise_correlation,
            length_um=settings.noise_length_um,
            shanks=shanks,
        )
        mixing = settings.noise_uV * np.linalg.cholesky(covariance + 1e-6 * np.eye(len(locations)))
        taps = noise_filter(np.asarray(frequencies), np.asarray(power), settings.sampling_frequency)
        num_frames = round(settings.duration_s * settings.sampling_frequency)
        self.add_recording_segment(_ColoredNoiseSegment(taps, mixing, settings, num_frames))
        self._serializability = {"json": False, "pickle": False, "memory": True}


class _ColoredNoiseSegment(si.BaseRecordingSegment):
    def __init__(self, taps, mixing, settings, num_frames):
        si.BaseRecordingSegment.__init__(self, sampling_frequency=settings.sampling_frequency)
        self.taps, self.mixing, self.seed, self.num_frames = taps, mixing, settings.seed, num_frames

    def get_num_samples(self):
        return self.num_frames

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Noise, (num_frames, num_channels), the same however it is cut into chunks."""
        traces = synthesize_noise(start_frame, end_frame, taps=self.taps, mixing=self.mixing, seed=self.seed)
        return traces if channel_indices is None else traces[:, channel_indices]
