"""
Peaks to known units: a trained classifier names the unit of each peak, or none.

A peak that another spike overlaps is looked at again after the templates of its assigned neighbours were subtracted.
A waveform that no unit explains stays unassigned (-1): the sorter finds its own clusters among those.
"""

import numpy as np

UNKNOWN = -1
NOTHING = -2


def cut_waveforms(traces: np.ndarray, frames: np.ndarray, *, nbefore: int, nafter: int) -> np.ndarray:
    """
    Windows of traces around frames; what lies outside the traces is 0.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    frames : np.ndarray, shape (num_peaks,), int
    nbefore, nafter : int
        Samples before and from the frame on.

    Returns
    -------
    np.ndarray, shape (num_peaks, num_channels, nbefore + nafter), float32
    """
    places = np.asarray(frames, dtype=int)[:, None] + np.arange(-nbefore, nafter)
    inside = (places >= 0) & (places < len(traces))
    windows = traces[np.clip(places, 0, max(len(traces) - 1, 0))] * inside[:, :, None]
    return np.ascontiguousarray(windows.transpose(0, 2, 1), dtype="float32")


def assign_peaks(
    traces: np.ndarray, frames: np.ndarray, net, *, min_probability: float | None = None, num_rounds: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """
    Which known unit fired each peak.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In noise levels, the channels that the classifier names in `info.settings["channel_ids"]`, in that order.
    frames : np.ndarray, shape (num_peaks,), int
        Sorted.
    net : Network
        Made by `train_classifier`, in evaluation mode.
    min_probability : float | None, default: None
        A less probable assignment is none. None takes the model's.
    num_rounds : int, default: 5
        How often overlapping peaks are looked at; 1 does not resolve overlaps.

    Returns
    -------
    units : np.ndarray, shape (num_peaks,), int
        Index into `info.settings["unit_ids"]`; -1 for a spike of no known unit, -2 for no spike.
    probabilities : np.ndarray, shape (num_peaks,), float32
        Of the unit that was chosen.

    Raises
    ------
    ValueError
        If the traces do not have the classifier's channels.
    """
    config, nbefore = net.config, net.info.settings["nbefore"]
    _check_channels(traces, net)
    if min_probability is None:
        min_probability = net.info.settings["min_probability"]
    if len(frames) == 0:
        return np.zeros(0, dtype=int), np.zeros(0, dtype="float32")
    waveforms = cut_waveforms(traces, frames, nbefore=nbefore, nafter=config.num_samples - nbefore)
    limits = net.distance_limits.cpu().numpy()
    templates = net.templates.cpu().numpy().copy()
    templates[-1] = 0.0  # the class of windows without a spike
    classes, probabilities, distances = _classify(net, waveforms, templates)
    pairs = _overlapping_pairs(frames, config.num_samples)
    cleaned = waveforms
    for round_index in range(num_rounds - 1):
        # every second peak of an overlap in turn: two that change at once would run after each other
        again = np.unique(pairs[0])
        again = again[again % 2 == round_index % 2]
        if len(again) == 0:
            continue
        is_better = distances < np.sqrt((cleaned**2).mean(axis=(1, 2)))
        explained = np.where(is_better, classes, config.num_classes - 1)
        cleaned = waveforms.copy()
        _subtract_neighbors(cleaned, frames, explained, templates, pairs)
        found = _classify(net, cleaned[again], templates)
        classes[again], probabilities[again], distances[again] = found
    units = np.where(classes == config.num_classes - 1, NOTHING, classes)
    is_strange = (probabilities < min_probability) | (distances > limits[classes])
    return np.where(is_strange & (units != NOTHING), UNKNOWN, units), probabilities


def _check_channels(traces, net):
    if traces.shape[1] != net.config.num_channels:
        raise ValueError(
            f"The traces have {traces.shape[1]} channels, the classifier was trained on {net.config.num_channels}: "
            f"{net.info.settings['channel_ids']}. Select these channels, in this order."
        )


def _classify(net, waveforms, templates):
    from ..inference import predict_in_batches  # imports torch

    device = str(next(net.parameters()).device)
    logits = predict_in_batches(net, waveforms, device=device)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    classes = logits.argmax(axis=1)
    distances = np.sqrt(((waveforms - templates[classes]) ** 2).mean(axis=(1, 2)))
    return classes, probabilities[np.arange(len(classes)), classes], distances


def _overlapping_pairs(frames, num_samples):
    """Ordered pairs (peak, other peak) less than a window apart."""
    first = np.searchsorted(frames, frames - num_samples, side="right")
    last = np.searchsorted(frames, frames + num_samples, side="left")
    number = last - first
    peaks = np.repeat(np.arange(len(frames)), number)
    others = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[peaks]
    return peaks[peaks != others], others[peaks != others]


def _subtract_neighbors(waveforms, frames, classes, templates, pairs):
    """Take the templates of all other assigned peaks off each waveform, in place."""
    num_samples = waveforms.shape[2]
    for peak, other in zip(*pairs, strict=True):
        shift = int(frames[other] - frames[peak])
        target = slice(max(0, shift), num_samples + min(0, shift))
        source = slice(max(0, -shift), num_samples - max(0, shift))
        waveforms[peak, :, target] -= templates[classes[other]][:, source]


def with_known_units(recording, sorting, classifier, *, vote: float = 0.7, seed: int = 0):
    """
    A sorting whose spikes are given to the units that a classifier knows; the others stay in their own clusters.

    Parameters
    ----------
    recording : BaseRecording
        Filtered like the one that the classifier was trained on.
    sorting : BaseSorting
        Found on this recording.
    classifier : str | Path | Network
        A model folder or a network of `train_classifier`.
    vote : float, default: 0.7
        If this share of a cluster goes to one known unit, the rest of the cluster goes there, too.
    seed : int, default: 0
        Of the chunks on which noise is measured.

    Returns
    -------
    NumpySorting
        Known units under their own ids, those without a spike left out, then the clusters that are new.

    Raises
    ------
    ValueError
        If the model is no classifier, or the recording has another sampling rate or lacks its channels.
    """
    from spikeinterface.core import NumpySorting

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
    keep = _first_of_each(spikes, labels, round(0.0004 * recording.get_sampling_frequency()))
    spikes, labels = spikes[keep], labels[keep]
    found = np.unique(labels)
    unit_ids = _unit_ids(known_ids, found)
    segments = range(recording.get_num_segments())
    masks = [spikes["segment_index"] == segment_index for segment_index in segments]
    return NumpySorting.from_samples_and_labels(
        [spikes["sample_index"][mask] for mask in masks],
        [unit_ids[np.searchsorted(found, labels[mask])] for mask in masks],
        recording.get_sampling_frequency(),
        unit_ids=unit_ids,
    )


class _ClassifierTraces:
    """A recording as a classifier sees it: its channels, in noise levels, stretch by stretch."""

    STRETCH_S = 20.0

    def __init__(self, recording, net, seed):
        from ..noise import noise_levels, sample_traces

        trained = net.info.sampling_frequency
        if trained is not None and abs(recording.get_sampling_frequency() / trained - 1) > 1e-4:
            raise ValueError(
                f"The recording has {recording.get_sampling_frequency()} Hz, the classifier was trained at {trained} "
                "Hz. Resample the recording with spikeinterface.preprocessing.resample."
            )
        wanted = [str(channel) for channel in net.info.settings["channel_ids"]]
        by_name = {str(channel): channel for channel in recording.channel_ids}
        if set(wanted) - set(by_name):
            raise ValueError(
                f"The recording lacks the channels {sorted(set(wanted) - set(by_name))} of the classifier; it has "
                f"{list(by_name)[:8]}... Train a classifier for this probe, or rename the channels."
            )
        self.net, self.recording = net, recording.select_channels([by_name[channel] for channel in wanted])
        sample = sample_traces(self.recording, seed=seed)
        levels = noise_levels(sample)
        self.baseline = np.median(sample, axis=0)
        self.scale = np.where(levels > 0, 1 / np.where(levels > 0, levels, 1), 0)

    def assign(self, frames, segment_index) -> np.ndarray:
        """Known unit of each spike of a segment; frames are sorted."""
        units = np.full(len(frames), UNKNOWN)
        num_frames = self.recording.get_num_frames(segment_index)
        stretch = round(self.STRETCH_S * self.recording.get_sampling_frequency())
        margin = 4 * self.net.config.num_samples
        for start in range(0, num_frames, stretch):
            first, last = max(0, start - margin), min(num_frames, start + stretch + margin)
            near = np.flatnonzero((frames >= first) & (frames < last))
            traces = self.recording.get_traces(segment_index=segment_index, start_frame=first, end_frame=last)
            found, _ = assign_peaks((traces - self.baseline) * self.scale, frames[near] - first, self.net)
            inside = (frames[near] >= start) & (frames[near] < start + stretch)
            units[near[inside]] = found[inside]
        return units


def load_classifier(classifier):
    """A classifier of known units by folder, name or as it is; a ValueError if the model is none."""
    from ..nets.classifier import CNNClassifier, GRUClassifier
    from ..zoo import load_network

    remedy = "Make one with si_deepsort.train_classifier(recording, sorting, folder=...)."
    net = load_network(classifier, (CNNClassifier, GRUClassifier), purpose="known units", remedy=remedy)
    if net.info is None or "unit_ids" not in net.info.settings:
        raise ValueError(f"The classifier does not know which units it was trained on. {remedy}")
    return net


def _let_clusters_vote(known, clusters, vote):
    for cluster in np.unique(clusters):
        own = clusters == cluster
        votes = np.bincount(known[own & (known >= 0)], minlength=1)
        if votes.max() >= vote * own.sum():
            known[own & (known < 0)] = votes.argmax()


def _first_of_each(spikes, labels, reach):
    """Which spikes are not found a second time for the same unit within some frames."""
    order = np.lexsort((spikes["sample_index"], labels, spikes["segment_index"]))
    frames, same = spikes["sample_index"][order], np.zeros(len(order), dtype=bool)
    is_same_unit = (np.diff(labels[order]) == 0) & (np.diff(spikes["segment_index"][order]) == 0)
    same[1:] = is_same_unit & (np.diff(frames) <= reach)
    keep = np.ones(len(order), dtype=bool)
    keep[order[same]] = False
    return keep


def _unit_ids(known_ids, found) -> np.ndarray:
    """Known ids as they are, new clusters numbered after them (whole numbers) or named new0, new1, ..."""
    num_new = int((found >= len(known_ids)).sum())
    known = [known_ids[label] for label in found if label < len(known_ids)]
    if all(isinstance(unit, int) for unit in known_ids):
        return np.array(known + [max(known_ids, default=-1) + 1 + number for number in range(num_new)], dtype=int)
    return np.array([str(unit) for unit in known] + [f"new{number}" for number in range(num_new)], dtype=str)
