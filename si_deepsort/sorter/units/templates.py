"""
Templates of units, and the distances between them.

A template is made from an average of white traces, so the noise of the average is known: its variance is
1 / num_spikes at each sample. A template is 0 on channels where it does not stand out from this noise, and the
distance between two templates is what remains after subtracting what noise adds to it.
"""

from dataclasses import dataclass

import numpy as np

from ..matching.overlaps import correlate_pairs
from ..waveforms import MOST_AVERAGED_SPIKES
from .background import Background

# Waveform directions on which templates are projected. Tuned on generated development recordings (seeds 1-5).
TEMPLATE_DIRECTIONS = 12
# Channels of each unit, those where it is largest, from which the waveform directions are computed.
DIRECTION_CHANNELS = 4
# Units count for the waveform directions by the square root of their number of spikes; more than these count no more.
MOST_WEIGHTED_SPIKES = 200
# Largest lag in samples at which two templates are compared: spike times of one unit differ by less.
MAX_LAG = 10
# A channel farther than this from the main channel, in um, shows a unit only if its energy is at least FAR_ENERGY of
# the largest; nearer channels need NEAR_ENERGY. Tuned on generated development recordings (seeds 1-5).
FAR_UM = 120.0
FAR_ENERGY = 0.05
NEAR_ENERGY = 0.01
# Standard deviations by which the energy on a channel must exceed that of noise, if energies were normally distributed.
VISIBLE_SDS = 3.0
# Delays in samples that are tried when two templates are compared: spike times lie between samples.
DELAYS = (-0.5, -0.25, 0.0, 0.25)
# Farthest that the spike times of a unit are moved, in samples: first to its largest peak, then to a similar unit.
MOST_SHIFT = 30


@dataclass(frozen=True)
class UnitTemplates:
    """
    Templates of units.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations; exactly 0 on channels where a unit is not visible.
    nbefore : int
        Sample of the spike time.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes that each template was made from.
    noise_energy : np.ndarray, shape (num_channels,), float
        Mean energy that noise and the spikes of other units add to a single waveform, in squared noise standard
        deviations.
    """

    values: np.ndarray
    nbefore: int
    num_spikes: np.ndarray
    noise_energy: np.ndarray

    def squared_errors(self) -> np.ndarray:
        """
        Expected squared error of each template on each channel where it is visible.

        Returns
        -------
        np.ndarray, shape (num_units, num_channels), float
            In squared noise standard deviations.
        """
        visible = np.any(self.values != 0, axis=1)
        return visible * self.noise_energy / np.clip(self.num_spikes, 1, MOST_AVERAGED_SPIKES)[:, None]


def clean_averages(averages: np.ndarray, num_spikes: np.ndarray, nbefore: int, background: Background) -> UnitTemplates:
    """
    Remove noise from average waveforms.

    Each average is projected on the few waveform directions that the units of this recording share, and set to 0 on
    channels where its energy does not exceed that of noise. Far from the main channel, where a chance overlap with
    other units is more likely than a trace of this one, its energy must be a larger part of the maximum.

    Parameters
    ----------
    averages : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes in each average.
    nbefore : int
        Sample of the spike time.
    background : Background
    """
    if len(averages) == 0:
        return UnitTemplates(averages, nbefore, num_spikes, np.zeros(averages.shape[2]))
    directions = _shared_directions(averages, num_spikes)
    coefficients = directions @ averages
    energy = np.sum(coefficients**2, axis=1)
    noise_energy = background.energy(directions)
    count = np.clip(num_spikes, 1, MOST_AVERAGED_SPIKES)[:, None]
    visible = energy > noise_energy * (1 + VISIBLE_SDS * np.sqrt(2 / len(directions))) / count
    is_far = background.distances_um[energy.argmax(axis=1)] > FAR_UM
    visible &= energy >= np.where(is_far, FAR_ENERGY, NEAR_ENERGY) * energy.max(axis=1, keepdims=True)
    values = np.zeros(averages.shape, dtype="float32")
    for unit, shown in enumerate(visible):
        values[unit][:, shown] = directions.T @ coefficients[unit][:, shown]
    return UnitTemplates(values, nbefore, num_spikes, noise_energy)


def _shared_directions(averages, num_spikes):
    """Orthonormal waveforms (num_directions, num_samples) that the averages are made of, the most important first."""
    rows = []
    for average, count in zip(averages, num_spikes, strict=True):
        sizes = np.linalg.norm(average, axis=0)
        best = np.argsort(-sizes)[:DIRECTION_CHANNELS]
        rows.append(average[:, best].T / max(sizes.max(), 1e-9) * np.sqrt(min(count, MOST_WEIGHTED_SPIKES)))
    _, _, right = np.linalg.svd(np.concatenate(rows), full_matrices=False)
    return right[:TEMPLATE_DIRECTIONS]


def peak_offsets(templates: UnitTemplates) -> np.ndarray:
    """
    Number of samples from the spike time to the largest peak of each template.

    Returns
    -------
    np.ndarray, shape (num_units,), int
        At most MOST_SHIFT - MAX_LAG in either direction.
    """
    if len(templates.values) == 0:
        return np.zeros(0, dtype=int)
    reach = MOST_SHIFT - MAX_LAG
    first = max(0, templates.nbefore - reach)
    near = np.abs(templates.values[:, first : templates.nbefore + reach + 1]).max(axis=2)
    return near.argmax(axis=1) + first - templates.nbefore


def template_distances(templates: UnitTemplates) -> tuple[np.ndarray, np.ndarray]:
    """
    Distance between each pair of templates at its best lag, without what noise adds to it.

    Returns
    -------
    distances : np.ndarray, shape (num_units, num_units), float
        In noise standard deviations; inf for units that share no channel.
    lags : np.ndarray, shape (num_units, num_units), int
        If unit i fires at frame t, template j fits best with its spike time at t - lags[i, j].
    """
    num_units = len(templates.values)
    norms = np.einsum("usc,usc->u", templates.values, templates.values, dtype="float64")
    distances, lags = np.full((num_units, num_units), np.inf), np.zeros((num_units, num_units), dtype=int)
    errors = templates.squared_errors().sum(axis=1)
    pairs = correlate_pairs(templates.values, max_lag=MAX_LAG, delays=DELAYS)
    for unit, (others, correlations) in enumerate(pairs):
        window = correlations.max(axis=1)
        best = window.argmax(axis=1)
        squared = norms[unit] + norms[others] - 2 * window.max(axis=1)
        squared -= errors[unit] + errors[others]
        distances[unit, others] = np.sqrt(np.maximum(squared, 0))
        lags[unit, others] = best - MAX_LAG
    return distances, lags
