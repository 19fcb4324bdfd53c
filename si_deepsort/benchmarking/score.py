"""
A sorting against the truth: per unit, per sorter, and the uncertainty of both.

Units are matched and counted by SpikeInterface's comparison with its defaults: spikes agree within 0.4 ms, a pair of
units is a match from an agreement of .5, well detected from .8, redundant or over-merged from .2.
"""

from typing import Any

import numpy as np
import scipy.stats
import spikeinterface.core as si
from numpy.typing import ArrayLike
from spikeinterface.comparison import compare_sorter_to_ground_truth

from ..spike_vectors import check_belongs

PERFORMANCE = ("accuracy", "precision", "recall")
COUNTS = (
    "num_units",
    "num_well_detected",
    "num_lost_large",
    "num_false_positive",
    "num_fragments",
    "num_redundant",
    "num_overmerged",
)
# A large unit stands out this far and has enough spikes that no sorter should lose it; it is lost below this accuracy.
LOST_SNR, LOST_MIN_SPIKES, LOST_ACCURACY = 10.0, 30, 0.5
# A false-positive unit is a fragment if more than this share of its spikes are of one true unit.
FRAGMENT_SHARE = 0.5
# Signal to noise ratio from which on tables call a unit large.
LARGE_SNR = 8.0
# Resamples of a bootstrap interval: its limits are then known to a twentieth of its width.
NUM_RESAMPLES = 2000


def check_ground_truth(recording: si.BaseRecording, sorting: si.BaseSorting | None) -> None:
    """
    Check that a recording and its true sorting belong together.

    Raises
    ------
    ValueError
        If there is no ground truth, no probe, or if the two do not fit each other.
    """
    if sorting is None or len(sorting.unit_ids) == 0:
        raise ValueError(
            "The recording has no ground truth: a sorting with the true spikes of at least one unit is needed. "
            "Make one with ground_truth_recording(name), or inject units into your own recording with hybrid_recording."
        )
    if recording.get_num_channels() > 1 and not recording.has_channel_location():
        raise ValueError("The recording has no probe. Attach one with recording.set_probe(probe).")
    check_belongs(sorting, recording)


def score_sorting(
    true_sorting: si.BaseSorting, tested_sorting: si.BaseSorting, *, snr: np.ndarray | None = None
) -> dict[str, Any]:
    """
    Score a sorting against the truth.

    Parameters
    ----------
    true_sorting, tested_sorting : BaseSorting
        If the truth does not hold every unit of the recording, it carries the annotation `exhaustive_gt=False`; tested
        units that match nothing are then not counted.
    snr : np.ndarray | None, shape (num_true_units,), default: None
        Signal to noise ratio of the true units; None takes the property `gt_snr` of the true sorting if there is one.

    Returns
    -------
    dict
        "counts" (see `COUNTS`, and `num_overmerged_large`: units that hold two true units of SNR above 8;
        `num_lost_large`: true units of SNR 10 and more with 30 spikes or more, found with an accuracy below .5;
        `num_fragments`: false positives more than half of whose spikes are of one true unit), "units"
        (lists: `unit_id`, `accuracy`, `precision`, `recall`, `snr`, `firing_rate`) and `mean_accuracy`.
    """
    snr = true_sorting.get_property("gt_snr") if snr is None else np.asarray(snr)
    rates = true_sorting.get_property("gt_firing_rate")
    units: dict[str, Any] = {"unit_id": [str(unit) for unit in true_sorting.unit_ids]}
    if len(tested_sorting.unit_ids) == 0 or tested_sorting.count_total_num_spikes() == 0:
        units.update({name: [0.0] * len(true_sorting.unit_ids) for name in PERFORMANCE})
        counts: dict[str, int | None] = dict.fromkeys((*COUNTS, "num_overmerged_large"), 0)
    else:
        comparison = compare_sorter_to_ground_truth(true_sorting, tested_sorting, exhaustive_gt=True)
        is_exhaustive = true_sorting.get_annotation("exhaustive_gt") is not False
        table = comparison.get_performance().loc[list(true_sorting.unit_ids)]
        units.update({name: [round(float(x), 4) for x in table[name].fillna(0.0)] for name in PERFORMANCE})
        counts = _counts(comparison, tested_sorting, snr, is_exhaustive)
    counts["num_lost_large"] = _num_lost_large(true_sorting, snr, units["accuracy"])
    units["snr"] = None if snr is None else [round(float(x), 2) for x in snr]
    units["firing_rate"] = None if rates is None else [round(float(x), 3) for x in rates]
    return {"mean_accuracy": float(np.mean(units["accuracy"])), "counts": counts, "units": units}


