"""Calibrate the network on recordings that its members did not see: intervals, spikes, and missed neurons."""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

from ...assessment.features import LOG_NORM
from ...assessment.missed import recording_features
from ...assessment.predict import LEAST_WIDTH, calibrated, run_network, tempered, widened
from ...nets.assessor import QUANTILES, Assessor
from .data import ExampleSet

# Points of the isotonic curve that are kept.
MOST_POINTS = 40
# Strength of the regularization of the number of missed neurons.
RIDGE_STRENGTH = 3.0
# Expected values that divide units into groups whose intervals are calibrated apart. With one group for all, intervals
# of mixed and of incomplete units hold too few values, and those of pure and of whole ones nearly all: .67 and .97 of
# the precisions, .89 and .99 of the recalls (recordings that were left out).
EDGES: dict[str, tuple[float, ...]] = {"precision": (0.9, 0.98), "recall": (0.9, 0.98)}
# Ends are not moved inwards by more than this: a lower end by half of the width, so that the interval stays one, and an
# upper end not at all, because 1 is the most frequent value.
LEAST_FACTORS = (-0.5, 0.0)
# With fewer units, 5 % of a group are three units or fewer.
FEWEST_IN_GROUP = 80
# Lowest and highest temperature of label probabilities: networks are too sure, not too unsure.
TEMPERATURES = (1.0, 5.0)
# Share of the recordings whose interval is to hold the number of missed neurons.
MISSED_COVERAGE = 0.92


def calibrate(net: Assessor, examples: ExampleSet, folds: np.ndarray) -> tuple[dict, dict[str, float]]:
    """
    Calibrate a network whose members each left one fold out.

    Parameters
    ----------
    net : Assessor
    examples : ExampleSet
    folds : np.ndarray, shape (num_units,), int
        The member that did not see each unit.

    Returns
    -------
    settings : dict
        `widening` of intervals, `label_temperature`, `spike_calibration`, and `missed`, see `assessment`.
    metrics : dict of str to float
        What was measured on the recordings that were left out, sortings with made faults not counted.
    """
    outputs, log_odds = run_network(net, examples.units, examples.pairs, examples.spikes, examples.spike_units)
    of_units = outputs[folds, np.arange(len(folds))]
    log_odds = log_odds[folds[examples.spike_units], np.arange(len(examples.spikes))]
    is_real = examples.weights() == 1.0
    truth = {"precision": examples.precision, "recall": examples.recall}
    parts = {"precision": of_units[:, :3], "recall": of_units[:, 3:6]}
    widening = {name: interval_factors(parts[name][is_real], truth[name][is_real], EDGES[name]) for name in truth}
    # As in training, degraded sortings count less: spikes of sorters are then calibrated better (error .020 instead of
    # .026 for peers and .011 instead of .015 for deepsort on recordings that were left out; .013 instead of .018 on
    # development recordings with templates of detailed neuron models).
    spike_calibration = _isotonic(log_odds, examples.is_right, examples.weights()[examples.spike_units])
    is_real_spike = is_real[examples.spike_units]
    temperature = label_temperature(of_units[is_real, 6:], examples.labels[is_real])
    labels = tempered(of_units[:, 6:], temperature)
    missed = _missed(examples, labels)
    settings = {"widening": widening, "label_temperature": temperature, "spike_calibration": spike_calibration}
    settings["missed"] = missed
    metrics = {}
    for name, values in truth.items():
        bounds = widened(parts[name][is_real], widening[name])
        metrics[f"{name}_error"] = float(np.abs(bounds[:, 1] - values[is_real]).mean())
        metrics[f"{name}_coverage"] = float(
            ((bounds[:, 0] <= values[is_real]) & (values[is_real] <= bounds[:, 2])).mean()
        )
    probability = calibrated(log_odds[is_real_spike], spike_calibration)
    metrics["spike_calibration_error"] = calibration_error(probability, examples.is_right[is_real_spike])
    is_right = labels.argmax(axis=1) == examples.labels
    metrics["label_calibration_error"] = calibration_error(labels.max(axis=1)[is_real], is_right[is_real])
    return settings, metrics


def label_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """
    Temperature at which the true labels are least surprising; see `assessment.predict.tempered`.

    Parameters
    ----------
    probabilities : np.ndarray, shape (num_units, num_labels), float
        Predictions for recordings that were left out.
    labels : np.ndarray, shape (num_units,), int
    """

    def surprise(temperature):
        return -np.log(tempered(probabilities, temperature)[np.arange(len(labels)), labels]).mean()

    return float(minimize_scalar(surprise, bounds=TEMPERATURES, method="bounded").x)


def calibration_error(probability: np.ndarray, is_right: np.ndarray, num_bins: int = 10) -> float:
    """Mean difference of probability and frequency over bins of equal width, weighted by their spikes."""
    bins = np.minimum((probability * num_bins).astype(int), num_bins - 1)
    gaps = [
        np.abs(probability[bins == one].mean() - is_right[bins == one].mean()) * np.mean(bins == one)
        for one in np.unique(bins)
    ]
    return float(np.sum(gaps))


