"""
How well the spikes of two units can be told apart.

Two templates differ by what their units differ, by the noise of averages of few spikes, and by whatever made a
clustering cut one unit in two. Only the spikes tell which: each is compared with averages that it is no part of. The
halves of one unit then overlap, however it was cut; two units do not.
"""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core.base import base_peak_dtype

from ...geometry import channels_within
from ...noise import MAD_TO_SD
from ..clusters.embed import read_waveforms
from ..matching.overlaps import waveform_directions
from .averages import some_of_each
from .isolated import MOST_OVERLAP, RADIUS_UM, are_alone
from .templates import UnitTemplates

# Spikes of a unit that are looked at.
MOST_SPIKES = 200
# Of the energy of two units on channels that are looked at for either, the part on those that are for both.
MIN_COMMON = 0.9
# Standard deviation of one unit's spikes along a line, at most: noise with what other units add to it, and variation
# as a fraction of the unit's size.
MOST_NOISE, MOST_VARIATION = 1.15, 0.057
# Fewer spikes tell nothing.
MIN_SPIKES = 5


@dataclass
class SpikeFeatures:
    """
    Some spikes of each unit, as coefficients in the waveform directions that the units share.

    Attributes
    ----------
    coefficients : np.ndarray, shape (num_spikes, num_directions, max_neighbors), float32
    positions : list of np.ndarray, int
        Rows of each unit.
    chosen : np.ndarray, shape (num_spikes,), int
        Position of each row in the spike vector that it was chosen from.
    channels : np.ndarray, shape (num_units, max_neighbors), int
        Channels of each unit, -1 for none.
    energies : np.ndarray, shape (num_units, num_channels), float
        Of the templates.
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal.
    """

    coefficients: np.ndarray
    positions: list
    chosen: np.ndarray
    channels: np.ndarray
    energies: np.ndarray
    directions: np.ndarray

    def separation(self, first: int, second: int, lag: int, amplitude_variance: float) -> float:
        """
        Distance between the spikes of two units in standard deviations of either.

        Parameters
        ----------
        lag : int
            In samples: spikes of the second unit are read this much earlier.
        amplitude_variance : float
            Of a unit's spikes, relative to its template: a difference in size alone counts for little.

        Returns
        -------
        float
            nan if one of them has too few spikes, inf if they are seen on different channels.
        """
        energies = self.energies[first] + self.energies[second]
        channels = self.channels[first], self.channels[second]
        common, either = (
            np.intersect1d(join(*channels), np.flatnonzero(energies)) for join in (np.intersect1d, np.union1d)
        )
        # Units that are seen where only the other one is not looked at are told apart there.
        if np.sum(energies[common]) < MIN_COMMON * np.sum(energies[either]):
            return np.inf
        spikes, others = (self._on_channels(unit, common) for unit in (first, second))
        if min(len(spikes), len(others)) < MIN_SPIKES:
            return np.nan
        if lag != 0:
            others = np.einsum("lk,nkc->nlc", self.moved(lag), others, optimize=True)
        return cross_validated_separation(
            spikes.reshape(len(spikes), -1), others.reshape(len(others), -1), amplitude_variance
        )

    def typical_size(self, unit: int) -> float:
        """
        What a spike of a unit shows of the mean of the others, in standard deviations of white noise; the median.

        The norm of a mean is never small: noise adds to it, and so do a few large spikes of other units. A typical
        spike holds neither.

        Returns
        -------
        float
            nan if there are too few spikes.
        """
        spikes = self.of_unit(unit)
        if len(spikes) < MIN_SPIKES:
            return np.nan
        others = _means_without_each(spikes)
        lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
        return float(np.median(np.einsum("nf,nf->n", spikes, others) / lengths))

    def of_unit(self, unit: int) -> np.ndarray:
        """Features of the spikes of a unit on the channels where it is visible, (num_spikes, num_features), float32."""
        spikes = self._on_channels(unit, np.intersect1d(self.channels[unit], np.flatnonzero(self.energies[unit])))
        return spikes.reshape(len(spikes), spikes.shape[1] * spikes.shape[2])

    def _on_channels(self, unit, channels):
        columns = np.searchsorted(self.channels[unit], channels, sorter=(order := np.argsort(self.channels[unit])))
        return self.coefficients[self.positions[unit]][:, :, order[columns]]

    def moved(self, lag: int) -> np.ndarray:
        """
        What reading `lag` samples earlier does to coefficients, as far as the directions show it.

        Returns
        -------
        np.ndarray, shape (num_directions, num_directions), float32
        """
        moved = np.zeros_like(self.directions)
        if lag > 0:
            moved[:, lag:] = self.directions[:, :-lag]
        else:
            moved[:, :lag] = self.directions[:, -lag:]
        return self.directions @ moved.T


