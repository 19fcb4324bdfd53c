"""
Assign peaks to known units by a trained classifier.

Overlapping peaks are classified again after the templates of their neighbours were subtracted. A waveform that no known
unit explains stays unassigned.
"""

import numpy as np

from ..nets.classifier import WaveformClassifier

# Instead of a unit: a spike of no known unit, and no spike at all.
UNKNOWN = -1
NOTHING = -2


def cut_waveforms(traces: np.ndarray, frames: np.ndarray, *, nbefore: int, nafter: int) -> np.ndarray:
    """
    Cut waveforms around frames out of traces; beyond the ends of the traces they are 0.

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
    traces: np.ndarray,
    frames: np.ndarray,
    net: WaveformClassifier,
    *,
    min_probability: float | None = None,
    num_rounds: int = 5,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Assign each peak to a known unit.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In noise levels; the channels in `info.settings["channel_ids"]` of the classifier, in that order.
    frames : np.ndarray, shape (num_peaks,), int
        Sorted.
    net : WaveformClassifier
        Made by `train_classifier`, in evaluation mode.
    min_probability : float | None, default: None
        Below this probability a spike stays unassigned. None takes the model's.
    num_rounds : int, default: 5
        How often overlapping peaks are classified; 1 does not resolve overlaps.

    Returns
    -------
    units : np.ndarray, shape (num_peaks,), int
        Index into `info.settings["unit_ids"]`; -1 for a spike of no known unit, -2 for no spike.
    probabilities : np.ndarray, shape (num_peaks,), float32
        Probability of the class that was chosen.

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
    limits, templates = net.distance_limits.cpu().numpy(), net.templates.cpu().numpy().copy()
    templates[-1] = 0.0  # the class of windows without a spike
    classes, probabilities, distances = _classify(net, waveforms, templates)
    pairs = _overlapping_pairs(frames, config.num_samples)
    cleaned = waveforms
    for round_index in range(num_rounds - 1):
        # Every second peak of an overlap in turn: two that change at once could exchange their units forever.
        again = np.unique(pairs[0][pairs[0] % 2 == round_index % 2])
        if len(again) == 0:
            continue
        explained = np.where(distances < np.sqrt((cleaned**2).mean(axis=(1, 2))), classes, config.num_classes - 1)
        cleaned = waveforms.copy()
        _subtract_neighbors(cleaned, frames, explained, templates, pairs)
        classes[again], probabilities[again], distances[again] = _classify(net, cleaned[again], templates)
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
    """Subtract the templates of all other assigned peaks from each waveform, in place."""
    num_samples = waveforms.shape[2]
    for peak, other in zip(*pairs, strict=True):
        shift = int(frames[other] - frames[peak])
        target = slice(max(0, shift), num_samples + min(0, shift))
        source = slice(max(0, -shift), num_samples - max(0, shift))
        waveforms[peak, :, target] -= templates[classes[other]][:, source]
