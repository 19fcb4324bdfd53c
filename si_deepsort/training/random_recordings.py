"""
Generated recordings that differ from each other in everything that may differ between laboratories.

Probe, sampling rate, spectrum and spatial correlation of the noise, shape, size and polarity of the spikes, rates,
bursts, filter, reference and whitening are drawn at random: what a detector learns from them serves any recording.
"""

from dataclasses import replace

import numpy as np
import spikeinterface.preprocessing as spre
from probeinterface import Probe
from spikeinterface.core import BaseRecording, BaseSorting

from ..generation import GenerationSettings, generate_recording, named_probe, random_templates
from ..noise import NEUROPIXELS_NOISE_FREQUENCIES, NEUROPIXELS_NOISE_POWER
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..preprocessing.whiten import WhitenTimeSpaceRecording, whiten_time_space

# Sampling rates of common acquisition systems in Hz, and the part of the recordings that have each.
SAMPLING_FREQUENCIES = (10_000.0, 15_000.0, 20_000.0, 24_000.0, 25_000.0, 30_000.0, 32_000.0, 40_000.0)
RATE_SHARES = (0.04, 0.04, 0.08, 0.08, 0.08, 0.5, 0.1, 0.08)
# Part of the recordings in which the polarity of all spikes is inverted, as some systems do.
INVERTED_SHARE = 0.08
# Names of `generation.named_probe`.
PROBES = ("tetrode", "linear32", "neuropixels1", "neuropixels2")
# Part of the recordings that have a single channel.
SINGLE_SHARE = 0.15
# Part of the single channels with many unlabelled small units.
CROWD_SHARE = 0.7
# Groups of units in a recording; the spikes of each group have their own width.
NUM_GROUPS = 4
# Part of the units whose spike appears a second time along a dendrite or axon.
DENDRITE_SHARE = 0.35


def random_recording(
    seed: int, *, sampling_frequency: float | None = None
) -> tuple[WhitenTimeSpaceRecording, BaseSorting]:
    """
    A generated recording, filtered in a random way and whitened, and its spikes.

    Parameters
    ----------
    seed : int
    sampling_frequency : float | None, default: None
        In Hz; None draws one.

    Returns
    -------
    recording : WhitenTimeSpaceRecording
        Its parents are in memory.
    sorting : BaseSorting
    """
    rng = np.random.default_rng(seed)
    probe = random_probe(rng)
    settings = random_settings(probe.get_contact_count(), rng, seed)
    if sampling_frequency is not None:
        settings = replace(settings, sampling_frequency=sampling_frequency)
    locations = probe.contact_positions[:, :2]
    templates_uV, nbefore = varied_templates(locations, settings, rng)
    templates_uV = with_dendrites(templates_uV, locations, settings.sampling_frequency, rng)
    templates_uV, is_labelled = with_small_units(templates_uV, rng)
    recording, sorting = generate_recording(
        probe, settings, templates_uV=templates_uV, nbefore=nbefore, noise_power=random_noise_power(rng)
    )
    sorting = sorting.select_units(sorting.unit_ids[is_labelled])
    recording = recording.save(format="memory", progress_bar=False, n_jobs=1)
    return random_front_end(recording, rng, seed), sorting


def random_settings(num_channels: int, rng: np.random.Generator, seed: int) -> GenerationSettings:
    """Numbers, sizes and rates of units, their bursts and synchrony, and the noise, drawn at random."""
    noise_uV = np.exp(rng.uniform(np.log(6.5), np.log(14.0)))
    return GenerationSettings(
        duration_s=float(rng.uniform(4.0, 6.0)),
        sampling_frequency=float(rng.choice(SAMPLING_FREQUENCIES, p=RATE_SHARES)),
        num_units=int(rng.integers(1, 4 + num_channels)) if num_channels < 8 else int(rng.integers(5, 40)),
        num_far_units=int(rng.integers(0, 60)) if num_channels > 1 else int(rng.integers(0, 12)),
        amplitude_min_uV=20.0 if num_channels > 1 else float(np.exp(rng.uniform(np.log(20), np.log(90)))),
        amplitude_max_uV=float(rng.uniform(90, 400)),
        firing_rate_min=2.0,
        firing_rate_max=40.0 if rng.random() < 0.3 else 12.0,
        burst_fraction=float(rng.uniform(0, 0.6)),
        positive_fraction=float(rng.choice([0.0, 0.1, 0.4])),
        synchrony=float(rng.uniform(0, 0.3)),
        noise_uV=float(noise_uV),
        noise_correlation=float(rng.uniform(0.0, 0.85)),
        noise_length_um=float(rng.uniform(30, 250)),
        seed=seed,
    )


