"""Choose the decision threshold of a detector on held-out candidates, and say how good it is there."""

import numpy as np

from ...detection.spike_detector import DEFAULT_THRESHOLD, probabilities_of
from ...nets.detector import Detector
from .examples import Examples

# A chosen threshold stays within these probabilities, so that new recordings keep some peaks and not all of them.
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.02, 0.98


def choose_threshold(net: Detector, held_out: Examples) -> tuple[float, dict[str, float]]:
    """
    Choose the probability from which on a candidate counts as a spike.

    Parameters
    ----------
    net : Detector
    held_out : Examples

    Returns
    -------
    threshold : float
        With the largest F1 on the held-out candidates.
    metrics : dict of float
        precision, recall and f1 there, and threshold_f1: the largest F1 of a threshold on the heights of the same
        candidates. Empty if no held-out candidate is a spike.
    """
    if not len(held_out) or not held_out.labels.any():
        return DEFAULT_THRESHOLD, {}
    scores = probabilities_of(net, held_out.windows, held_out.distances_um, held_out.activity)
    heights = np.abs(held_out.windows[:, 0, net.config.frames_before].astype("float32"))
    threshold, metrics = _best_f1(scores, held_out)
    metrics["threshold_f1"] = _best_f1(heights, held_out)[1]["f1"]
    return float(np.clip(threshold, LOWEST_THRESHOLD, HIGHEST_THRESHOLD)), metrics


def _best_f1(scores, examples: Examples) -> tuple[float, dict[str, float]]:
    """The score above which F1 is largest, and precision, recall and F1 there."""
    order = np.argsort(-scores)
    hits = np.cumsum((examples.labels * examples.weights)[order])
    precision = hits / np.cumsum(examples.weights[order])
    recall = hits / hits[-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    metrics = {"precision": float(precision[best]), "recall": float(recall[best]), "f1": float(f1[best])}
    return float(scores[order[best]]), metrics
