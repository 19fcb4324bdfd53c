"""
Recordings with known spikes and realistic noise, from a seed: for training, demonstrations and benchmarks.

Templates come from SpikeInterface's generator (parametric waveforms, randomised far beyond its defaults) or are given;
noise has the spectrum and the spatial correlation of real Neuropixels recordings; a crowd of far, small units makes
the background hash without which every sorter looks better than it is.
"""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe, generate_linear_probe, generate_multi_columns_probe, generate_tetrode
from spikeinterface.core.generate import InjectTemplatesRecording, generate_templates, generate_unit_locations

from .geometry import recording_geometry
from .noise import (
    NEUROPIXELS_NOISE_CORRELATION,
    NEUROPIXELS_NOISE_FREQUENCIES,
    NEUROPIXELS_NOISE_LENGTH_UM,
    NEUROPIXELS_NOISE_POWER,
    noise_filter,
    spatial_correlation,
    synthesize_noise,
)
from .settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(Settings):
    """A recording to be generated."""

    duration_s: float = setting(60.0, "Duration in s", minimum=0.01)
    sampling_frequency: float = setting(30_000.0, "In Hz", minimum=1000.0)
    num_units: int = setting(20, "Units with known spikes", minimum=0)
    num_far_units: int = setting(40, "Small background units (hash), not in the ground truth", minimum=0)
    amplitude_min_uV: float = setting(30.0, "Peak of the smallest unit in uV", minimum=0.0)
    amplitude_max_uV: float = setting(300.0, "Peak of the largest unit in uV", minimum=0.0)
    firing_rate_min: float = setting(0.5, "Lowest firing rate in Hz", minimum=0.0)
    firing_rate_max: float = setting(15.0, "Highest firing rate in Hz", minimum=0.0)
    burst_fraction: float = setting(0.2, "Fraction of units that fire bursts", minimum=0.0, maximum=1.0)
    positive_fraction: float = setting(0.05, "Fraction of units with positive-going spikes", minimum=0.0, maximum=1.0)
    noise_uV: float = setting(8.0, "Standard deviation of the noise in uV", minimum=0.0)
    noise_correlation: float = setting(NEUROPIXELS_NOISE_CORRELATION, "Noise correlation of near contacts", minimum=0.0)
    noise_length_um: float = setting(NEUROPIXELS_NOISE_LENGTH_UM, "Decay length of the noise correlation", minimum=1.0)
    seed: int = setting(0, "Of everything")


def generate_recording(
    probe: Probe,
    settings: GenerationSettings | None = None,
    *,
    templates_uV: np.ndarray | None = None,
    nbefore: int | None = None,
    noise_power: tuple[np.ndarray, np.ndarray] | None = None,
):
    """
    A recording and its true sorting, made lazily from a seed.

    Parameters
    ----------
    probe : Probe
    settings : GenerationSettings | None, default: None
        None takes the defaults. `num_units` and the amplitudes are ignored if templates are given.
    templates_uV : np.ndarray | None, shape (num_units, num_samples, num_channels), default: None
        Templates of the units, at the sampling frequency of the settings. None generates them.
    nbefore : int | None, default: None
        Sample of the peak in given templates.
    noise_power : (frequencies, power) | None, default: None
        Spectrum of the noise. None takes that of real Neuropixels recordings.

    Returns
    -------
    recording : BaseRecording
        In uV, float32, with the probe. Lazy: nothing is computed until traces are asked for.
    sorting : NumpySorting
        The true spikes (sample of the peak), with the properties `gt_peak_uV` and `gt_firing_rate`.
    """
    settings = settings or GenerationSettings()
    rng = np.random.default_rng(settings.seed)
    probe = probe.copy()
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    locations = probe.contact_positions[:, :2]
    if templates_uV is None:
        templates_uV, nbefore = random_templates(locations, settings, rng)
    noise = ColoredNoiseRecording(probe, settings, noise_power)
    far = random_far_templates(locations, settings, rng)
    hash_sorting = random_sorting(len(far[0]), settings, rng, rates=rng.uniform(1, 20, len(far[0])))
    background = InjectTemplatesRecording(hash_sorting, far[0], nbefore=far[1], parent_recording=noise)
    sorting = random_sorting(len(templates_uV), settings, rng)
    recording = InjectTemplatesRecording(sorting, templates_uV, nbefore=nbefore, parent_recording=background)
    peaks = np.abs(templates_uV).max(axis=(1, 2)) if len(templates_uV) else np.zeros(0)
    sorting.set_property("gt_peak_uV", peaks)
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / settings.duration_s)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    recording.annotate(is_filtered=False)
    return recording, sorting


def random_templates(channel_locations: np.ndarray, settings: GenerationSettings, rng: np.random.Generator):
    """
    Templates of widely varied shape, size and polarity.

    Amplitudes are drawn so that their logarithm is uniform: small units are as common as large ones.

    Returns
    -------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In uV.
    nbefore : int
        Sample of the peak.
    """
    amplitudes = np.exp(
        rng.uniform(np.log(settings.amplitude_min_uV), np.log(settings.amplitude_max_uV), settings.num_units)
    )
    return _scaled_templates(channel_locations, amplitudes, settings, rng)


