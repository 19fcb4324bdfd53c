"""The result of the sorter: which units are kept, in which order, and with which properties."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from spikeinterface.core import BaseRecording, BaseSorting

from ..known_units.compatible import name_units
from ..preprocessing.whitening import Whitening
from ..spike_vectors import as_sorting, main_channels, relabelled, without_doubles
from .front_end.blanks import live_beside_blanks
from .front_end.noise_over_time import NoiseOverTime
from .matching.overlaps import waveform_directions
from .units.dropped import BESIDE_BLANKS, NOT_TYPICAL, RARE, SMALL, dropped_table, dropped_units
from .units.refine import Refined
from .units.spike_features import read_spike_features
from .units.templates import MOST_SHIFT

logger = logging.getLogger(__name__)

# Smallest size of a unit's typical spike, relative to the norm of its template: below it, noise or a few spikes of
# other units have made the template. Tuned on generated development recordings (seeds 1-5).
TYPICAL_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class UnitLimits:
    """
    Smallest values of units that are kept.

    Attributes
    ----------
    firing_rate_hz : float
        Mean rate over the recording.
    snr : float
        Peak of the template before whitening, in noise levels.
    spike_size : float
        Size of a typical spike, in standard deviations of white noise.
    seed : int
        Seed of the choice of spikes whose size is measured.
    """

    firing_rate_hz: float
    snr: float
    spike_size: float
    seed: int


def make_sorting(
    recording: BaseRecording,
    traces: BaseRecording,
    noise: NoiseOverTime,
    whitening: Whitening,
    noise_before: np.ndarray,
    units: Refined,
    spikes: np.ndarray,
    limits: UnitLimits,
    known_ids: Sequence = (),
) -> tuple[BaseSorting, pd.DataFrame]:
    """
    Drop units that fire too rarely or are too small; order the others by depth, after known ones, which must only fire.

    Parameters
    ----------
    recording, traces : BaseRecording
        The whole recording, and white traces of its stretches from which units are learnt.
    noise, whitening : NoiseOverTime, Whitening
        The noise and the whitening of the traces.
    noise_before : np.ndarray, shape (num_channels,), float
        Noise levels of the traces before whitening, in their unit.
    units : Refined
        The units, with their spikes in the stretches.
    spikes : np.ndarray
        Sorted spike vector of these units in the whole recording.
    limits : UnitLimits
    known_ids : sequence
        Ids of the first units, which are known from labels.

    Returns
    -------
    sorting : BaseSorting
        As many segments as the recording, ids of known units and integers, properties `snr` (peak in noise levels),
        `main_channel_id`, `spike_size` (typical, in sd of noise; nan: unknown), annotation `dropped_units`.
    dropped : pd.DataFrame
        Units that were merged or dropped at the end, and why, see `dropped_table`; the annotation as a table.
    """
    averages, num_units = units.averages, len(units.averages.values)
    before_whitening = whitening.unwhiten(averages.values)
    snr, main_channels = _largest_peaks(before_whitening, noise_before)
    rates_hz = np.bincount(spikes["unit_index"], minlength=num_units) / recording.get_total_duration()
    is_known = np.arange(num_units) < len(known_ids)
    sizes, is_typical = _typical_sizes(traces, noise, units, seed=limits.seed)
    is_kept, dropped = rates_hz > 0, list(units.dropped)
    for passes, reason in _judgements(traces, units, snr, rates_hz, sizes, is_typical, limits):
        passes = passes | (is_known & (reason in (SMALL, NOT_TYPICAL)))
        dropped += dropped_units(spikes, averages, is_kept & ~passes, reason)
        is_kept &= passes
    order, labels = _in_order(is_kept, is_known, traces.get_channel_locations()[main_channels, 1])
    unit_ids = name_units(list(known_ids), is_kept[: len(known_ids)], int(np.sum(is_kept & ~is_known)))
    shifts = _shifts_to_peaks(before_whitening, main_channels, averages.nbefore + MOST_SHIFT)
    sorting = as_sorting(_inside(relabelled(spikes, labels, shifts), recording), unit_ids, recording)
    properties = dict(snr=snr, main_channel_id=traces.channel_ids[main_channels], spike_size=sizes)
    for name, of_units in properties.items():
        sorting.set_property(name, of_units[order])
    table = dropped_table(dropped, traces, whitening, noise_before)
    _tell_dropped(sorting, table)
    return sorting, table


def _largest_peaks(waveforms: np.ndarray, noise_levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest peak of each unit in noise levels, and its channel."""
    peaks = np.abs(waveforms).max(axis=1) / np.where(noise_levels > 0, noise_levels, np.inf)
    return peaks.max(axis=1), peaks.argmax(axis=1)