def read_spike_features(
    traces,
    spikes: np.ndarray,
    templates: UnitTemplates,
    *,
    seed: int,
    most_spikes: int = MOST_SPIKES,
    most_overlap: float = MOST_OVERLAP,
) -> SpikeFeatures:
    """
    Features of some spikes of each unit that are nearly alone.

    Parameters
    ----------
    traces : BaseRecording
        White.
    spikes : np.ndarray
        Spike vector of the units, sorted.
    most_spikes : int
        Of each unit that are looked at.
    most_overlap : float
        See `are_alone`.
    """
    num_units = len(templates.values)
    directions = waveform_directions(templates.values)
    locations = traces.get_channel_locations()[:, :2]
    neighbors = channels_within(locations, RADIUS_UM)
    main_channels = np.abs(templates.values).max(axis=1).argmax(axis=1)
    alone = np.flatnonzero(are_alone(spikes, templates, locations, most_overlap=most_overlap))
    chosen = alone[some_of_each(spikes["unit_index"][alone], most_spikes, seed)]
    spikes = spikes[chosen]
    as_peaks = np.zeros(len(spikes), dtype=base_peak_dtype)
    as_peaks["sample_index"], as_peaks["segment_index"] = spikes["sample_index"], spikes["segment_index"]
    as_peaks["channel_index"] = main_channels[spikes["unit_index"]]
    coefficients = np.zeros((len(spikes), len(directions), neighbors.shape[1]), dtype="float32")
    reach = dict(nbefore=templates.nbefore, nafter=templates.values.shape[1] - templates.nbefore)
    for positions, waveforms in read_waveforms(traces, as_peaks, neighbors, **reach):
        coefficients[positions] = np.einsum("nsc,ks->nkc", waveforms, directions, optimize=True)
    return SpikeFeatures(
        coefficients,
        [np.flatnonzero(spikes["unit_index"] == unit) for unit in range(num_units)],
        chosen,
        neighbors[main_channels],
        np.sum(templates.values**2, axis=1),
        directions,
    )


def cross_validated_separation(first: np.ndarray, second: np.ndarray, amplitude_variance: float) -> float:
    """
    Distance between two groups along the line between their means, in standard deviations of either.

    Each point is projected on the line between the mean of its group without itself and the mean of the other. Along
    the common mean, amplitudes vary by more than noise, and the line is tilted away from it (Fisher's discriminant).
    Points that spread wider than those of one unit can are of several, which is no reason to add another one.

    Parameters
    ----------
    first, second : np.ndarray, shape (num_points, num_features), float

    Returns
    -------
    float
        Below 0 if the two means tell no more than chance.
    """
    means = first.mean(axis=0), second.mean(axis=0)
    largest = max(np.linalg.norm(mean) for mean in means)
    above = _projections(first, *means, amplitude_variance)
    below = -_projections(second, *means[::-1], amplitude_variance)
    spread = np.sqrt(0.5 * (_robust_variance(above) + _robust_variance(below)))
    spread = np.clip(spread, 1e-9, max(MOST_NOISE, MOST_VARIATION * largest))
    return float((np.median(above) - np.median(below)) / spread)


def _projections(points, own_mean, other_mean, amplitude_variance):
    without = _means_without_each(points)
    common = 0.5 * (own_mean + other_mean)
    lines = without - other_mean
    weight = amplitude_variance / (1.0 + amplitude_variance * common @ common)
    lines = lines - weight * (lines @ common)[:, None] * common
    lines /= np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-9)
    return np.einsum("nf,nf->n", points - 0.5 * (without + other_mean), lines)


def _means_without_each(points):
    return (np.sum(points, axis=0) - points) / (len(points) - 1)


def _robust_variance(values):
    return (MAD_TO_SD * np.median(np.abs(values - np.median(values)))) ** 2
