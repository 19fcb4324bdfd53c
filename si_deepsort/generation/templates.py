"""Templates of the parametric generator of SpikeInterface, randomised far beyond its defaults."""

import numpy as np
from spikeinterface.core.generate import generate_templates, generate_unit_locations

from .settings import GenerationSettings


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
