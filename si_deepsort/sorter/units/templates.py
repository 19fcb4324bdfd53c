"""
Step 4 of the sorter: one template for each unit, as free of noise as its spikes allow, and no unit twice.

A template is an average of white traces, so its own noise is known: variance 1 / num_spikes per sample. Everything
here counts with it: channels where a template does not stand out are set to 0, and two templates are the same unit if
their distance, less what noise adds to it, is too small to tell their spikes apart.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from ...geometry import channel_distances
from ...noise import sample_traces
from ..matching.overlaps import correlate_pairs
from .averages import MOST_SPIKES

NUM_DIRECTIONS = 12
MAX_LAG = 10
# A channel farther than this from the main one shows a unit only if its energy is this fraction of the largest.
FAR_UM = 120.0
FAR_ENERGY = 0.05
NEAR_ENERGY = 0.01
# Frames of which pairs are averaged; many times a template's.
BACKGROUND_FRAMES = 8192
# Larger values are artefacts, in noise standard deviations.
MOST_EXTREME = 200.0
# Averages of the same unit may lie part of a sample apart.
DELAYS = (-0.5, -0.25, 0.0, 0.25)
# Farthest that the spike times of a cluster are moved, in samples: to its largest peak, then to a similar unit.
MOST_SHIFT = 30


@dataclass
class UnitTemplates:
    """
    Templates of units.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations; exactly 0 where a unit is not visible.
    nbefore : int
        Sample of the spike time.
    num_spikes : np.ndarray, shape (num_units,), int
        Spikes that made each template.
    noise_energy : np.ndarray, shape (num_channels,), float
        What noise and the spikes of all units add, on average, to the squared norm of a single waveform.
    """

    values: np.ndarray
    nbefore: int
    num_spikes: np.ndarray
    noise_energy: np.ndarray

    def squared_errors(self) -> np.ndarray:
        """Expected squared error of each template on each channel where it is visible; (num_units, num_channels)."""
        visible = np.any(self.values != 0, axis=1)
        return visible * self.noise_energy / np.clip(self.num_spikes, 1, MOST_SPIKES)[:, None]


@dataclass
class UnitAverages:
    """
    Average waveforms that reach further than templates, so that units can be moved in time and joined without reading
    the traces again.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples + 2 * MOST_SHIFT, num_channels), float32
    nbefore : int
        Sample of the spike time in a template; in `values` it is MOST_SHIFT samples later.
    num_spikes : np.ndarray, shape (num_units,), int
    background : Background
    """

    values: np.ndarray
    nbefore: int
    num_spikes: np.ndarray
    background: "Background"

    @property
    def num_samples(self) -> int:
        """Of a template."""
        return self.values.shape[1] - 2 * MOST_SHIFT

    def templates(self) -> "UnitTemplates":
        """The averages without what noise put into them."""
        core = self.values[:, MOST_SHIFT : MOST_SHIFT + self.num_samples]
        return clean_averages(core, self.num_spikes, self.nbefore, self.background)

    def joined(self, labels: np.ndarray, shifts: np.ndarray) -> "UnitAverages":
        """
        Averages of new units, each of which takes some of these.

        Parameters
        ----------
        labels : np.ndarray, shape (num_units,), int
            New unit 0, 1, ... of each unit; -1 to drop it.
        shifts : np.ndarray, shape (num_units,), int
            Added to the times of its spikes; at most MOST_SHIFT.
        """
        num_new = int(labels.max(initial=-1)) + 1
        kept = np.flatnonzero(labels >= 0)
        counts = np.zeros(num_new, dtype=self.num_spikes.dtype)
        np.add.at(counts, labels[kept], self.num_spikes[kept])
        values, length = np.zeros((num_new, *self.values.shape[1:]), dtype="float32"), self.values.shape[1]
        for unit in kept:
            # At spike times that are `shift` samples later; 0 where it was not measured.
            new, shift = labels[unit], shifts[unit]
            moved = self.values[unit, max(shift, 0) : length + min(shift, 0)]
            share = np.float32(self.num_spikes[unit] / max(counts[new], 1))
            values[new, max(-shift, 0) : length - max(shift, 0)] += share * moved
        return UnitAverages(values, self.nbefore, counts, self.background)


@dataclass
class Background:
    """
    What a waveform is added to: noise, and the spikes of all other units.

    Attributes
    ----------
    autocovariances : np.ndarray, shape (num_channels, num_samples), float
        Of the traces of each channel at lag 0, 1, ...
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Between channels.
    """

    autocovariances: np.ndarray
    distances_um: np.ndarray

    def energy(self, directions: np.ndarray) -> np.ndarray:
        """Mean energy in some orthonormal waveforms, (num_directions, num_samples), on each channel."""
        num_samples = directions.shape[1]
        weights = sum(np.correlate(one, one, "full")[num_samples - 1 :] for one in directions.astype("float64"))
        weights[1:] *= 2
        return np.maximum(self.autocovariances @ weights, 1e-3)


def measure_background(recording, *, num_samples: int, seed: int) -> Background:
    """The background of a recording's waveforms, from random chunks."""
    traces = np.clip(sample_traces(recording, seed=seed, num_chunks=10), -MOST_EXTREME, MOST_EXTREME)
    num_blocks = max(1, math.ceil(len(traces) / BACKGROUND_FRAMES))
    length = len(traces) // num_blocks
    size = scipy.fft.next_fast_len(length + num_samples, real=True)
    blocks = [channel[: num_blocks * length].reshape(num_blocks, length) for channel in traces.T]
    power = [np.sum(np.abs(scipy.fft.rfft(own, size, axis=1)) ** 2, axis=0) for own in blocks]
    covariances = scipy.fft.irfft(power, size, axis=1)[:, :num_samples] / max(num_blocks * length, 1)
    return Background(covariances, channel_distances(recording.get_channel_locations()[:, :2]))