def interval_factors(
    quantiles: np.ndarray,
    values: np.ndarray,
    edges: tuple[float, ...],
    *,
    tail: float = QUANTILES[0],
    is_own: np.ndarray | None = None,
) -> dict[str, list]:
    """
    Factors that move both ends of intervals, so that the intervals of each group leave out a share of the values.

    Conformalized quantile regression (Romano, Patterson and Candes 2019) with scores relative to the width, by groups
    of the expected value (Vovk, Lindsay, Nouretdinov and Gammerman 2003). Nothing lies beyond an end at 0 or
    1, and the other end then leaves out up to twice its share.

    Parameters
    ----------
    quantiles : np.ndarray, shape (num_units, 3), float
        Lower, middle and upper quantile that were predicted.
    values : np.ndarray, shape (num_units,), float
        True values.
    edges : tuple of float
        Expected values that divide the groups, ascending. A group of few units has the factors of all units.
    tail : float, default: 0.05
        Share of the values that each end leaves out.
    is_own : np.ndarray | None, shape (num_units,), bool
        Units of the kind of recording that the factors are for; others count in groups where these are few.

    Returns
    -------
    dict
        `edges` and `factors`, for `assessment.predict.widened`.
    """
    groups = np.searchsorted(edges, quantiles[:, 1], side="right")
    factors = []
    for group in range(len(edges) + 1):
        members = groups == group
        if is_own is not None and (members & is_own).sum() >= FEWEST_IN_GROUP:
            members &= is_own
        if members.sum() < FEWEST_IN_GROUP:
            members[:] = True
        factors.append(_factors_of_group(quantiles[members], values[members], tail))
    return {"edges": list(edges), "factors": factors}


def _factors_of_group(quantiles: np.ndarray, values: np.ndarray, tail: float) -> list[float]:
    """Factors of both ends."""
    low, _, high = quantiles.T.astype(float)
    width = high - low + LEAST_WIDTH
    scores = [
        np.maximum(np.sort(score), least)
        for score, least in zip(((low - values) / width, (values - high) / width), LEAST_FACTORS, strict=True)
    ]
    factors = [float(score[-1]) for score in scores]

    def left_out(end: int) -> float:
        bounds = widened(quantiles, {"edges": [], "factors": [factors]})
        return float(np.mean(values < bounds[:, 0] if end == 0 else values > bounds[:, 2]))

    # The upper end first; then what it does not leave out is left to the lower end, and the other way round.
    for end, share in ((1, lambda: tail), (0, lambda: 2 * tail - left_out(1)), (1, lambda: 2 * tail - left_out(0))):
        most = max(tail, share())
        # The smallest factor that leaves out no more. Bounds are cut at 0, 1 and the expected value, so that the shares
        # are those of the intervals themselves.
        first, last = 0, len(values) - 1
        while first < last:
            middle = (first + last) // 2
            factors[end] = float(scores[end][middle])
            first, last = (first, middle) if left_out(end) <= most else (middle + 1, last)
        factors[end] = float(scores[end][first])
    return factors


def _isotonic(log_odds: np.ndarray, is_right: np.ndarray, weights: np.ndarray) -> dict[str, list[float]]:
    fitted = IsotonicRegression(y_min=0.001, y_max=0.999, out_of_bounds="clip").fit(log_odds, is_right, weights)
    points = np.quantile(log_odds, np.linspace(0, 1, MOST_POINTS))
    points = np.unique(points)
    # Means over the gaps between points are smoother than the steps of the isotonic curve.
    curve = fitted.predict(points)
    return {"log_odds": points.tolist(), "probability": curve.tolist()}


def _missed(examples: ExampleSet, label_probabilities: np.ndarray) -> dict[str, list]:
    """The linear model of the number of missed neurons, and its intervals from recordings that were left out."""
    whole, num_sortings = examples.whole, len(examples.names)
    features = np.stack(
        [
            recording_features(
                whole["event_counts"][k],
                whole["num_explained"][k],
                label_probabilities[examples.sortings == k],
                np.exp(examples.units[examples.sortings == k, LOG_NORM]),
                duration_s=float(whole["duration_s"][k]),
                num_channels=int(whole["num_channels"][k]),
            )
            for k in range(num_sortings)
        ]
    )
    roots = np.sqrt(whole["num_missed"])
    # A user's recording is of no kind that was generated, so that each kind is predicted from the others.
    kinds = examples.kinds()
    predicted = np.zeros_like(roots)
    for held_out in np.unique(kinds):
        is_out = kinds == held_out
        predicted[is_out] = Ridge(RIDGE_STRENGTH).fit(features[~is_out], roots[~is_out]).predict(features[is_out])
    errors = roots - predicted
    tail = (1 - MISSED_COVERAGE) / 2
    model = Ridge(RIDGE_STRENGTH).fit(features, roots)
    is_sorter = np.array(["degraded" not in name for name in examples.names])
    low, high = np.quantile(errors, [tail, 1 - tail], axis=0)
    neurons, missed = whole["num_neurons"][is_sorter].sum(axis=0), whole["num_missed"][is_sorter].sum(axis=0)
    return {
        "weights": model.coef_.tolist(),
        "offsets": model.intercept_.tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "found_share": (1 - missed / np.maximum(neurons, 1)).tolist(),
    }