def random_probe(rng: np.random.Generator) -> Probe:
    """A single contact, a named layout, or up to 24 contacts in 1 to 4 columns with a random pitch."""
    kind = rng.random()
    if kind < SINGLE_SHARE:
        return named_probe("single")
    if kind < 0.55:
        probe = named_probe(str(rng.choice(PROBES)))
        num_contacts = probe.get_contact_count()
        if num_contacts <= 24:
            return probe
        first = int(rng.integers(0, num_contacts - 23))
        return probe.get_slice(np.arange(first, first + 24))
    columns = int(rng.integers(1, 5))
    rows = int(rng.integers(1, max(2, 24 // columns)))
    pitch_x, pitch_y = np.exp(rng.uniform(np.log(10), np.log(120), 2))
    x, y = np.meshgrid(np.arange(columns) * pitch_x, np.arange(rows) * pitch_y)
    y = y + (np.arange(columns) % 2) * pitch_y * rng.choice([0.0, 0.5])
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([x.ravel(), y.ravel()], axis=1), shapes="circle", shape_params={"radius": 5})
    probe.create_auto_shape()
    return probe


def varied_templates(locations: np.ndarray, settings: GenerationSettings, rng) -> tuple[np.ndarray, int]:
    """
    Templates in groups that differ in the width of the spikes over space and time.

    A group is generated for a smaller or larger copy of the probe, at another sampling rate, and then taken as it is:
    near neurons may reach as wide as far ones, so only their size tells them apart.

    Returns
    -------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In uV.
    nbefore : int
        Sample of the peak.
    """
    before, after = (round(ms * settings.sampling_frequency / 1000) for ms in (0.8, 2.0))
    groups = []
    for group in range(NUM_GROUPS):
        stretch_um = np.exp(rng.uniform(np.log(0.7), np.log(4.0)))
        stretch_s = np.exp(rng.uniform(np.log(0.8), np.log(2.0)))
        own = replace(
            settings,
            sampling_frequency=settings.sampling_frequency * stretch_s,
            num_units=len(range(group, settings.num_units, NUM_GROUPS)),
        )
        templates, nbefore = random_templates((locations - locations.mean(axis=0)) / stretch_um, own, rng)
        templates = np.nan_to_num(templates[:, nbefore - before : nbefore + after])
        groups.append(templates)
    return np.concatenate(groups), before


def with_dendrites(templates: np.ndarray, locations: np.ndarray, sampling_frequency: float, rng) -> np.ndarray:
    """
    Templates of which some appear a second time: smaller, later and elsewhere, as along a large dendrite or an axon.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
    locations : np.ndarray, shape (num_channels, 2), float
        In um.
    """
    result = templates.copy()
    for template, changed in zip(templates, result, strict=True):
        if rng.random() > DENDRITE_SHARE:
            continue
        step = np.array([rng.uniform(-40, 40), rng.uniform(30, 170) * rng.choice([-1, 1])])
        apart = np.linalg.norm(locations[:, None] - step - locations[None], axis=-1)
        copy = template[:, apart.argmin(axis=1)] * np.exp(-apart.min(axis=1) / 30.0)
        copy = np.roll(copy, round(rng.uniform(0, 0.0003) * sampling_frequency), axis=0)
        changed += copy * rng.uniform(0.2, 0.9) * rng.choice([-1, 1], p=[0.2, 0.8])
        changed *= np.abs(template).max() / np.abs(changed).max()
    return result


def with_small_units(templates: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """
    Templates and, on a single channel, a crowd of smaller ones that are no units: the multi-unit background.

    Its amplitudes fall off exponentially, as on real single wires, so that a few are as large as small units are
    elsewhere; only a look at the channel as a whole tells them apart.

    Returns
    -------
    templates : np.ndarray, shape (num_templates, num_samples, num_channels), float32
    is_labelled : np.ndarray, shape (num_templates,), bool
        Which are units.
    """
    is_labelled = np.ones(len(templates), dtype=bool)
    if templates.shape[2] > 1 or rng.random() > CROWD_SHARE or not len(templates):
        return templates, is_labelled
    smallest_uV = np.abs(templates).max(axis=(1, 2)).min()
    crowd = templates[rng.integers(0, len(templates), int(rng.integers(10, 50)))]
    scale_uV = smallest_uV * rng.uniform(0.08, 0.25)
    peaks_uV = np.minimum(rng.exponential(scale_uV, len(crowd)), 0.6 * smallest_uV)
    crowd = crowd * (peaks_uV / np.abs(crowd).max(axis=(1, 2)))[:, None, None]
    return np.concatenate([templates, crowd.astype("float32")]), np.r_[is_labelled, np.zeros(len(crowd), dtype=bool)]


def random_noise_power(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum of real recordings, or one between white and steeper than any real one, some with a bump."""
    if rng.random() < 0.25:
        return np.asarray(NEUROPIXELS_NOISE_FREQUENCIES), np.asarray(NEUROPIXELS_NOISE_POWER)
    frequencies = np.geomspace(50, 20_000, 40)
    slope = rng.uniform(0.0, 1.6)
    corner = np.exp(rng.uniform(np.log(200), np.log(2500)))
    power = (1 + (frequencies / corner) ** 2) ** (-slope)
    if rng.random() < 0.3:
        center = np.exp(rng.uniform(np.log(300), np.log(3000)))
        power += rng.uniform(0.3, 3.0) * power.max() * np.exp(-(np.log(frequencies / center) ** 2) / 0.3)
    return frequencies, power + rng.uniform(0.005, 0.1) * power.max()


def random_front_end(recording: BaseRecording, rng: np.random.Generator, seed: int) -> WhitenTimeSpaceRecording:
    """The sorter's front end, mostly with its default band; some recordings have the other polarity."""
    if rng.random() < INVERTED_SHARE:
        recording = spre.scale(recording, gain=-1.0, dtype="float32")
    low, high = 150.0, 7000.0
    if rng.random() < 0.3:
        low, high = float(rng.uniform(150, 500)), float(rng.uniform(5000, 8000))
    high = min(high, 0.45 * recording.get_sampling_frequency())
    filtered = common_reference(band_pass(recording, freq_min=low, freq_max=high))
    filtered = filtered.save(format="memory", progress_bar=False, n_jobs=1)
    return whiten_time_space(filtered, order=24, radius_um=100.0, seed=seed)
