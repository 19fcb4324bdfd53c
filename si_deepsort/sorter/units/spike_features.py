"""
Features of single spikes of each unit, by which units can be compared.

Two templates differ because their units differ, because of noise, or because a clustering cut one unit in two. The
single spikes tell which: the halves of one unit overlap, however it was cut; two units do not.
"""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype

from ...geometry import channels_within, neighbor_indices
from ...spike_vectors import absolute_times, main_channels, some_of_each
from ..waveforms import read_waveforms
from .directions import DIRECTION_CHANNELS, directions_of_spikes
from .discriminate import cross_validated_separation, means_without_each
from .isolated import ISOLATED_OVERLAP, ISOLATION_RADIUS_UM, are_isolated
from .other_spikes import OtherSpikes
from .templates import UnitTemplates

# Isolated spikes of each unit that are compared: enough for a median that is precise to a tenth of their spread.
MOST_COMPARED_SPIKES = 200
# Smallest fraction of the joint energy of two units that must lie on channels which were read for both: otherwise they
# differ on the channels that were read for one of them only.
LEAST_SHARED_ENERGY = 0.9
# Units with fewer isolated spikes cannot be compared: a median and its spread mean nothing.
FEWEST_COMPARED_SPIKES = 5
# Spikes, spread over the main channels, from which the directions are computed: many times as many as a waveform has
# samples. A limit of time, not tuned.
MOST_DESCRIBING_SPIKES = 8000


@dataclass(frozen=True)
class SpikeFeatures:
    """
    Isolated spikes of each unit, as coefficients in the waveform directions that the units share.

    Attributes
    ----------
    coefficients : np.ndarray, shape (num_spikes, num_directions, max_neighbors), float32
        In noise standard deviations.
    positions : list of np.ndarray, int
        Rows of `coefficients` that belong to each unit.
    chosen : np.ndarray, shape (num_spikes,), int
        Position of each row in the spike vector that it was chosen from.
    channels : np.ndarray, shape (num_units, max_neighbors), int
        Channels that were read for each unit, -1 for none.
    energies : np.ndarray, shape (num_units, num_channels), float
        Energy of the templates in squared noise standard deviations.
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms.
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
        first, second : int
            The two units.
        lag : int
            In samples: spikes of the second unit are read this much earlier.
        amplitude_variance : float
            Variance of the amplitudes of a unit's spikes, relative to its template: a difference in size alone counts
            for little.

        Returns
        -------
        float
            nan if one of them has too few spikes, inf if they are visible on different channels.
        """
        energies = self.energies[first] + self.energies[second]
        common = self._common_channels(first, second)
        either = np.intersect1d(np.union1d(self.channels[first], self.channels[second]), np.flatnonzero(energies))
        # Units differ if much of their energy is on channels that were read for only one of them.
        if np.sum(energies[common]) < LEAST_SHARED_ENERGY * np.sum(energies[either]):
            return np.inf
        spikes, others = self.of_pair(first, second, lag)
        if min(len(spikes), len(others)) < FEWEST_COMPARED_SPIKES:
            return np.nan
        return cross_validated_separation(spikes, others, amplitude_variance)

    def of_pair(self, first: int, second: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Features of the spikes of two units on the channels that were read for both of them.

        Parameters
        ----------
        first, second, lag
            See `separation`.

        Returns
        -------
        spikes, others : np.ndarray, shape (num_spikes, num_features), float32
        """
        common = self._common_channels(first, second)
        spikes, others = (self._on_channels(unit, common) for unit in (first, second))
        if lag != 0:
            others = np.einsum("lk,nkc->nlc", self.moved(lag), others, optimize=True)
        num_features = len(self.directions) * len(common)
        return spikes.reshape(len(spikes), num_features), others.reshape(len(others), num_features)

    def _common_channels(self, first, second):
        energies = self.energies[first] + self.energies[second]
        return np.intersect1d(np.intersect1d(self.channels[first], self.channels[second]), np.flatnonzero(energies))

    def template_norm(self, unit: int) -> float:
        """Norm of the template of a unit on the channels that were read, in noise standard deviations."""
        channels = self.channels[unit]
        return float(np.sqrt(np.sum(self.energies[unit, channels[channels >= 0]])))

    def typical_size(self, unit: int, noise_levels: np.ndarray | float = 1.0) -> float:
        """
        Median projection of the spikes of a unit on the mean of its other spikes, in noise standard deviations.

        The norm of a mean is never small, because noise and a few large spikes of other units add to it. The
        projection of a typical spike holds neither.

        Parameters
        ----------
        unit : int
        noise_levels : np.ndarray, shape (num_spikes,) | float, default: 1.0
            Standard deviation of the noise around each spike of the unit.

        Returns
        -------
        float
            nan if there are too few spikes.
        """
        spikes = self.of_unit(unit)
        if len(spikes) < FEWEST_COMPARED_SPIKES:
            return np.nan
        others = means_without_each(spikes)
        lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
        return float(np.median(np.einsum("nf,nf->n", spikes, others) / lengths / noise_levels))

    def of_unit(self, unit: int) -> np.ndarray:
        """Features of the spikes of a unit on the channels where it is visible, (num_spikes, num_features), float32."""
        spikes = self._on_channels(unit, np.intersect1d(self.channels[unit], np.flatnonzero(self.energies[unit])))
        return spikes.reshape(len(spikes), spikes.shape[1] * spikes.shape[2])

    def _on_channels(self, unit, channels):
        columns = np.searchsorted(self.channels[unit], channels, sorter=(order := np.argsort(self.channels[unit])))
        return self.coefficients[self.positions[unit]][:, :, order[columns]]

    def moved(self, lag: int) -> np.ndarray:
        """
        Matrix that turns coefficients into those of the waveform read `lag` samples earlier.

        What such a waveform has outside the directions is lost.

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
    traces: BaseRecording,
    spikes: np.ndarray,
    templates: UnitTemplates,
    *,
    seed: int,
    most_spikes: int = MOST_COMPARED_SPIKES,
    most_overlap: float = ISOLATED_OVERLAP,
    directions: np.ndarray | None = None,
    units: np.ndarray | None = None,
) -> SpikeFeatures:
    """
    Read features of isolated spikes of each unit, without the templates of other spikes in their windows.

    A rare unit in a crowd has no isolated spikes. Those that overlap least are read; without this, they would differ
    by the spikes of other units.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    templates : UnitTemplates
        Templates of the units.
    seed : int
        Seed of the choice of spikes.
    most_spikes : int, default: MOST_COMPARED_SPIKES
        Spikes of each unit that are read, at most.
    most_overlap : float, default: ISOLATED_OVERLAP
        Energy that other spikes may add to an isolated one, see `are_isolated`.
    directions : np.ndarray | None, shape (num_directions, num_samples), default: None
        Orthonormal waveforms. None takes those in which the spikes vary, whatever their units: only these serve for
        comparing units. Those of the templates hold all that units differ by, and their noise.
    units : np.ndarray | None, int, default: None
        Units whose spikes are read; None reads those of all.
    """
    locations = traces.get_channel_locations()[:, :2]
    neighbors, peak_channels = channels_within(locations, ISOLATION_RADIUS_UM), main_channels(templates.values)
    is_isolated = are_isolated(spikes, templates.values, locations, most_overlap=most_overlap)
    isolated = np.flatnonzero(is_isolated & (units is None or np.isin(spikes["unit_index"], units)))
    chosen = isolated[some_of_each(spikes["unit_index"][isolated], most_spikes, seed)]
    owners = spikes["unit_index"][chosen]
    as_peaks = np.zeros(len(chosen), dtype=base_peak_dtype)
    for field in ("sample_index", "segment_index"):
        as_peaks[field] = spikes[field][chosen]
    as_peaks["channel_index"] = peak_channels[owners]
    reach = dict(nbefore=templates.nbefore, nafter=templates.values.shape[1] - templates.nbefore)
    if directions is None:
        directions = _spike_directions(traces, as_peaks, neighbor_indices(locations, DIRECTION_CHANNELS), seed, reach)
    times, units_of_all = absolute_times(spikes), spikes["unit_index"].astype("int64")
    others = OtherSpikes(times, units_of_all, templates.values, templates.visible)
    return SpikeFeatures(
        _coefficients(traces, as_peaks, neighbors, directions, reach, others, chosen),
        [np.flatnonzero(owners == unit) for unit in range(len(templates.values))],
        chosen,
        neighbors[peak_channels],
        np.sum(templates.values**2, axis=1),
        directions,
    )


