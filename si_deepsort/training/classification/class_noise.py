"""Measure the noise of labelled waveforms, and how much more of it still leaves their classes apart."""

from dataclasses import dataclass

import numpy as np

# Fewest waveforms of a class from which noise is measured: the mean of as many hides less than a tenth of it.
FEWEST_MEASURED = 10
# Distance between two means in standard deviations of the noise at which spikes of the one are still told from those of
# the other in 5 of 6 cases: the border in the middle lies one standard deviation from either.
LEAST_SEPARATION = 2.0


@dataclass(frozen=True)
class ClassNoise:
    """
    The noise in waveforms of labelled classes.

    Attributes
    ----------
    residuals : np.ndarray, shape (num_residuals, num_channels, num_samples), float32
        Waveforms without the mean of their class. They have the spectrum and the correlations of the noise.
    largest_factor : float
        With this many times as much noise in addition, a typical class is just told from the one most similar to it.
    """

    residuals: np.ndarray
    largest_factor: float


def measure_class_noise(waveforms: np.ndarray, classes: np.ndarray) -> ClassNoise:
    """
    Measure the noise of labelled waveforms in the class whose waveforms differ least from each other.

    Other classes may hold many shapes, such as windows that show a spike of no known unit.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples), float
    classes : np.ndarray, shape (num_waveforms,), int

    Returns
    -------
    ClassNoise
        Without residuals and with a factor of 0 if no class has enough waveforms.
    """
    counts = np.bincount(classes)
    measured = np.flatnonzero(counts >= FEWEST_MEASURED)
    nothing = ClassNoise(np.zeros((0, *waveforms.shape[1:]), dtype="float32"), 0.0)
    if len(measured) == 0:
        return nothing
    means = np.stack([waveforms[classes == index].mean(axis=0) for index in np.flatnonzero(counts)])
    energies = [
        np.median(np.square(waveforms[classes == index] - waveforms[classes == index].mean(axis=0)).sum(axis=(1, 2)))
        for index in measured
    ]
    own = waveforms[classes == measured[int(np.argmin(energies))]]
    residuals = (own - own.mean(axis=0)) * np.sqrt(len(own) / (len(own) - 1))
    nearest = [_separation_from_nearest(index, means, residuals) for index in range(len(means))]
    typical = float(np.median(nearest)) / LEAST_SEPARATION
    return ClassNoise(residuals.astype("float32"), float(np.sqrt(max(typical**2 - 1, 0.0))))


def _separation_from_nearest(index: int, means: np.ndarray, residuals: np.ndarray) -> float:
    """Distance of a mean from the nearest other, in standard deviations of the noise along the line between them."""
    lines = np.delete(means, index, axis=0) - means[index]
    if len(lines) == 0:
        return 0.0
    spreads = np.sqrt(np.square(np.einsum("rcs,mcs->rm", residuals, lines)).mean(axis=0))
    return float(np.min(np.square(lines).sum(axis=(1, 2)) / np.maximum(spreads, 1e-9)))
