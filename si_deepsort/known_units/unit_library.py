"""
Learn the units of a labelled recording, and find them in recordings with more noise.

Templates are learnt from the labelled recording alone. For each target recording the noise is measured, the labelled
recording is given this noise, and the threshold with the best F1 on this copy is taken: no label of the target is used.
The target is then explained as a sum of templates in its own whitened noise, overlapping spikes included.
"""

from dataclasses import dataclass

import numpy as np
import scipy.signal

from ..noise import match_traces, measure_noise, noise_filter
from .known_templates import fit_templates, know_templates
from .template_subtraction import find_known_units

# Cutoff in Hz of the high-pass: it keeps the slow part of spikes and removes drift of the baseline.
HIGHPASS_HZ = 10.0
# Window in ms around a label that holds a whole spike, whether the label is at its onset or at its peak.
MS_BEFORE, MS_AFTER = 1.2, 3.2
# Log odds from which on spikes are found and thresholds are tried, the largest threshold, and the step between them.
LOWEST_LOG_ODDS, HIGHEST_LOG_ODDS, LOG_ODDS_STEP = -4.0, 6.0, 0.25
# Thresholds whose smoothed F1 is this close to the best are taken for equally good.
NEGLIGIBLE_F1 = 0.0005
# Quantile of the intervals of a unit that counts as its shortest, for a few labels may be wrong.
SHORTEST_QUANTILE = 0.002
# Bounds in ms of the refractory period: those of neurons.
REFRACTORY_MS_MIN, REFRACTORY_MS_MAX = 0.5, 3.0
# Taps of the whitening filter over time.
NUM_TAPS = 255
# Frequencies with less than this part of the median power have been emptied by a filter, and are not amplified further.
LEAST_POWER = 0.1
# Smallest eigenvalue of the noise covariance, relative to the largest.
LEAST_EIGENVALUE = 1e-6


@dataclass(frozen=True)
class UnitLibrary:
    """
    The units of a labelled recording.

    Attributes
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In the unit of the traces, baseline removed.
    nbefore : int
        Samples of a template before the labelled frame.
    rates : np.ndarray, shape (num_units,), float
        In Hz.
    refractory_ms : float
        Shortest interval between two labelled spikes of a unit.
    sampling_frequency : float
        In Hz.
    """

    templates: np.ndarray
    nbefore: int
    rates: np.ndarray
    refractory_ms: float
    sampling_frequency: float


