"""Templates of the units in white traces, on few channels each, and which units resemble each other."""

from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED

# Window of a template in ms: white waveforms are shorter than those before whitening.
MS_BEFORE, MS_AFTER = 0.8, 1.4
# Channels on which a template is kept: those with the largest energy within this radius in um of the main channel.
MOST_CHANNELS, RADIUS_UM = 16, 150.0
# Waveforms over time that all templates of a recording are made of: white templates have few degrees of freedom, and
# the others hold noise. The sorter uses as many directions.
NUM_DIRECTIONS = 12
# A channel is kept if its energy exceeds that of noise in an average by this many standard deviations.
CHANNEL_SIGNIFICANCE = 4.0
# Units that are compared with each unit.
MOST_NEIGHBOURS = 6
# Lags in ms at which two templates are compared.
MOST_LAG_MS = 0.6
# Variance of the amplitudes of a unit's spikes, relative to its template: the default of the sorter.
AMPLITUDE_VARIANCE = 0.02


@dataclass(frozen=True)
class WhiteTemplates:
    """
    Templates of all units in white traces.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples, num_kept), float32
        In noise standard deviations; 0 where fewer channels are kept.
    channels : np.ndarray, shape (num_units, num_kept), int
        Channels of each template, the main one first; -1 where there are fewer.
    nbefore : int
        Samples before the spike time.
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms over time that the templates are made of.
    counts : np.ndarray, shape (num_units,), int
        Spikes that were averaged.
    slopes : np.ndarray, shape (num_units, num_samples, num_kept), float32
        What moves a template by a sample: minus its slope.
    energies : np.ndarray, shape (2, num_units), float32
        Squared norms of templates and slopes.
    """

    values: np.ndarray
    channels: np.ndarray
    nbefore: int
    directions: np.ndarray
    counts: np.ndarray
    slopes: np.ndarray
    energies: np.ndarray

    @property
    def norms(self) -> np.ndarray:
        """Squared norm of each template, (num_units,), float64."""
        return np.einsum("usk,usk->u", self.values, self.values, dtype="float64")

    def dense(self, num_channels: int) -> np.ndarray:
        """Templates on all channels, (num_units, num_samples, num_channels), float32."""
        num_units, num_samples, _ = self.values.shape
        dense: np.ndarray = np.zeros((num_units, num_samples, num_channels), dtype="float32")
        for unit, channels in enumerate(self.channels):
            dense[unit][:, channels[channels >= 0]] = self.values[unit][:, channels >= 0]
        return dense


@dataclass(frozen=True)
class Neighbours:
    """
    Units that resemble each unit.

    Attributes
    ----------
    units : np.ndarray, shape (num_units, MOST_NEIGHBOURS), int
        The most similar first; -1 where there are fewer.
    lags : np.ndarray, shape (num_units, MOST_NEIGHBOURS), int
        Samples by which the template of the neighbour has to be moved later to resemble that of the unit most.
    distances : np.ndarray, shape (num_units, MOST_NEIGHBOURS), float
        Distance of the templates at this lag and the best amplitude, in noise standard deviations.
    """

    units: np.ndarray
    lags: np.ndarray
    distances: np.ndarray


def window_samples(sampling_frequency: float) -> tuple[int, int]:
    """Samples of a template before and from the spike on; sampling_frequency in Hz."""
    return round(MS_BEFORE * sampling_frequency / 1000), round(MS_AFTER * sampling_frequency / 1000)


def make_templates(sums: np.ndarray, counts: np.ndarray, locations: np.ndarray, *, nbefore: int) -> WhiteTemplates:
    """
    Templates from sums of waveforms.

    Parameters
    ----------
    sums : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Sums of white waveforms.
    counts : np.ndarray, shape (num_units,), int
        Waveforms in each sum.
    locations : np.ndarray, shape (num_channels, 2), float
        In um.
    nbefore : int
        Samples before the spike time.
    """
    averages = sums / np.maximum(counts, 1)[:, None, None]
    num_units, num_samples, num_channels = averages.shape
    num_kept = min(MOST_CHANNELS, num_channels)
    energies = np.sum(averages**2, axis=1)
    noise = (1 + CHANNEL_SIGNIFICANCE * np.sqrt(2 / num_samples)) * num_samples / np.maximum(counts, 1)
    channels = np.full((num_units, num_kept), -1)
    values = np.zeros((num_units, num_samples, num_kept), dtype="float32")
    for unit in np.flatnonzero(counts > 0):
        main = np.abs(averages[unit]).max(axis=0).argmax()
        is_near = np.linalg.norm(locations - locations[main], axis=1) <= RADIUS_UM
        order = np.argsort(-np.where(is_near, energies[unit], -1), kind="stable")
        order = order[is_near[order] & ((energies[unit, order] > noise[unit]) | (order == main))]
        order = np.concatenate([[main], order[order != main]])[:num_kept]
        channels[unit, : len(order)] = order
        values[unit, :, : len(order)] = averages[unit][:, order]
    directions = common_directions(values)
    values = np.einsum("ds,usk,dt->utk", directions, values, directions, optimize=True).astype("float32")
    # Computed once: hundreds of short stretches are explained with the same templates.
    slopes = np.ascontiguousarray(-np.gradient(values, axis=1)) if num_units else values
    energies = np.stack([np.sum(part**2, axis=(1, 2)) for part in (values, slopes)])
    return WhiteTemplates(values, channels, nbefore, directions, counts, slopes, energies)


