"""Precision and recall of a detector on a labelled recording, for many thresholds and exclusive times."""

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.exclusion import RADIUS_UM, largest_in_reach, make_exclusion
from ...detection.prepare import prepare_detector
from ...geometry import recording_geometry
from ...nets.network import Network
from .labels import clean_labels


def score_grid(
    recording: BaseRecording,
    sorting: BaseSorting,
    detector: Network,
    *,
    thresholds: tuple[float, ...],
    exclusive_times_ms: tuple[float, ...],
    tolerance_ms: float,
) -> list[dict[str, float]]:
    """
    Precision, recall and F1 of a detector for each threshold and exclusive time.

    Parameters
    ----------
    recording : BaseRecording
        Traces as the network shall see them.
    sorting : BaseSorting
        All spikes of the recording.
    detector : Network
    thresholds : tuple of float
        Smallest probabilities of a spike.
    exclusive_times_ms : tuple of float
        The largest of several nearby peaks within such a time stays.
    tolerance_ms : float
        A spike is found if a peak is detected this close to it.

    Returns
    -------
    list of dict
        threshold, exclusive_ms, precision, recall and f1; one row per combination.
    """
    ready = prepare_detector(recording, detector)
    frequency = recording.get_sampling_frequency()
    segments = [recording.get_traces(segment_index=index) for index in range(recording.get_num_segments())]
    scaled = [ready.statistics.scaled(traces) for traces in segments]
    labels = clean_labels(scaled, sorting, frequency)
    candidates = [_candidates(ready, *pair) for pair in zip(segments, scaled, strict=True)]
    locations, shanks = recording_geometry(recording)
    main_channels = np.abs(labels.peaks).argmax(axis=1)
    tolerance = max(1, round(tolerance_ms * frequency / 1000))
    rows = []
    for exclusive_ms in exclusive_times_ms:
        exclusion = make_exclusion(locations, frequency, radius_um=RADIUS_UM, exclusive_ms=exclusive_ms, shanks=shanks)
        near = exclusion.distances_um <= RADIUS_UM
        for threshold in thresholds:
            hits = found = wanted = 0
            for each, times, units in zip(candidates, labels.frames, labels.units, strict=True):
                frames, channels = _peaks(each, threshold, exclusion)
                hits += _count_hits(times, main_channels[units], frames, channels, near, tolerance)
                found, wanted = found + len(frames), wanted + len(times)
            f1 = 2 * hits / max(1, found + wanted)
            row = {"precision": hits / max(1, found), "recall": hits / max(1, wanted), "f1": f1}
            rows.append({"threshold": threshold, "exclusive_ms": exclusive_ms, **row})
    return rows


def _candidates(detector, traces, scaled):
    probabilities = detector.probability(traces)
    frames, channels = np.nonzero(probabilities)
    return frames, channels, probabilities[frames, channels], np.abs(scaled[frames, channels])


def _peaks(candidates, threshold, exclusion):
    frames, channels, probabilities, heights = candidates
    kept = probabilities >= threshold
    frames, channels = frames[kept], channels[kept]
    alone = largest_in_reach(frames, channels, heights[kept], exclusion)
    return frames[alone], channels[alone]


def _count_hits(times, main_channels, frames, channels, near, tolerance) -> int:
    """Spikes with a peak close by in time and space, one to one, the closest in time first."""
    first = np.searchsorted(frames, times - tolerance)
    number = np.searchsorted(frames, times + tolerance, side="right") - first
    spike = np.repeat(np.arange(len(times)), number)
    peak = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[spike]
    is_near = near[main_channels[spike], channels[peak]]
    spike, peak = spike[is_near], peak[is_near]
    free_spike, free_peak = np.ones(len(times), dtype=bool), np.ones(len(frames), dtype=bool)
    for pair in np.argsort(np.abs(times[spike] - frames[peak]), kind="stable"):
        if free_spike[spike[pair]] and free_peak[peak[pair]]:
            free_spike[spike[pair]] = free_peak[peak[pair]] = False
    return int((~free_spike).sum())
