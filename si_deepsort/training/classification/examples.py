"""From a labelled recording to the examples of a classifier: aligned waveforms, their units, and silence."""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...known_units.assign import cut_waveforms
from ...noise import noise_levels, sample_signal
from ..detection.labels import clean_labels

logger = logging.getLogger(__name__)

# Duration in s of the blocks of time that are held out, long against bursts, and one in how many is.
BLOCK_S = 2.0
BLOCKS_PER_HELD_OUT = 5
# Extrema above this, in noise levels, that no label explains are examples of no spike: noise reaches it often.
SILENT_HEIGHT = 2.5
# Fewest examples of no spike of each kind.
FEWEST_SILENT = 20


@dataclass
class LabelledWaveforms:
    """
    Waveforms in noise levels and their classes.

    Attributes
    ----------
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples), float32
    classes : np.ndarray, shape (num_waveforms,), int
        Index into `unit_ids`; `len(unit_ids)` for a window without spike of a unit.
    is_held_out : np.ndarray, shape (num_waveforms,), bool
        Waveforms of the blocks of time that stop the training.
    unit_ids : list
    channel_ids : list
        The channels of a waveform, in order.
    offset_frames : int
        Peak minus label.
    """

    waveforms: np.ndarray
    classes: np.ndarray
    is_held_out: np.ndarray
    unit_ids: list
    channel_ids: list
    offset_frames: int


def waveforms_from_recording(
    recording: BaseRecording,
    sorting: BaseSorting,
    *,
    nbefore: int,
    nafter: int,
    max_channels: int,
    min_spikes: int,
    seed: int = 0,
) -> LabelledWaveforms:
    """
    Cut waveforms around the labelled spikes, and about as many between them.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, any unit.
    sorting : BaseSorting
    nbefore, nafter : int
        Samples before and from the peak on.
    max_channels : int
        The channels on which the units are largest are kept.
    min_spikes : int
        Units with fewer spikes are left out, with a warning.
    seed : int, default: 0

    Raises
    ------
    ValueError
        If sampling rates or segments differ, no label lies in the recording, or no unit has enough spikes.
    """
    segments = _segments_in_noise_levels(recording, seed)
    frequency = recording.get_sampling_frequency()
    labels = clean_labels(segments, sorting, frequency, seed=seed)
    kept_units = _units_with_enough_spikes(labels, sorting.unit_ids, min_spikes)
    heights = np.abs(labels.peaks[kept_units])
    order = np.argsort(-(heights / heights.max(axis=1, keepdims=True)).max(axis=0), kind="stable")
    channels = np.sort(order[:max_channels])
    rng = np.random.default_rng(seed)
    parts = [
        _segment_examples(
            scaled[:, channels],
            times,
            np.searchsorted(kept_units, units),
            np.isin(units, kept_units),
            len(kept_units),
            nbefore,
            nafter,
            frequency,
            rng,
        )
        for scaled, times, units in zip(segments, labels.frames, labels.units, strict=True)
    ]
    waveforms, classes, is_held_out = (np.concatenate(values) for values in zip(*parts, strict=True))
    unit_ids = [sorting.unit_ids[unit] for unit in kept_units]
    channel_ids = [recording.channel_ids[channel] for channel in channels]
    return LabelledWaveforms(waveforms, classes, is_held_out, unit_ids, channel_ids, labels.offset_frames)


def _segments_in_noise_levels(recording, seed):
    sampled = sample_signal(recording, seed=seed)
    levels, baseline = noise_levels(sampled), np.median(sampled, axis=0)
    usable = np.isfinite(levels) & (levels > 0)
    if not usable.any():
        raise ValueError("Every channel of the recording is constant or not finite; there is nothing to learn from.")
    scale = np.where(usable, 1 / np.where(usable, levels, 1), 0).astype("float32")
    return [
        np.nan_to_num((recording.get_traces(segment_index=index).astype("float32") - baseline) * scale)
        for index in range(recording.get_num_segments())
    ]


def _units_with_enough_spikes(labels, unit_ids, min_spikes):
    counts = np.bincount(np.concatenate(labels.units), minlength=len(unit_ids))
    kept_units = np.flatnonzero(counts >= min_spikes)
    if len(kept_units) < len(counts):
        few = [str(unit_ids[unit]) for unit in np.flatnonzero(counts < min_spikes)]
        logger.warning("Units %s have fewer than %d spikes and are left out", few, min_spikes)
    if len(kept_units) == 0:
        raise ValueError(
            f"No unit has {min_spikes} spikes (the largest has {counts.max(initial=0)}); expected at least one. "
            "Give a longer labelled recording or lower min_spikes."
        )
    return kept_units


def _segment_examples(scaled, times, classes, is_kept, num_units, nbefore, nafter, frequency, rng):
    inside = is_kept & (times >= nbefore) & (times + nafter <= len(scaled))
    silent = _silent_frames(scaled, times, nbefore, nafter, int(inside.sum()), rng)
    frames = np.concatenate([times[inside], silent])
    classes = np.concatenate([classes[inside], np.full(len(silent), num_units)])
    block_s = min(BLOCK_S, len(scaled) / frequency / BLOCKS_PER_HELD_OUT)
    is_held_out = (frames / frequency // block_s) % BLOCKS_PER_HELD_OUT == BLOCKS_PER_HELD_OUT - 1
    return cut_waveforms(scaled, frames, nbefore=nbefore, nafter=nafter), classes, is_held_out


def _silent_frames(scaled, times, nbefore, nafter, number, rng):
    """Frames without the peak of a labelled spike: half of them extrema above `SILENT_HEIGHT`, the rest anywhere."""
    from scipy.ndimage import maximum_filter1d

    heights = np.abs(scaled).max(axis=1)
    is_free = np.ones(len(scaled), dtype=bool)
    reach = max(2, nbefore // 3)
    for shift in range(-reach, reach + 1):
        is_free[np.clip(times + shift, 0, len(scaled) - 1)] = False
    is_free[:nbefore] = False
    is_free[len(scaled) - nafter :] = False
    extrema = np.flatnonzero(
        is_free & (heights > SILENT_HEIGHT) & (heights == maximum_filter1d(heights, 2 * reach + 1))
    )
    anywhere = np.flatnonzero(is_free)
    most = max(number // 2, FEWEST_SILENT)
    chosen = [rng.choice(places, min(len(places), most), replace=False) for places in (extrema, anywhere)]
    return np.unique(np.concatenate(chosen).astype(int))