def _coefficients(traces: BaseRecording, peaks, neighbors, directions, reach: dict, others: OtherSpikes, chosen):
    """Coefficients of the waveforms around chosen spikes, (num_peaks, num_directions, max_neighbors), float32."""
    coefficients = np.zeros((len(peaks), len(directions), neighbors.shape[1]), dtype="float32")

    def describe(positions, waveforms):
        others.subtract(waveforms, chosen[positions], neighbors[peaks["channel_index"][positions]])
        return np.einsum("nsc,ks->nkc", waveforms, directions, optimize=True)

    for positions, found in read_waveforms(traces, peaks, neighbors, **reach, describe=describe):
        coefficients[positions] = found
    return coefficients


def _spike_directions(traces: BaseRecording, peaks: np.ndarray, neighbors: np.ndarray, seed: int, reach: dict):
    """Directions in which the spikes vary on the channels around them, (num_directions, num_samples), float32."""
    most = max(MOST_DESCRIBING_SPIKES // max(len(np.unique(peaks["channel_index"])), 1), 1)
    peaks = peaks[some_of_each(peaks["channel_index"], most, seed)]

    def describe(_, waveforms):
        rows = np.swapaxes(waveforms, 1, 2).reshape(-1, waveforms.shape[1]).astype("float64")
        rows = rows[np.any(rows != 0, axis=1)]
        return rows.T @ rows, len(rows)

    products, num_rows = np.zeros((reach["nbefore"] + reach["nafter"],) * 2), 0
    for _, (product, count) in read_waveforms(traces, peaks, neighbors, **reach, describe=describe):
        products, num_rows = products + product, num_rows + count
    return directions_of_spikes(products, num_rows)
