"""Small recordings with known spikes, quick to make and easy to sort."""

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe

SAMPLING_FREQUENCY = 20_000.0


def line_probe(num_channels: int, pitch_um: float = 40.0) -> Probe:
    """Contacts on a line."""
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([np.zeros(num_channels), pitch_um * np.arange(num_channels)], axis=1))
    probe.set_device_channel_indices(np.arange(num_channels))
    return probe


def spike_shape(width_ms: float, sampling_frequency: float = SAMPLING_FREQUENCY):
    """A trough of a given width and a slow peak after it; returns the waveform and the sample of the trough."""
    milliseconds = np.arange(-1.0, 2.0, 1000 / sampling_frequency)
    trough = -np.exp(-((milliseconds / width_ms) ** 2))
    slow = 0.35 * np.exp(-(((milliseconds - 3.0 * width_ms) / (1.8 * width_ms)) ** 2))
    return trough + slow, int(np.argmin(trough))


def unit_templates(num_units: int, num_channels: int, amplitude_uV: float = 150.0) -> tuple[np.ndarray, int]:
    """Templates (units, samples, channels) whose channel, width and size differ."""
    templates = []
    for unit in range(num_units):
        shape, nbefore = spike_shape(0.12 + 0.06 * (unit % 3))
        center = (unit + 0.5) * num_channels / num_units - 0.5
        profile = np.exp(-np.abs(np.arange(num_channels) - center) / 0.8)
        templates.append(amplitude_uV * (1 + 0.3 * (unit % 2)) * shape[:, None] * profile[None] / profile.max())
    return np.asarray(templates), nbefore


def spike_trains(num_units: int, num_frames: int, rng, rate_hz: float = 8.0) -> list[np.ndarray]:
    """Sorted random times with a refractory period of 4 ms."""
    trains = []
    for _ in range(num_units):
        count = round(rate_hz * num_frames / SAMPLING_FREQUENCY)
        frames = np.sort(rng.integers(100, num_frames - 100, count))
        trains.append(frames[np.diff(frames, prepend=-1000) > 80])
    return trains


def add_spikes(traces: np.ndarray, trains, templates: np.ndarray, nbefore: int):
    """Add templates to traces in place; a train holds the samples of the troughs."""
    for template, frames in zip(templates, trains, strict=True):
        for frame in frames:
            traces[frame - nbefore : frame - nbefore + len(template)] += template


def small_traces(num_channels=4, num_units=3, duration_s=8.0, noise_uV=8.0, seed=0):
    """White noise with spikes in it: (traces in uV, float32), list of trains."""
    rng = np.random.default_rng(seed)
    num_frames = round(duration_s * SAMPLING_FREQUENCY)
    traces = (noise_uV * rng.standard_normal((num_frames, num_channels))).astype("float32")
    templates, nbefore = unit_templates(max(num_units, 1), num_channels)
    trains = spike_trains(num_units, num_frames, rng)
    add_spikes(traces, trains, templates[:num_units], nbefore)
    return traces, trains


def as_recording(traces, folder=None, probe=True):
    """A recording of one or several arrays; with a folder it is saved there and can travel to other processes."""
    parts = traces if isinstance(traces, list) else [traces]
    recording = si.NumpyRecording(parts, SAMPLING_FREQUENCY)
    if probe:
        recording.set_probe(line_probe(parts[0].shape[1]))
    if folder is None:
        return recording
    return recording.save(folder=folder, verbose=False)


def white_recording_of(recording):
    """The lazy white traces that the sorter computes with its default settings, without motion correction."""
    from si_deepsort.sorter.adapter import DeepSortSettings
    from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording

    settings = DeepSortSettings()
    filtered = filtered_recording(
        recording, freq_min=settings.freq_min, freq_max=settings.freq_max, with_reference=settings.common_reference
    )
    options = dict(order=settings.whitening_order, radius_um=settings.whitening_radius_um, seed=settings.seed)
    return white_recording(filtered, motion=None, **options)


def small_recording(folder=None, **options):
    """Recording and true sorting."""
    traces, trains = small_traces(**options)
    truth = si.NumpySorting.from_unit_dict([{i: t for i, t in enumerate(trains)}], SAMPLING_FREQUENCY)
    return as_recording(traces, folder), truth
