"""
Recordings of SpikeInterface's own generator with few channels, for training and testing the assessor.

The named benchmark recordings have neurons of this package's generator, or templates of detailed models and of real
units, mostly on 32 channels and more. Here templates, spike trains and noise are another maker's: one channel, one and
several tetrodes, several shanks, small crowded probes, faint neurons, and noise that all channels share.
"""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe
from spikeinterface.core.generate import generate_sorting, generate_unit_locations
from spikeinterface.generation import InjectTemplatesRecording, NoiseGeneratorRecording, generate_templates

from si_deepsort.benchmarking.external import unit_snr

RATE = 30_000.0
# Before and after the peak of a template in ms, as in SpikeInterface.
MS_BEFORE, MS_AFTER = 1.0, 3.0
# Ranges of firing rates in Hz, one for each recording: rare, usual, and SpikeInterface's default.
FIRING_RATES = ((0.3, 4.0), (1.0, 12.0), (15.0, 15.0))
# Smaller neurons are part of the background: no sorter is expected to find them.
LEAST_SNR = 2.0
# Distance of tetrodes and of shanks in um.
PITCH_UM = 200.0


@dataclass(frozen=True)
class SimpleKind:
    """
    How recordings of a kind are made; each seed draws from these ranges.

    Attributes
    ----------
    groups, columns, rows : int
        Shanks or tetrodes, and their contacts.
    units_per_group : tuple of int
    noise_uV : tuple of float
        Noise level of each channel.
    shared_uV : tuple of float
        Standard deviation of slow noise that all channels share, about a tenth of which is in the band of spikes.
    variation : float
        Largest standard deviation of the amplitudes of the spikes of a neuron, relative to their mean.
    """

    groups: int
    columns: int
    rows: int
    units_per_group: tuple[int, int]
    noise_uV: tuple[float, float] = (5.0, 12.0)
    shared_uV: tuple[float, float] = (0.0, 0.0)
    variation: float = 0.15


SIMPLE_KINDS = {
    "simple_tetrode": SimpleKind(1, 2, 2, (2, 6)),
    "simple_tetrodes": SimpleKind(4, 2, 2, (2, 5)),
    "simple_one_channel": SimpleKind(1, 1, 1, (1, 3)),
    "simple_small": SimpleKind(1, 2, 4, (5, 14)),
    "simple_crowded": SimpleKind(1, 2, 8, (18, 32)),
    "simple_shanks": SimpleKind(4, 2, 4, (4, 7)),
    "simple_columns": SimpleKind(1, 2, 16, (15, 40)),
    "simple_faint_tetrode": SimpleKind(1, 2, 2, (3, 6), noise_uV=(12.0, 25.0)),
    "simple_faint": SimpleKind(1, 2, 8, (10, 20), noise_uV=(12.0, 25.0)),
    "simple_shared_tetrode": SimpleKind(1, 2, 2, (3, 5), shared_uV=(50.0, 300.0)),
    "simple_shared": SimpleKind(1, 2, 8, (10, 18), shared_uV=(50.0, 300.0)),
}


def simple_recording(name: str, seed: int, duration_s: float) -> tuple[si.BaseRecording, si.BaseSorting]:
    """
    A recording of SpikeInterface's generator in memory, and its true sorting with the property `gt_snr`.

    Neurons with an SNR below 2 are in the recording, but not in the sorting.

    Parameters
    ----------
    name : str
        One of `SIMPLE_KINDS`.
    seed : int
    duration_s : float
    """
    kind = SIMPLE_KINDS[name]
    rng = np.random.default_rng([seed, list(SIMPLE_KINDS).index(name)])
    probe = _probe(kind, rng)
    positions = probe.contact_positions
    num_units = rng.integers(*kind.units_per_group, endpoint=True, size=kind.groups)
    locations = np.concatenate(
        [_unit_locations(positions[probe.shank_ids == str(group)], num, rng) for group, num in enumerate(num_units)]
    )
    templates = generate_templates(positions, locations, RATE, MS_BEFORE, MS_AFTER, seed=_seed(rng))
    truth = generate_sorting(
        num_units=len(locations),
        sampling_frequency=RATE,
        durations=[duration_s],
        firing_rates=FIRING_RATES[rng.integers(len(FIRING_RATES))],
        refractory_period_ms=rng.uniform(2.0, 4.0),
        seed=_seed(rng),
    )
    noise = NoiseGeneratorRecording(
        num_channels=len(positions),
        sampling_frequency=RATE,
        durations=[duration_s],
        noise_levels=rng.uniform(*kind.noise_uV),
        seed=_seed(rng),
        # By default one second of noise is repeated, and what repeats is found as a neuron that fires once a second.
        strategy="on_the_fly",
    )
    factors = 1 + rng.uniform(0, kind.variation) * rng.standard_normal(truth.count_total_num_spikes())
    injected = InjectTemplatesRecording(
        truth,
        templates,
        nbefore=round(MS_BEFORE * RATE / 1000),
        amplitude_factor=np.maximum(factors, 0.3).astype("float32"),
        parent_recording=noise,
    )
    injected.set_probe(probe)
    # Against the own noise of the channels, as `assess` measures it.
    truth.set_property("gt_snr", unit_snr(injected, truth))
    traces = injected.get_traces() + _shared_noise(injected.get_num_samples(), len(positions), kind, rng)
    recording = si.NumpyRecording([traces.astype("float32")], RATE)
    recording.set_probe(probe)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    return recording, truth.select_units(truth.unit_ids[truth.get_property("gt_snr") >= LEAST_SNR])


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _probe(kind: SimpleKind, rng: np.random.Generator) -> Probe:
    """Groups of contacts in a row, each two columns of contacts or fewer."""
    pitch = rng.uniform(18.0, 30.0)
    columns, rows = np.meshgrid(np.arange(kind.columns), np.arange(kind.rows))
    one = np.stack([columns.ravel(), rows.ravel()], axis=1) * pitch
    positions = np.concatenate([one + np.array([PITCH_UM * group, 0.0]) for group in range(kind.groups)])
    probe = Probe(ndim=2)
    probe.set_contacts(
        positions, shapes="circle", shape_params={"radius": 6}, shank_ids=np.repeat(np.arange(kind.groups), len(one))
    )
    probe.set_device_channel_indices(np.arange(len(positions)))
    return probe


def _unit_locations(positions: np.ndarray, num_units: int, rng: np.random.Generator) -> np.ndarray:
    """Locations of neurons around one group of contacts, (num_units, 3)."""
    return generate_unit_locations(
        int(num_units), positions, margin_um=15.0, minimum_z=5.0, maximum_z=50.0, minimum_distance=10.0, seed=_seed(rng)
    )


def _shared_noise(num_frames: int, num_channels: int, kind: SimpleKind, rng: np.random.Generator) -> np.ndarray:
    """Slow noise, stronger on some channels, (num_frames, num_channels)."""
    size = rng.uniform(*kind.shared_uV)
    if size == 0:
        return np.zeros((1, num_channels))
    spectrum = np.fft.rfft(rng.standard_normal(num_frames))
    spectrum /= np.maximum(np.fft.rfftfreq(num_frames, 1 / RATE), 0.5) ** 0.9
    shared = np.fft.irfft(spectrum, num_frames)
    return size * np.outer(shared / shared.std(), 1 + rng.uniform(0, 1) * np.linspace(-0.5, 0.5, num_channels))