def _counts(comparison, tested_sorting, snr, is_exhaustive) -> dict:
    counts = dict(
        num_units=len(tested_sorting.unit_ids),
        num_well_detected=comparison.count_well_detected_units(0.8),
        num_false_positive=comparison.count_false_positive_units() if is_exhaustive else None,
        num_fragments=_num_fragments(comparison, tested_sorting) if is_exhaustive else None,
        num_redundant=comparison.count_redundant_units(),
        num_overmerged=comparison.count_overmerged_units(),
        num_overmerged_large=0,
    )
    if snr is not None:
        agreement = comparison.agreement_scores.to_numpy()
        counts["num_overmerged_large"] = int(((agreement[snr > LARGE_SNR] >= 0.2).sum(axis=0) >= 2).sum())
    return {name: None if value is None else int(value) for name, value in counts.items()}


def _num_fragments(comparison, tested_sorting) -> int:
    counts = tested_sorting.count_num_spikes_per_unit(outputs="dict")
    shared = comparison.match_event_count.max(axis=0)
    return sum(shared[unit] > FRAGMENT_SHARE * counts[unit] for unit in comparison.get_false_positive_units())


def _num_lost_large(true_sorting, snr, accuracy) -> int | None:
    if snr is None:
        return None
    num_spikes = true_sorting.count_num_spikes_per_unit(outputs="array")
    is_large = (np.asarray(snr) >= LOST_SNR) & (num_spikes >= LOST_MIN_SPIKES)
    return int((is_large & (np.asarray(accuracy) < LOST_ACCURACY)).sum())


def mean_by_snr(accuracy: ArrayLike, snr: ArrayLike) -> dict[str, float | None]:
    """Mean accuracy of small (SNR under 5), middle (5 to 8) and large units; None where there is no such unit."""
    accuracy, snr = np.asarray(accuracy), np.asarray(snr)
    groups = {"snr_under_5": snr < 5, "snr_5_to_8": (snr >= 5) & (snr < LARGE_SNR), "snr_above_8": snr >= LARGE_SNR}
    return {name: float(accuracy[group].mean()) if group.any() else None for name, group in groups.items()}


def bootstrap_interval(values: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """
    Interval of the mean over units.

    Parameters
    ----------
    values : array-like, shape (num_units,), float
        One value per unit; for a paired difference, the difference of each unit.
    confidence : float, default: 0.95
    seed : int, default: 0
        Seed of the resampling.

    Returns
    -------
    low, high : float
        Percentiles of the mean over resampled units; both the mean itself for fewer than two units.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float(values.mean()), float(values.mean())
    interval = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=NUM_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_difference(accuracy: ArrayLike, other_accuracy: ArrayLike) -> dict[str, float]:
    """
    Difference of two sorters over the same units.

    Parameters
    ----------
    accuracy, other_accuracy : array-like, shape (num_units,), float

    Returns
    -------
    dict
        `difference` (positive if the first is better), `low` and `high` of its interval, `num_units`, and the number
        of units on which one of the two is better by more than .05.
    """
    difference = np.asarray(accuracy, dtype=float) - np.asarray(other_accuracy, dtype=float)
    low, high = bootstrap_interval(difference)
    return dict(
        difference=float(difference.mean()),
        low=low,
        high=high,
        num_units=len(difference),
        num_better=int((difference > 0.05).sum()),
        num_worse=int((difference < -0.05).sum()),
    )