def common_directions(values: np.ndarray) -> np.ndarray:
    """
    Orthonormal waveforms over time that most templates are made of.

    Parameters
    ----------
    values : np.ndarray, shape (num_units, num_samples, num_kept), float32

    Returns
    -------
    np.ndarray, shape (num_directions, num_samples), float32
        Each template counts alike, whatever its size.
    """
    scaled = values / np.maximum(np.sqrt(np.einsum("usk,usk->u", values, values)), 1e-9)[:, None, None]
    covariance = np.einsum("usk,utk->st", scaled, scaled, optimize=True).astype("float64")
    _, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray(vectors[:, ::-1][:, :NUM_DIRECTIONS].T, dtype="float32")


def find_neighbours(templates: WhiteTemplates, num_channels: int, *, most_lag: int) -> Neighbours:
    """
    Find the units that resemble each unit most.

    Parameters
    ----------
    templates : WhiteTemplates
    num_channels : int
        Channels of the recording.
    most_lag : int
        Largest lag in samples.
    """
    num_units = len(templates.values)
    units = np.full((num_units, MOST_NEIGHBOURS), -1)
    lags = np.zeros((num_units, MOST_NEIGHBOURS), dtype=int)
    distances = np.full((num_units, MOST_NEIGHBOURS), np.inf)
    if num_units == 0:
        return Neighbours(units, lags, distances)
    places = np.full((num_units, num_channels), -1)
    for row, channels in enumerate(templates.channels):
        places[row, channels[channels >= 0]] = np.flatnonzero(channels >= 0)
    norms = templates.norms
    precision = 1 / AMPLITUDE_VARIANCE
    for unit in np.flatnonzero(norms > 0):
        own = templates.channels[unit]
        shared = np.any(places[:, own[own >= 0]] >= 0, axis=1) & (norms > 0)
        shared[unit] = False
        others = np.flatnonzero(shared)
        if len(others) == 0:
            continue
        overlaps = np.zeros((len(others), 2 * most_lag + 1))
        _add_overlaps(templates.values, templates.channels, places, unit, others, most_lag, overlaps)
        best = overlaps.argmax(axis=1)
        inner = overlaps[np.arange(len(others)), best]
        # Energy that is left of the template when the other one, at its best amplitude, is subtracted.
        amplitudes = np.maximum((inner + precision) / (norms[others] + precision), 0)
        rest = norms[unit] - 2 * amplitudes * inner + amplitudes**2 * norms[others] + precision * (amplitudes - 1) ** 2
        order = np.argsort(rest, kind="stable")[:MOST_NEIGHBOURS]
        units[unit, : len(order)] = others[order]
        lags[unit, : len(order)] = best[order] - most_lag
        distances[unit, : len(order)] = np.sqrt(np.maximum(rest[order], 0))
    return Neighbours(units, lags, distances)


@numba.njit(fastmath=True, **COMPILED)
def _add_overlaps(values, channels, places, unit, others, most_lag, found):
    """Add inner products of the template of a unit with those of others, moved later by each lag, to `found`."""
    num_samples = values.shape[1]
    for row in range(len(others)):
        other = others[row]
        for kept in range(channels.shape[1]):
            channel = channels[unit, kept]
            if channel < 0 or places[other, channel] < 0:
                continue
            place = places[other, channel]
            for step in range(2 * most_lag + 1):
                lag = step - most_lag
                total = 0.0
                for sample in range(max(0, lag), min(num_samples, num_samples + lag)):
                    total += values[unit, sample, kept] * values[other, sample - lag, place]
                found[row, step] += total
