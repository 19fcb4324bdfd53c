"""Templates of the parametric generator of SpikeInterface, randomised far beyond its defaults."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core.generate import generate_templates, generate_unit_locations

from .settings import GenerationSettings

# Samples of a template before and after its peak, in ms: until slow repolarisation has ended.
MS_BEFORE, MS_AFTER = 1.5, 3.0
# Peaks of the background units in uV: from below the noise to just below the smallest unit that sorters find.
FAR_PEAKS_UV = (3.0, 22.0)
# Units are at least this far from each other, in um: the size of a soma is 10 to 20.
SMALLEST_DISTANCE_UM = 5.0
# Ranges of the parameters of `generate_templates`, wider than its own: durations in ms of the phases of narrow
# interneurons to broad pyramidal cells, share of the positive phase, and speed along the cell in um per ms.
SHAPE_RANGES = dict(
    alpha=(400.0, 500.0),
    depolarization_ms=(0.06, 0.16),
    repolarization_ms=(0.25, 1.1),
    recovery_ms=(0.5, 1.8),
    positive_amplitude=(0.02, 0.5),
    smooth_ms=(0.02, 0.1),
    propagation_speed=(150.0, 500.0),
    ellipse_shrink=(0.3, 1.0),
    ellipse_angle=(0, 2 * np.pi),
)


@dataclass(frozen=True)
class Surroundings:
    """
    Where units are.

    Attributes
    ----------
    margin_um : float
        How far beyond the contacts.
    z_um : (float, float)
        Distance from the plane of the probe.
    decay_um : (float, float)
        Length over which the amplitude decays.
    """

    margin_um: float
    z_um: tuple[float, float]
    decay_um: tuple[float, float]


# Single units are recorded up to some 50 um from the probe, hash beyond: Buzsaki 2004.
NEAR = Surroundings(margin_um=20.0, z_um=(5.0, 50.0), decay_um=(10.0, 50.0))
FAR = Surroundings(margin_um=60.0, z_um=(40.0, 100.0), decay_um=(40.0, 80.0))


def random_templates(
    channel_locations: np.ndarray, settings: GenerationSettings, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """
    Templates of widely varied shape, size and polarity.

    Amplitudes are drawn so that their logarithm is uniform: small units are as common as large ones.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    settings : GenerationSettings
        Number of units, amplitudes, polarity and sampling frequency are taken from it.
    rng : np.random.Generator

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
    return _scaled_templates(channel_locations, amplitudes, settings, rng, NEAR)


def random_far_templates(
    channel_locations: np.ndarray, settings: GenerationSettings, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Templates of the background hash: 3 to 22 uV, widely spread over the channels; as `random_templates`."""
    amplitudes = rng.uniform(*FAR_PEAKS_UV, settings.num_far_units)
    return _scaled_templates(channel_locations, amplitudes, settings, rng, FAR)


def _scaled_templates(channel_locations, amplitudes, settings, rng, surroundings: Surroundings):
    """Templates with the given peaks in uV, and the sample of the peak."""
    num_units = len(amplitudes)
    nbefore = round(MS_BEFORE * settings.sampling_frequency / 1000)
    num_samples = nbefore + round(MS_AFTER * settings.sampling_frequency / 1000)
    if num_units == 0:
        return np.zeros((0, num_samples, len(channel_locations)), dtype="float32"), nbefore
    unit_locations = generate_unit_locations(
        num_units,
        channel_locations,
        margin_um=surroundings.margin_um,
        minimum_z=surroundings.z_um[0],
        maximum_z=surroundings.z_um[1],
        minimum_distance=SMALLEST_DISTANCE_UM,
        seed=int(rng.integers(2**31)),
    )
    templates = generate_templates(
        channel_locations,
        unit_locations,
        settings.sampling_frequency,
        MS_BEFORE,
        MS_AFTER,
        seed=int(rng.integers(2**31)),
        unit_params=dict(**SHAPE_RANGES, spatial_decay=surroundings.decay_um),
    )
    templates = templates - templates[:, :1]
    templates *= (amplitudes / np.abs(templates).max(axis=(1, 2)))[:, None, None]
    flipped = rng.random(num_units) < settings.positive_fraction
    templates[flipped] *= -1
    return templates.astype("float32"), nbefore