def remove_baseline(traces: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """High-pass traces (frames, channels) at 10 Hz without phase shift, float64."""
    sos = scipy.signal.butter(2, HIGHPASS_HZ, "highpass", fs=sampling_frequency, output="sos")
    return scipy.signal.sosfiltfilt(sos, np.asarray(traces, dtype=float), axis=0)


def learn_units(
    traces: np.ndarray, frames: np.ndarray, unit_indices: np.ndarray, num_units: int, sampling_frequency: float
) -> UnitLibrary:
    """
    Learn the units of a labelled recording.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    frames : np.ndarray, shape (num_spikes,), int
        Onsets or peaks of the spikes, or any constant time from them.
    unit_indices : np.ndarray, shape (num_spikes,), int
    num_units : int
    sampling_frequency : float
        In Hz.

    Raises
    ------
    ValueError
        If no label lies inside the traces, or a unit has no spike there.
    """
    frames, unit_indices = np.asarray(frames), np.asarray(unit_indices)
    nbefore, nafter = (round(ms * sampling_frequency / 1000) for ms in (MS_BEFORE, MS_AFTER))
    inside = (frames >= nbefore) & (frames + nafter <= len(traces))
    pairs = np.unique(np.stack([frames[inside], unit_indices[inside]], axis=1), axis=0)
    counts = np.bincount(pairs[:, 1], minlength=num_units)
    if len(pairs) == 0 or (counts == 0).any():
        raise ValueError(
            f"The units have {counts.tolist()} labelled spikes inside the recording of {len(traces)} frames, expected "
            "at least one each. Check that labels and recording belong together; leave out units without spikes."
        )
    without_baseline = remove_baseline(traces, sampling_frequency)
    templates = fit_templates(without_baseline, pairs[:, 0], pairs[:, 1], num_units, nbefore=nbefore, nafter=nafter)
    intervals = np.concatenate([np.diff(pairs[pairs[:, 1] == unit, 0]) for unit in range(num_units)])
    shortest = np.quantile(intervals, SHORTEST_QUANTILE) if len(intervals) else 0.0
    refractory_ms = float(np.clip(1000 * shortest / sampling_frequency, REFRACTORY_MS_MIN, REFRACTORY_MS_MAX))
    rates = counts * sampling_frequency / len(traces)
    return UnitLibrary(templates, nbefore, rates, refractory_ms, sampling_frequency)


def tune_threshold(
    library: UnitLibrary,
    traces: np.ndarray,
    frames: np.ndarray,
    unit_indices: np.ndarray,
    traces_target: np.ndarray,
    *,
    tolerance_frames: int,
    seed: int = 0,
) -> dict:
    """
    Choose the threshold for a target by F1 on a copy of the labelled recording that is as noisy as the target.

    Parameters
    ----------
    library : UnitLibrary
    traces, frames, unit_indices
        The labelled recording, as for `learn_units`.
    traces_target : np.ndarray, shape (num_frames, num_channels), float
    tolerance_frames : int
        A spike is found if the same unit is found this close to it.
    seed : int, default: 0
        Random seed of the noise that is added.

    Returns
    -------
    dict
        log_odds_threshold, f1, and the curve: log_odds_thresholds and f1_values.
    """
    frequency = library.sampling_frequency
    copy = match_traces(
        remove_baseline(traces, frequency), remove_baseline(traces_target, frequency), frequency, seed=seed
    )
    found_frames, found_units, log_odds = find_units(copy, library, log_odds_threshold=LOWEST_LOG_ODDS)
    thresholds = np.arange(LOWEST_LOG_ODDS, HIGHEST_LOG_ODDS, LOG_ODDS_STEP)
    values = []
    for threshold in thresholds:
        kept = log_odds > threshold
        num_hits = count_hits(frames, unit_indices, found_frames[kept], found_units[kept], tolerance_frames)
        values.append(2 * num_hits / max(1, len(frames) + kept.sum()))
    smooth = scipy.signal.savgol_filter(values, 7, 2, mode="nearest")
    # Where the curve is flat, take the threshold nearest to 0, which the likelihood itself asks for.
    as_good = np.flatnonzero(smooth >= smooth.max() - NEGLIGIBLE_F1)
    best = int(as_good[np.argmin(np.abs(thresholds[as_good]))])
    return {
        "log_odds_threshold": float(thresholds[best]),
        "f1": float(values[best]),
        "log_odds_thresholds": thresholds.tolist(),
        "f1_values": [float(value) for value in values],
    }


def find_units(
    traces: np.ndarray, library: UnitLibrary, *, log_odds_threshold: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Spikes of known units in a recording with other noise.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        With the channels, sampling rate and unit of the labelled recording.
    library : UnitLibrary
    log_odds_threshold : float, default: 0.0
        From `tune_threshold`.

    Returns
    -------
    frames : np.ndarray, shape (num_spikes,), int
        Sorted; at the same point of the spike as the labels.
    unit_indices : np.ndarray, shape (num_spikes,), int
    log_odds : np.ndarray, shape (num_spikes,), float

    Raises
    ------
    ValueError
        If the number of channels differs from that of the labelled recording.
    """
    frequency = library.sampling_frequency
    if traces.shape[1] != library.templates.shape[2]:
        raise ValueError(
            f"The recording has {traces.shape[1]} channels, the units were learnt on {library.templates.shape[2]}; "
            "expected the same channels."
        )
    centered = remove_baseline(traces, frequency)
    taps, mixing = whitening(centered, frequency)
    margin = len(taps) // 2
    padded = np.pad(library.templates, ((0, 0), (margin, margin), (0, 0)))
    templates = scipy.signal.oaconvolve(padded, taps[None, :, None], mode="same", axes=1) @ mixing
    templates = templates[:, margin : margin + library.templates.shape[1]]
    whitened = scipy.signal.oaconvolve(centered, taps[:, None], mode="same", axes=0) @ mixing
    known = know_templates(
        templates, rates=library.rates, sampling_frequency=frequency, refractory_ms=library.refractory_ms
    )
    starts, unit_indices, log_odds = find_known_units(whitened, known, log_odds_threshold=log_odds_threshold)
    return starts + library.nbefore, unit_indices, log_odds


def whitening(traces: np.ndarray, sampling_frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Filter over time and matrix over channels that turn the noise of traces into white noise of variance 1.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        Windows without spikes are looked for in them.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    taps : np.ndarray, shape (num_taps,), float
    mixing : np.ndarray, shape (num_channels, num_channels), float
        Multiplied to traces (frames, channels) from the right.
    """
    model = measure_noise(traces, sampling_frequency)
    power = model.power.mean(axis=1)
    inverse = 1 / np.maximum(power, LEAST_POWER * np.median(power))
    taps = noise_filter(model.frequencies, inverse, sampling_frequency, NUM_TAPS)
    response = np.abs(scipy.signal.freqz(taps, worN=model.frequencies, fs=sampling_frequency)[1]) ** 2
    step = model.frequencies[1] - model.frequencies[0]
    covariance = np.einsum("f,fcd->cd", response, model.cross_spectrum).real * step
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, LEAST_EIGENVALUE * values.max())
    return taps, (vectors / np.sqrt(values)) @ vectors.T


def count_hits(
    frames: np.ndarray,
    unit_indices: np.ndarray,
    found_frames: np.ndarray,
    found_units: np.ndarray,
    tolerance_frames: int,
) -> int:
    """
    Number of true spikes that have a found spike of the same unit within a tolerance, one to one.

    Parameters
    ----------
    frames, unit_indices : np.ndarray, shape (num_spikes,), int
        True spikes.
    found_frames, found_units : np.ndarray, shape (num_found,), int
    tolerance_frames : int
    """
    num_hits = 0
    for unit in np.unique(unit_indices):
        true = np.sort(np.asarray(frames)[unit_indices == unit])
        found = np.sort(np.asarray(found_frames)[found_units == unit])
        place = 0
        for frame in true:
            while place < len(found) and found[place] < frame - tolerance_frames:
                place += 1
            if place < len(found) and found[place] <= frame + tolerance_frames:
                num_hits += 1
                place += 1
    return num_hits
