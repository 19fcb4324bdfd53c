"""
Templates of units, and the distances between them.

A template is made from an average of white traces, so the noise of the average is known: its variance is
1 / num_spikes at each sample. A template is 0 on channels where it does not stand out from this noise, and the
distance between two templates is what remains after subtracting what noise adds to it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...threads import each
from ..average_waveforms import MOST_AVERAGED_SPIKES, UNITS_TOGETHER
from ..matching.overlaps import correlate_pairs
from .background import Background
from .directions import detail_directions, shared_directions

# Largest lag in samples at which two templates are compared: spike times of one unit differ by less.
MAX_LAG = 10
# Weak channels are left out to save time: those with less than NEAR_ENERGY of the energy of the largest channel, or
# FAR_ENERGY of it beyond FAR_UM um. Tuned on generated development recordings (seeds 1-5).
FAR_UM = 120.0
FAR_ENERGY = 0.05
NEAR_ENERGY = 0.01
# A channel with more energy than this, in squared noise standard deviations, is always kept: left out, it would add
# about half of what a spike needs to be detected (`match_threshold`).
DETECTABLE_ENERGY = 10.0
# Largest energy of the half difference, relative to that of the average, on channels that show a unit: the averages
# of the two halves of its spikes then have a cosine above 1/2, more signal than error.
MOST_DIFFERENCE = 1 / 3
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

    @cached_property
    def visible(self) -> np.ndarray:
        """Where each unit is visible, (num_units, num_channels), bool."""
        return np.any(self.values != 0, axis=1)

    def squared_errors(self) -> np.ndarray:
        """
        Expected squared error of each template on each channel where it is visible.

        Returns
        -------
        np.ndarray, shape (num_units, num_channels), float
            In squared noise standard deviations.
        """
        return self.visible * self.noise_energy / np.clip(self.num_spikes, 1, MOST_AVERAGED_SPIKES)[:, None]


def clean_averages(
    averages: np.ndarray, differences: np.ndarray, num_spikes: np.ndarray, nbefore: int, background: Background
) -> UnitTemplates:
    """
    Remove noise from average waveforms.

    Each average is projected on the few waveform directions that the units of this recording share. Details beyond
    these directions are added where they stand out, and channels where a unit does not stand out are set to 0. A unit
    stands out where the energy of its average exceeds that of noise and two halves of its spikes agree: what a chance
    overlap with another unit adds is in one half alone. What is cut off from a large unit would be taken for spikes,
    so no rule compares a channel with the largest one where its energy could be detected.

    Parameters
    ----------
    averages : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations.
    differences : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Half the differences between the averages of two halves of the spikes.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes in each average.
    nbefore : int
        Sample of the spike time.
    background : Background
    """
    if len(averages) == 0:
        return UnitTemplates(averages, nbefore, num_spikes, np.zeros(averages.shape[2]))
    count = np.clip(num_spikes, 1, MOST_AVERAGED_SPIKES)
    directions = shared_directions(averages, num_spikes)
    noise_energy = background.energy(directions)
    energy = _energies(averages, directions)
    visible = _stands_out(energy, differences, directions, noise_energy / count[:, None])
    is_far = background.distances_um[energy.argmax(axis=1)] > FAR_UM
    share = np.where(is_far, FAR_ENERGY, NEAR_ENERGY) * energy.max(axis=1, keepdims=True)
    visible &= energy >= np.minimum(share, DETECTABLE_ENERGY)
    values = np.zeros(averages.shape, dtype="float32")
    _add_projections(values, averages, visible, directions)
    details = detail_directions(averages, differences, directions, visible, count)
    if len(details) > 0:
        noise = background.energy(details) / count[:, None]
        is_detailed = visible & _stands_out(_energies(averages, details), differences, details, noise)
        _add_projections(values, averages, is_detailed, details)
    return UnitTemplates(values, nbefore, num_spikes, noise_energy)


def _add_projections(values, averages, shown, directions):
    """Add to `values` the averages, projected on some directions, on the channels that are shown (units, channels)."""

    # In one thread: each product is so small that threads would spend more time on taking turns.
    for unit in range(len(values)):
        values[unit][:, shown[unit]] += directions.T @ (directions @ averages[unit][:, shown[unit]])


def _energies(waveforms, directions):
    """Energies in some directions of waveforms (units, samples, channels); (units, channels)."""

    def energies_of(first):
        return np.sum((directions @ waveforms[first : first + UNITS_TOGETHER]) ** 2, axis=1)

    return np.concatenate(list(each(energies_of, range(0, len(waveforms), UNITS_TOGETHER))))


def _stands_out(energy, differences, directions, noise_energy):
    """Where units have more energy in some directions than noise, in both halves of their spikes; (units, channels)."""
    is_above_noise = energy > noise_energy * (1 + VISIBLE_SDS * np.sqrt(2 / len(directions)))
    return is_above_noise & (_energies(differences, directions) < MOST_DIFFERENCE * energy)


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


def template_distances(templates: UnitTemplates, max_lag: int = MAX_LAG) -> tuple[np.ndarray, np.ndarray]:
    """
    Distance between each pair of templates at its best lag, without what noise adds to it.

    Parameters
    ----------
    templates : UnitTemplates
    max_lag : int, default: MAX_LAG
        Largest lag in samples.

    Returns
    -------
    distances : np.ndarray, shape (num_units, num_units), float
        In noise standard deviations; inf for units that share no channel.
    lags : np.ndarray, shape (num_units, num_units), int
        If unit i fires at frame t, template j fits best with its spike time at t + lags[i, j].
    """
    num_units = len(templates.values)
    norms = np.einsum("usc,usc->u", templates.values, templates.values, dtype="float64")
    distances, lags = np.full((num_units, num_units), np.inf), np.zeros((num_units, num_units), dtype=int)
    errors = templates.squared_errors().sum(axis=1)
    pairs = correlate_pairs(templates.values, max_lag=max_lag, delays=DELAYS)
    for unit, (others, correlations) in enumerate(pairs):
        window = correlations.max(axis=1)
        best = window.argmax(axis=1)
        squared = norms[unit] + norms[others] - 2 * window.max(axis=1)
        squared -= errors[unit] + errors[others]
        distances[unit, others] = np.sqrt(np.maximum(squared, 0))
        lags[unit, others] = best - max_lag
    return distances, lags
