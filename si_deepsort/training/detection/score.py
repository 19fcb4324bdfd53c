"""Precision and recall of a detector on a labelled recording, for many thresholds and exclusive times."""

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.prepare import prepare_detector, whitening_of
from ...detection.probability import probability_in
from ...geometry import channel_distances, separated_locations
from ...nets.network import Network
from .labels import clean_labels

# A peak on a channel farther than this, in um, from that of the spike is none of it: the reach of a large spike.
NEAR_UM = 75.0


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
        White traces, whose last step is the whitening.
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
    frequency = recording.get_sampling_frequency()
    whitening, locations = whitening_of(recording), separated_locations(recording)
    segments = [recording.get_traces(segment_index=index) for index in range(recording.get_num_segments())]
    labels = clean_labels(segments, sorting, frequency)
    main_channels = np.abs(labels.peaks).argmax(axis=1)
    near = channel_distances(locations) <= NEAR_UM
    tolerance = max(1, round(tolerance_ms * frequency / 1000))
    rows = []
    for exclusive_ms in exclusive_times_ms:
        ready = prepare_detector(recording, detector, whitening=whitening, exclusive_ms=exclusive_ms)
        probabilities = [probability_in(traces, ready) for traces in segments]
        for threshold in thresholds:
            hits = found = wanted = 0
            for each, times, units in zip(probabilities, labels.frames, labels.units, strict=True):
                frames, channels = np.nonzero(each >= threshold)
                hits += _count_hits(times, main_channels[units], frames, channels, near, tolerance)
                found, wanted = found + len(frames), wanted + len(times)
            f1 = 2 * hits / max(1, found + wanted)
            row = {"precision": hits / max(1, found), "recall": hits / max(1, wanted), "f1": f1}
            rows.append({"threshold": threshold, "exclusive_ms": exclusive_ms, **row})
    return rows


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
