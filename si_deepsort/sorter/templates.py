"""
Step 4 of the sorter: one template for each unit, as free of noise as its spikes allow, and no unit twice.

A template is an average of white traces, so its own noise is known: variance 1 / num_spikes per sample. Everything
here counts with it: channels where a template does not stand out are set to 0, and two templates are the same unit if
their distance, less what noise adds to it, is too small to tell their spikes apart.
"""

from dataclasses import dataclass

import numpy as np

from .pursuit import JITTERS, make_template_bank

# Noise in the band of spikes is larger than in all of the white traces: far units are part of it.
NOISE_VARIANCE = 1.9
NUM_DIRECTIONS = 8
MOST_SPIKES = 1000
MAX_LAG = 10


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
    """

    values: np.ndarray
    nbefore: int
    num_spikes: np.ndarray


def average_waveforms(recording, spikes, num_units: int, *, nbefore: int, nafter: int, seed: int, chunk_s: float = 2.0):
    """
    Average waveform of each unit, from at most `MOST_SPIKES` spikes.

    Parameters
    ----------
    recording : BaseRecording
        White.
    spikes : np.ndarray
        With fields segment_index, sample_index, unit_index, sorted by the first two.

    Returns
    -------
    np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
    """
    num_channels = recording.get_num_channels()
    sums = np.zeros((num_units, nbefore + nafter, num_channels))
    counts = np.zeros(num_units, dtype=int)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(spikes), dtype=bool)
    for unit in range(num_units):
        own = np.flatnonzero(spikes["unit_index"] == unit)
        chosen[own if len(own) <= MOST_SPIKES else rng.choice(own, MOST_SPIKES, replace=False)] = True
    spikes = spikes[chosen]
    chunk = round(chunk_s * recording.get_sampling_frequency())
    for segment_index in range(recording.get_num_segments()):
        own = spikes[spikes["segment_index"] == segment_index]
        num_frames = recording.get_num_frames(segment_index)
        for start in range(0, num_frames, chunk):
            first, last = np.searchsorted(own["sample_index"], [start, start + chunk])
            if last == first:
                continue
            begin, end = max(0, start - nbefore), min(num_frames, start + chunk + nafter)
            traces = recording.get_traces(segment_index, begin, end).astype("float32", copy=False)
            for spike in own[first:last]:
                onset = int(spike["sample_index"]) - begin - nbefore
                if onset >= 0 and onset + nbefore + nafter <= len(traces):
                    sums[spike["unit_index"]] += traces[onset : onset + nbefore + nafter]
                    counts[spike["unit_index"]] += 1
    return (sums / np.maximum(counts, 1)[:, None, None]).astype("float32")


def clean_averages(averages: np.ndarray, num_spikes: np.ndarray, nbefore: int) -> UnitTemplates:
    """
    Averages without what noise put into them.

    Each is projected on the few waveform directions that the units of this recording share, and set to 0 on channels
    where its energy does not exceed that of noise.

    Parameters
    ----------
    averages : np.ndarray, shape (num_units, num_samples, num_channels), float32
    num_spikes : np.ndarray, shape (num_units,), int
    """
    if len(averages) == 0:
        return UnitTemplates(averages, nbefore, num_spikes)
    directions = _shared_directions(averages, num_spikes)
    coefficients = np.einsum("usc,ks->ukc", averages, directions, optimize=True)
    energy = np.sum(coefficients**2, axis=1)
    count = np.clip(num_spikes, 1, MOST_SPIKES)[:, None]
    size = len(directions)
    visible = energy > NOISE_VARIANCE * (size + 3.0 * np.sqrt(2 * size)) / count
    visible &= energy >= 0.01 * energy.max(axis=1, keepdims=True)
    values = np.einsum("ukc,ks->usc", coefficients, directions, optimize=True) * visible[:, None]
    return UnitTemplates(values.astype("float32"), nbefore, num_spikes)


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
    How many samples after the spike time each template has its largest peak.

    Returns
    -------
    np.ndarray, shape (num_units,), int
    """
    if len(templates.values) == 0:
        return np.zeros(0, dtype=int)
    return np.abs(templates.values).max(axis=2).argmax(axis=1) - templates.nbefore


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
    bank = make_template_bank(templates.values)
    num_units = len(bank.norms)
    distances, lags = np.full((num_units, num_units), np.inf), np.zeros((num_units, num_units), dtype=int)
    visible = np.any(templates.values != 0, axis=1)
    noise = NOISE_VARIANCE * NUM_DIRECTIONS / np.clip(templates.num_spikes, 1, MOST_SPIKES)
    center = bank.num_samples - 1
    for unit in range(num_units):
        others = bank.overlap_units[unit][bank.overlap_units[unit] >= 0]
        window = bank.overlaps[unit, : len(others), JITTERS // 2, center - MAX_LAG : center + MAX_LAG + 1]
        best = window.argmax(axis=1)
        squared = bank.norms[unit] + bank.norms[others] - 2 * window.max(axis=1)
        squared -= (noise[unit] + noise[others]) * np.sum(visible[unit] | visible[others], axis=1)
        distances[unit, others] = np.sqrt(np.maximum(squared, 0))
        lags[unit, others] = best - MAX_LAG
    return distances, lags
