"""Choose the decision threshold of a detector on held-out candidates, and say how good it is there."""

import numpy as np

from ...detection.spike_detector import DEFAULT_THRESHOLD, probabilities_of
from ...nets.detector import Detector
from .examples import Examples

# A chosen threshold stays within these probabilities, so that new recordings keep some peaks and not all of them.
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.02, 0.98
# Precision at which recall is reported.
PRECISION = 0.95


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
        precision, recall and f1 there, and recall at 95 % precision; the same (`energy_f1`,
        `energy_recall_at_precision_95`) for the rule of energy alone, at its own best threshold. Empty if no held-out
        candidate is a spike.
    """
    if not len(held_out) or not held_out.labels.any():
        return DEFAULT_THRESHOLD, {}
    scores = probabilities_of(net, held_out.windows, held_out.distances_um, held_out.context)
    threshold, metrics = _best_f1(scores, held_out)
    _, of_energy = _best_f1(energy_scores(held_out.context, net.config.rival_share), held_out)
    metrics |= {f"energy_{name}": of_energy[name] for name in ("f1", "recall_at_precision_95")}
    return float(np.clip(threshold, LOWEST_THRESHOLD, HIGHEST_THRESHOLD)), metrics


def threshold_of_equal_recall(net: Detector, held_out: Examples) -> tuple[float, dict[str, float]]:
    """
    Choose the highest probability at which a network finds as many spikes as energy alone at its threshold.

    Parameters
    ----------
    net : Detector
    held_out : Examples
        At least one is a spike.

    Returns
    -------
    threshold : float
    metrics : dict of float
        recall_as_energy, and the precision of both at this recall.
    """
    is_spike = held_out.labels == 1
    by_energy = energy_scores(held_out.context, net.config.rival_share) >= net.config.threshold
    scores = probabilities_of(net, held_out.windows, held_out.distances_um, held_out.context)
    recall = float(by_energy[is_spike].mean())
    threshold = float(np.clip(np.quantile(scores[is_spike], 1 - recall), LOWEST_THRESHOLD, HIGHEST_THRESHOLD))
    metrics = {"recall_as_energy": recall}
    for name, found in (("precision_at_this_recall", scores >= threshold), ("energy_precision", by_energy)):
        metrics[name] = float((held_out.weights * is_spike)[found].sum() / held_out.weights[found].sum())
    return threshold, metrics


def energy_scores(context: np.ndarray, rival_share: float) -> np.ndarray:
    """The largest threshold at which energy alone takes each candidate, 0 in the shadow of a larger one; (num,)."""
    return np.where(context[:, 1] >= rival_share, context[:, 0], 0.0)


def _best_f1(scores, examples: Examples) -> tuple[float, dict[str, float]]:
    """The score above which F1 is largest; precision, recall and F1 there, and the recall at a high precision."""
    order = np.argsort(-scores)
    hits = np.cumsum((examples.labels * examples.weights)[order])
    precision = hits / np.cumsum(examples.weights[order])
    recall = hits / hits[-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    metrics = {"precision": float(precision[best]), "recall": float(recall[best]), "f1": float(f1[best])}
    metrics["recall_at_precision_95"] = float(recall[precision >= PRECISION].max(initial=0.0))
    return float(scores[order[best]]), metrics
