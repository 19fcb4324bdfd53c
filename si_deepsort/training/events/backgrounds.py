"""Backgrounds to learn events in: noise of random spectra and sizes, mains hum with harmonics, coarse digitisation."""

import numpy as np
import scipy.ndimage
import scipy.signal

from ...events.simulate import SimulationSettings, shaped_noise

# Frequencies at which a spectrum is given, in Hz apart: those of 8192 frames.
SPECTRUM_FRAMES = 8192
# Lowest frequency of a spectrum that is told apart, in Hz; slower changes are drift.
LOWEST_HZ = 2.0
# Spread (1 sd of log power) of the random bumps of a spectrum, at most; about 2 dB, what rigs differ by.
LARGEST_BUMP = 0.5
# Steps of a coarse converter, in noise standard deviations.
SMALLEST_STEP, LARGEST_STEP = 0.05, 1.0
# Harmonics of the mains that may be there, and wandering of the mains in Hz.
NUM_HARMONICS, MAINS_SPREAD_HZ = 12, 0.1


def random_noise(num_frames: int, settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """
    Noise of standard deviation 1 whose spectrum is random around what the settings say.

    To the slope and the filter of the settings come channel noise (Lorentzians, Verveen & DeFelice 1974), the noise of
    a capacitance, which rises with the frequency, random bumps, and a size that changes slowly.

    Parameters
    ----------
    num_frames : int
    settings : SimulationSettings
        Its `noise_slope`, `noise_corner_hz`, `low_pass_hz` and `sampling_frequency` are used.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, shape (num_frames,), float
    """
    rate = settings.sampling_frequency
    frequencies = np.fft.rfftfreq(SPECTRUM_FRAMES, 1 / rate)
    heard = np.maximum(frequencies, LOWEST_HZ)
    power = np.ones_like(heard)
    if settings.noise_slope > 0:
        power += (settings.noise_corner_hz / heard) ** (2 * settings.noise_slope)
    for _ in range(rng.poisson(0.4)):
        power += np.exp(rng.uniform(0, 5)) / (1 + (heard / np.exp(rng.uniform(np.log(4), np.log(800)))) ** 2)
    if rng.random() < 0.25:
        power += (heard / np.exp(rng.uniform(np.log(500), np.log(4000)))) ** 2
    if rng.random() < 0.5:
        knots = rng.uniform(0, LARGEST_BUMP) * rng.standard_normal(14)
        octaves = np.clip(np.log2(heard / LOWEST_HZ), 0, len(knots) - 1)
        power *= np.exp(np.interp(octaves, np.arange(len(knots)), knots))
    if settings.low_pass_hz is not None:
        power /= 1 + (frequencies / settings.low_pass_hz) ** (2 * rng.integers(1, 5))
    noise = shaped_noise(num_frames, frequencies, power, rate, rng)
    return noise * _slow_size(num_frames, rng) if rng.random() < 0.3 else noise


def mains_hum(num_frames: int, size: float, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Hum of 50 or 60 Hz with random harmonics and the standard deviation `size`, shape (num_frames,)."""
    mains = rng.choice([50.0, 60.0]) + rng.normal(0, MAINS_SPREAD_HZ)
    phase = 2 * np.pi * mains * np.arange(num_frames) / rate
    phase += np.interp(np.linspace(0, 5, num_frames), np.arange(6), np.cumsum(rng.normal(0, 0.3, 6)))
    hum = np.sin(phase + rng.uniform(0, 6.3))
    fall = rng.uniform(0.5, 2.0)
    for order in range(2, rng.integers(1, NUM_HARMONICS + 1) + 1):
        hum += rng.uniform(0, 1.5) / order**fall * np.sin(order * phase + rng.uniform(0, 6.3))
    return size * hum / max(hum.std(), 1e-9)


def digitised(trace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The trace in the steps of a coarse converter; noise has the standard deviation 1."""
    step = np.exp(rng.uniform(np.log(SMALLEST_STEP), np.log(LARGEST_STEP)))
    return step * np.round(trace / step)


def _slow_size(num_frames, rng):
    """A factor around 1 that changes within seconds."""
    knots = rng.uniform(0, 0.25) * rng.standard_normal(9)
    return np.exp(scipy.ndimage.map_coordinates(knots, np.linspace(1, 7, num_frames)[None], order=3))