def _in_order(is_kept: np.ndarray, is_known: np.ndarray, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The units that are kept, known ones first, then the others by depth; and the place of each unit, or -1."""
    logger.info("%d of %d units kept", is_kept.sum(), len(is_kept))
    order = np.lexsort((np.where(is_known, 0.0, depths), ~is_known))
    order, places = order[is_kept[order]], np.full(len(is_kept), -1)
    places[order] = np.arange(len(order))
    return order, places


def _tell_dropped(sorting: BaseSorting, table: pd.DataFrame) -> None:
    """Annotate the sorting with the table of dropped units, and say in the log how many there are."""
    sorting.annotate(dropped_units=table.to_dict(orient="list"))
    for reason, rows in table.groupby("reason"):
        logger.info("%d units left out, the largest of SNR %.1f: %s", len(rows), rows["snr"].max(), reason)


def _shifts_to_peaks(before_whitening: np.ndarray, main_channels: np.ndarray, nbefore: int) -> np.ndarray:
    """
    Samples from the spike times of units to their largest peaks.

    The delay of the whitening filter differs between units; a spike's time is that of its largest peak.
    """
    main_traces = before_whitening[np.arange(len(main_channels)), :, main_channels]
    return np.abs(main_traces).argmax(axis=1) - nbefore


def _judgements(traces: BaseRecording, units: Refined, snr, rates_hz, sizes, is_typical, limits: UnitLimits):
    """Which units pass each condition, (num_units,) bool, and the reason for dropping those that do not."""
    is_beside_blanks = live_beside_blanks(traces, units.spikes, len(snr), seed=limits.seed)
    return [
        (rates_hz >= limits.firing_rate_hz, RARE),
        (snr >= limits.snr, SMALL),
        # A unit is kept if there are too few spikes to measure their size: it is nan.
        (is_typical & ~(sizes < limits.spike_size), NOT_TYPICAL),
        (~is_beside_blanks, BESIDE_BLANKS),
    ]


def _typical_sizes(
    traces: BaseRecording, noise: NoiseOverTime, units: Refined, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Size of a typical spike of each unit in standard deviations of the noise of its time, (num_units,), nan if unknown.

    And whether it has much of the norm of its template, which is true if it is unknown.
    """
    templates = units.averages.templates()
    directions = waveform_directions(templates.values)
    features = read_spike_features(traces, units.spikes, templates, seed=seed, directions=directions)
    chosen, places = units.spikes[features.chosen], range(len(templates.values))
    channels = main_channels(templates.values)[chosen["unit_index"]]
    levels = noise.at(chosen["segment_index"], chosen["sample_index"], channels)
    typical = np.array([features.typical_size(unit) for unit in places])
    sizes = np.array([features.typical_size(unit, levels[features.positions[unit]]) for unit in places])
    norms = np.array([features.template_norm(unit) for unit in places])
    return sizes, ~(typical < TYPICAL_SHARE * norms)


def _inside(spikes: np.ndarray, recording: BaseRecording) -> np.ndarray:
    """Move spike times that lie beyond the ends of their segment to its ends; no unit fires twice at one frame."""
    num_frames = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    spikes = spikes.copy()
    spikes["sample_index"] = np.clip(spikes["sample_index"], 0, num_frames[spikes["segment_index"]] - 1)
    return without_doubles(spikes, 0)
