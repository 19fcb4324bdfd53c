"""From features to predictions: precision, recall and label of each unit, and a probability for each spike."""

from dataclasses import dataclass

import numpy as np

from ..nets.assessor import LABELS
from .features import Features

# Up to this many channels, intervals are calibrated apart: neurons are told apart by fewer values, and more of the
# units that seem pure hold a few spikes of others.
MOST_FEW_CHANNELS = 16
# Least width of an interval that is widened in proportion to its width.
LEAST_WIDTH = 0.02
# A unit is of one neuron, "good" or a "fragment", from this precision on.
PURE_PRECISION = 0.8
# Bounds this close to 0 or 1 are 0 or 1. Most units are exactly pure or whole, which a network never says exactly: an
# upper bound of .998 would leave them out.
RESOLUTION = 0.01


@dataclass(frozen=True)
class Predictions:
    """
    What the network says of a sorting.

    Attributes
    ----------
    precision, recall : np.ndarray, shape (num_units, 3), float
        Lower bound, expected value and upper bound.
    labels : np.ndarray, shape (num_units, 4), float
        Probability of each of `nets.assessor.LABELS`.
    spikes : np.ndarray, shape (num_judged,), float
        Probability that each judged spike is real and of its unit.
    """

    precision: np.ndarray
    recall: np.ndarray
    labels: np.ndarray
    spikes: np.ndarray


def predict(
    net, features: Features, spike_units: np.ndarray, most_of_one_neuron: np.ndarray, *, num_channels: int
) -> Predictions:
    """
    Predict how far a sorting can be trusted.

    Parameters
    ----------
    net : Assessor
        With its calibration in `info.settings`.
    features : Features
    spike_units : np.ndarray, shape (num_judged,), int
        Unit of each judged spike.
    most_of_one_neuron : np.ndarray, shape (num_units,), float
        Largest share of the spikes of each unit that can be of one neuron, see `repeats`. The network has seen no unit
        that fits noise as well as those of chance times do in a sorting of hundreds of them, and calls some good.
    num_channels : int
        Channels of the recording.
    """
    outputs, log_odds = run_network(
        net, features.unit_matrix(), features.pair_matrix(), features.spike_matrix(), spike_units
    )
    settings, mean = net.info.settings, outputs.mean(axis=0)
    widening = widening_of(settings["widening"], num_channels)
    labels = tempered(mean[:, 6:], settings.get("label_temperature", 1.0))
    return Predictions(
        np.minimum(widened(mean[:, :3], widening["precision"]), most_of_one_neuron[:, None]),
        widened(mean[:, 3:6], widening["recall"]),
        without_pure_labels(labels, most_of_one_neuron < PURE_PRECISION),
        np.minimum(calibrated(log_odds.mean(axis=0), settings["spike_calibration"]), most_of_one_neuron[spike_units]),
    )


def widening_of(widening: dict, num_channels: int) -> dict:
    """What belongs to recordings of so many channels; networks that were not calibrated anew have one for all."""
    if "few_channels" not in widening:
        return widening
    return widening["few_channels" if num_channels <= MOST_FEW_CHANNELS else "many_channels"]


def without_pure_labels(labels: np.ndarray, is_impure: np.ndarray) -> np.ndarray:
    """
    Probabilities of labels where some units cannot be of one neuron: they are a "multi-unit" or "noise".

    Parameters
    ----------
    labels : np.ndarray, shape (num_units, num_labels), float
    is_impure : np.ndarray, shape (num_units,), bool

    Returns
    -------
    np.ndarray, shape (num_units, num_labels), float
        Their sum is 1.
    """
    is_possible = np.isin(LABELS, ("multi-unit", "noise")) | ~is_impure[:, None]
    possible = np.where(is_possible, labels, 0.0)
    return possible / possible.sum(axis=1, keepdims=True)


def run_network(net, units: np.ndarray, pairs: np.ndarray, spikes: np.ndarray, spike_units: np.ndarray):
    """
    Outputs of each member of the network.

    Parameters
    ----------
    net : Assessor
    units, pairs, spikes : np.ndarray, float32
        Matrices of `Features`.
    spike_units : np.ndarray, shape (num_spikes,), int

    Returns
    -------
    outputs : np.ndarray, shape (num_members, num_units, 10), float32
    log_odds : np.ndarray, shape (num_members, num_spikes), float32
    """
    import torch

    if len(units) == 0:
        num_members = net.config.num_members
        return np.zeros((num_members, 0, 6 + len(LABELS)), "float32"), np.zeros((num_members, 0), "float32")
    with torch.inference_mode():
        outputs = net.judge_units(torch.from_numpy(units), torch.from_numpy(pairs))
        of_spikes = outputs[:, torch.from_numpy(spike_units.astype("int64"))]
        log_odds = net.judge_spikes(torch.from_numpy(spikes), of_spikes)[..., 0]
    return outputs.numpy(), log_odds.numpy()


def widened(quantiles: np.ndarray, widening: dict[str, list]) -> np.ndarray:
    """
    Intervals that hold nine of ten values, by conformal prediction (Romano, Patterson and Candes 2019).

    Units are divided into groups by their expected value, because errors of pure units are much smaller relative to
    the predicted width than those of others.

    Parameters
    ----------
    quantiles : np.ndarray, shape (num_units, 3), float
        Lower, middle and upper quantile.
    widening : dict
        `edges`: expected values that divide the groups, ascending. `factors`: for each group, what the lower and the
        upper end are moved by, relative to the width of the interval; negative where it becomes narrower.

    Returns
    -------
    np.ndarray, shape (num_units, 3), float
        From 0 to 1, ascending. Bounds within `RESOLUTION` of 0 or 1 are 0 or 1.
    """
    low, middle, high = np.asarray(quantiles, dtype=float).T
    factors = np.asarray(widening["factors"], dtype=float)[np.searchsorted(widening["edges"], middle, side="right")]
    width = high - low + LEAST_WIDTH
    low, high = low - factors[:, 0] * width, high + factors[:, 1] * width
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    low, high = np.where(low < RESOLUTION, 0.0, low), np.where(high > 1 - RESOLUTION, 1.0, high)
    return np.clip(np.stack([low, middle, high], axis=1), 0, 1)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """
    Probabilities of labels that are less sure, with the same order (Guo, Pleiss, Sun and Weinberger 2017).

    Parameters
    ----------
    probabilities : np.ndarray, shape (num_units, num_labels), float
    temperature : float
        1 leaves them as they are, more makes them more equal.

    Returns
    -------
    np.ndarray, shape (num_units, num_labels), float
        Their sum is 1.
    """
    powers = np.clip(probabilities.astype(float), 1e-9, 1) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def calibrated(log_odds: np.ndarray, calibration: dict[str, list[float]]) -> np.ndarray:
    """Probabilities from log odds, by the isotonic curve that held-out recordings gave."""
    return np.interp(log_odds, calibration["log_odds"], calibration["probability"])