def clean_averages(averages: np.ndarray, num_spikes: np.ndarray, nbefore: int, background: Background) -> UnitTemplates:
    """
    Averages without what noise put into them.

    Each is projected on the few waveform directions that the units of this recording share, and set to 0 on channels
    where its energy does not exceed that of noise. Far from the main channel, where chance overlaps with the spikes of
    other units are likelier than a trace of this one, it has to be a good part of the largest.

    Parameters
    ----------
    averages : np.ndarray, shape (num_units, num_samples, num_channels), float32
    num_spikes : np.ndarray, shape (num_units,), int
    """
    if len(averages) == 0:
        return UnitTemplates(averages, nbefore, num_spikes, np.zeros(averages.shape[2]))
    directions = _shared_directions(averages, num_spikes)
    coefficients = directions @ averages
    energy = np.sum(coefficients**2, axis=1)
    noise_energy = background.energy(directions)
    count = np.clip(num_spikes, 1, MOST_SPIKES)[:, None]
    visible = energy > noise_energy * (1 + 3.0 * np.sqrt(2 / len(directions))) / count
    is_far = background.distances_um[energy.argmax(axis=1)] > FAR_UM
    visible &= energy >= np.where(is_far, FAR_ENERGY, NEAR_ENERGY) * energy.max(axis=1, keepdims=True)
    values = np.zeros(averages.shape, dtype="float32")
    for unit, shown in enumerate(visible):
        values[unit][:, shown] = directions.T @ coefficients[unit][:, shown]
    return UnitTemplates(values, nbefore, num_spikes, noise_energy)


def _shared_directions(averages, num_spikes):
    rows = []
    for average, count in zip(averages, num_spikes, strict=True):
        sizes = np.linalg.norm(average, axis=0)
        best = np.argsort(-sizes)[:4]
        rows.append(average[:, best].T / max(sizes.max(), 1e-9) * np.sqrt(min(count, 200)))
    _, _, right = np.linalg.svd(np.concatenate(rows), full_matrices=False)
    return right[:NUM_DIRECTIONS]


def peak_offsets(templates: UnitTemplates) -> np.ndarray:
    """
    How many samples after the spike time each template has its largest peak, at most MOST_SHIFT - MAX_LAG.

    Returns
    -------
    np.ndarray, shape (num_units,), int
    """
    if len(templates.values) == 0:
        return np.zeros(0, dtype=int)
    reach = MOST_SHIFT - MAX_LAG
    first = max(0, templates.nbefore - reach)
    near = np.abs(templates.values[:, first : templates.nbefore + reach + 1]).max(axis=2)
    return near.argmax(axis=1) + first - templates.nbefore


def template_distances(templates: UnitTemplates) -> tuple[np.ndarray, np.ndarray]:
    """
    Distance between templates at the best lag, less what noise adds.

    Returns
    -------
    distances : np.ndarray, shape (num_units, num_units), float
        In noise standard deviations; inf for units that share no channel.
    lags : np.ndarray, shape (num_units, num_units), int
        lags[i, j] samples after a spike of unit i at time t, template j fits best at t - lags[i, j].
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