def random_far_templates(channel_locations: np.ndarray, settings: GenerationSettings, rng: np.random.Generator):
    """Templates of the background hash: 3 to 22 uV, widely spread over the channels; as `random_templates`."""
    amplitudes = rng.uniform(3.0, 22.0, settings.num_far_units)
    return _scaled_templates(channel_locations, amplitudes, settings, rng, far=True)


def _scaled_templates(channel_locations, amplitudes, settings, rng, far=False):
    ms_before, ms_after = 1.5, 3.0
    num_units = len(amplitudes)
    nbefore = round(ms_before * settings.sampling_frequency / 1000)
    num_samples = nbefore + round(ms_after * settings.sampling_frequency / 1000)
    if num_units == 0:
        return np.zeros((0, num_samples, len(channel_locations)), dtype="float32"), nbefore
    unit_locations = generate_unit_locations(
        num_units,
        channel_locations,
        margin_um=60.0 if far else 20.0,
        minimum_z=40.0 if far else 5.0,
        maximum_z=100.0 if far else 50.0,
        minimum_distance=5.0,
        seed=int(rng.integers(2**31)),
    )
    params = dict(
        alpha=(400.0, 500.0),
        depolarization_ms=(0.06, 0.16),
        repolarization_ms=(0.25, 1.1),
        recovery_ms=(0.5, 1.8),
        positive_amplitude=(0.02, 0.5),
        smooth_ms=(0.02, 0.1),
        spatial_decay=(40.0, 80.0) if far else (10.0, 50.0),
        propagation_speed=(150.0, 500.0),
        ellipse_shrink=(0.3, 1.0),
        ellipse_angle=(0, 2 * np.pi),
    )
    templates = generate_templates(
        channel_locations,
        unit_locations,
        settings.sampling_frequency,
        ms_before,
        ms_after,
        seed=int(rng.integers(2**31)),
        unit_params=params,
    )
    templates = templates - templates[:, :1]
    templates *= (amplitudes / np.abs(templates).max(axis=(1, 2)))[:, None, None]
    flipped = rng.random(num_units) < settings.positive_fraction
    templates[flipped] *= -1
    return templates.astype("float32"), nbefore


def random_sorting(num_units: int, settings: GenerationSettings, rng: np.random.Generator, rates=None):
    """
    Poisson spike trains with a refractory period of 2 ms; some units fire bursts of 2 to 5 spikes.

    Returns
    -------
    NumpySorting
        With unit ids "0", "1", ...
    """
    sampling_frequency = settings.sampling_frequency
    num_frames = round(settings.duration_s * sampling_frequency)
    edge = round(0.003 * sampling_frequency)
    if rates is None:
        low, high = np.log(max(settings.firing_rate_min, 1e-3)), np.log(max(settings.firing_rate_max, 1e-3))
        rates = np.exp(rng.uniform(low, high, num_units))
    trains = {}
    for unit in range(num_units):
        is_bursting = rng.random() < settings.burst_fraction
        mean_burst = 3.5 if is_bursting else 1.0
        times = rng.uniform(0, settings.duration_s, rng.poisson(rates[unit] / mean_burst * settings.duration_s))
        if is_bursting:
            sizes = rng.integers(2, 6, len(times))
            delays = [np.cumsum(np.r_[0, rng.uniform(0.003, 0.008, size - 1)]) for size in sizes]
            times = np.concatenate([time + delay for time, delay in zip(times, delays, strict=True)] or [times])
        frames = np.sort(np.round(times * sampling_frequency).astype("int64"))
        frames = frames[(frames >= edge) & (frames < num_frames - edge)]
        frames = frames[np.diff(frames, prepend=-(10**9)) >= 0.002 * sampling_frequency]
        trains[str(unit)] = frames
    return si.NumpySorting.from_unit_dict([trains], sampling_frequency)


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


def named_probe(name: str) -> Probe:
    """
    A probe layout by name.

    Parameters
    ----------
    name : "single" | "tetrode" | "linear32" | "neuropixels1" | "neuropixels2" | "four_shanks"
        neuropixels1 and neuropixels2 are 64 contacts of the probe of that name; four_shanks is 4 x 16 contacts.

    Returns
    -------
    Probe
    """
    makers = {
        "single": lambda: generate_linear_probe(1),
        "tetrode": generate_tetrode,
        "linear32": lambda: generate_linear_probe(32, ypitch=25.0),
        "neuropixels1": lambda: _neuropixels1(64),
        "neuropixels2": lambda: generate_multi_columns_probe(2, 32, xpitch=32.0, ypitch=15.0),
        "four_shanks": _four_shanks,
    }
    if name not in makers:
        raise ValueError(f"Unknown probe layout '{name}', expected one of {sorted(makers)}.")
    probe = makers[name]()
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    return probe


def _neuropixels1(num_contacts: int) -> Probe:
    rows = np.arange(num_contacts) // 2
    x = np.where(np.arange(num_contacts) % 2 == 0, 16.0, 48.0) - 16.0 * (rows % 2)
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([x, 20.0 * rows], axis=1), shapes="square", shape_params={"width": 12})
    probe.create_auto_shape()
    return probe


def _four_shanks() -> Probe:
    probe = Probe(ndim=2)
    contact = np.arange(64)
    shank, row, column = contact // 16, contact % 16 // 2, contact % 2
    positions = np.stack([250.0 * shank + 32.0 * column, 15.0 * row], axis=1)
    probe.set_contacts(positions, shapes="square", shape_params={"width": 12}, shank_ids=shank.astype(str))
    return probe
