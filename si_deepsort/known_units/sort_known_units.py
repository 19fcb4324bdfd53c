"""
Give the spikes of a sorting to the units that a trained classifier knows.

The sorter does so with classifiers that hold no templates, and where it does not match templates itself.
"""

from os import PathLike

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ..nets.network import Network
from ..noise import noise_levels, sample_signal
from ..spike_vectors import as_sorting, make_spike_vector
from .assign import UNKNOWN, assign_peaks
from .compatible import channels_of_classifier, check_sampling_frequency, name_units
from .load import load_classifier

# Duration in s of the chunks in which peaks are assigned; it bounds the memory.
STRETCH_S = 20.0
# Windows of the classifier by which chunks overlap, so that overlapping spikes at a border are resolved alike.
MARGIN_WINDOWS = 4
# Two spikes of a unit within this time in ms are duplicates: shorter than any refractory period.
DUPLICATE_MS = 0.4


def with_known_units(
    recording: BaseRecording,
    sorting: BaseSorting,
    classifier: str | PathLike | Network,
    *,
    vote: float = 0.7,
    seed: int = 0,
) -> BaseSorting:
    """
    Assign the spikes of a sorting to the units that a classifier knows; the other spikes stay in their own units.

    Parameters
    ----------
    recording : BaseRecording
        Filtered like the one that the classifier was trained on.
    sorting : BaseSorting
        Found on this recording.
    classifier : str | PathLike | Network
        A model folder or a network of `train_classifier`.
    vote : float, default: 0.7
        If this part of a unit's spikes is assigned to one known unit, the others are, too.
    seed : int, default: 0
        Random seed of the chunks on which noise is measured.

    Returns
    -------
    BaseSorting
        As many segments as the recording has. The known units that have spikes come first, with their own ids, then
        the units that are new.

    Raises
    ------
    ValueError
        If the model is no classifier, or the recording has another sampling rate or lacks its channels.
    """
    net = load_classifier(classifier)
    scaled = _ClassifierTraces(recording, net, seed)
    spikes = sorting.to_spike_vector()
    known = np.full(len(spikes), UNKNOWN)
    for segment_index in range(recording.get_num_segments()):
        own = np.flatnonzero(spikes["segment_index"] == segment_index)
        known[own] = scaled.assign(spikes["sample_index"][own], segment_index)
    _let_clusters_vote(known, spikes["unit_index"], vote)
    known_ids = net.info.settings["unit_ids"]
    labels = np.where(known >= 0, known, len(known_ids) + spikes["unit_index"])
    keep = _first_of_each(spikes, labels, round(DUPLICATE_MS * recording.get_sampling_frequency() / 1000))
    spikes, labels = spikes[keep], labels[keep]
    found = np.unique(labels)
    is_known = found < len(known_ids)
    unit_ids = name_units(known_ids, np.isin(np.arange(len(known_ids)), found), int((~is_known).sum()))
    units = np.searchsorted(found, labels)
    return as_sorting(make_spike_vector(spikes["sample_index"], units, spikes["segment_index"]), unit_ids, recording)


class _ClassifierTraces:
    """A recording as a classifier sees it: the classifier's channels, in noise levels, chunk by chunk."""

    def __init__(self, recording, net, seed):
        check_sampling_frequency(recording, net)
        places = channels_of_classifier(recording, net.info.settings["channel_ids"])
        self.net, self.recording = net, recording.select_channels(recording.channel_ids[places])
        sample = sample_signal(self.recording, seed=seed)
        levels = noise_levels(sample)
        self.baseline = np.median(sample, axis=0)
        self.scale = np.where(levels > 0, 1 / np.where(levels > 0, levels, 1), 0)

    def assign(self, frames, segment_index) -> np.ndarray:
        """Known unit of each spike of a segment; frames are sorted."""
        units = np.full(len(frames), UNKNOWN)
        num_frames = self.recording.get_num_frames(segment_index)
        stretch = round(STRETCH_S * self.recording.get_sampling_frequency())
        margin = MARGIN_WINDOWS * self.net.config.num_samples
        for start in range(0, num_frames, stretch):
            first, last = max(0, start - margin), min(num_frames, start + stretch + margin)
            near = np.flatnonzero((frames >= first) & (frames < last))
            traces = self.recording.get_traces(segment_index=segment_index, start_frame=first, end_frame=last)
            found, _ = assign_peaks((traces - self.baseline) * self.scale, frames[near] - first, self.net)
            inside = (frames[near] >= start) & (frames[near] < start + stretch)
            units[near[inside]] = found[inside]
        return units


def _let_clusters_vote(known, clusters, vote):
    for cluster in np.unique(clusters):
        own = clusters == cluster
        votes = np.bincount(known[own & (known >= 0)], minlength=1)
        if votes.max() >= vote * own.sum():
            known[own & (known < 0)] = votes.argmax()


def _first_of_each(spikes, labels, reach):
    """Which spikes do not follow one of the same unit within some frames, as duplicates do."""
    order = np.lexsort((spikes["sample_index"], labels, spikes["segment_index"]))
    frames, same = spikes["sample_index"][order], np.zeros(len(order), dtype=bool)
    is_same_unit = (np.diff(labels[order]) == 0) & (np.diff(spikes["segment_index"][order]) == 0)
    same[1:] = is_same_unit & (np.diff(frames) <= reach)
    keep = np.ones(len(order), dtype=bool)
    keep[order[same]] = False
    return keep
