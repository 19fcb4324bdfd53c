"""Statistics of the judged spikes of each unit: scores, amplitudes, misfits, and whether they have a second shape."""

import numpy as np
import scipy.linalg
import scipy.stats

from ..two_groups import most_compact_split
from .evidence import Evidence
from .templates import AMPLITUDE_VARIANCE

# Score that a spike needs beside noise: twice the log of the prior odds against a spike at a frame, for units that fire
# about 4 Hz at 30 kHz (the default of the sorter).
SPIKE_THRESHOLD = 18.0
# A spike fits another unit about as well if its score is larger by less than this: odds of 20 to 1.
DOUBTFUL_MARGIN = 6.0
# Spikes of a unit that its own further components are looked for in, at least.
FEWEST_FOR_COMPONENTS = 12


def spike_statistics(evidence: Evidence, members: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Features of each unit, (num_units,) float, from its judged spikes, whose rows are `members`."""
    judged, norms = evidence.judged, np.maximum(evidence.templates.norms, 1e-9)
    margins = judged.scores - judged.other_scores
    rows = [_statistics_of(judged, margins, rows, norms[unit]) for unit, rows in enumerate(members)]
    names = _statistics_of(judged, margins, np.zeros(0, dtype=int), 1.0)
    return {name: np.array([row[name] for row in rows], dtype=float) for name in names}


def _statistics_of(judged, margins, rows, norm):
    """Summary of the judged spikes of one unit; NaN for a unit without any."""
    few = len(rows) < 2
    rows = rows if len(rows) else None
    scores, margins, amplitudes, misfits, collisions, moves = (
        np.full(1, np.nan) if rows is None else values[rows].astype(float)
        for values in (judged.scores, margins, judged.amplitudes, judged.misfits, judged.collisions, judged.moves)
    )
    low, middle, high = np.quantile(amplitudes, [0.05, 0.5, 0.95])
    spread = 1.4826 * np.median(np.abs(amplitudes - middle))
    noise_spread = np.sqrt(norm) / (norm + 1 / AMPLITUDE_VARIANCE)
    smallest = np.sqrt(SPIKE_THRESHOLD / norm)
    return {
        "score_low": np.arcsinh(np.quantile(scores, 0.05) / SPIKE_THRESHOLD),
        "score_quarter": np.arcsinh(np.quantile(scores, 0.25) / SPIKE_THRESHOLD),
        "score_relative": np.median(scores) / norm,
        "share_weak": np.mean(scores < SPIKE_THRESHOLD),
        "share_poor": np.mean(scores < 0.5 * norm),
        "margin_low": np.arcsinh(np.quantile(margins, 0.05) / SPIKE_THRESHOLD),
        "margin_quarter": np.arcsinh(np.quantile(margins, 0.25) / SPIKE_THRESHOLD),
        "margin_middle": np.arcsinh(np.median(margins) / SPIKE_THRESHOLD),
        "share_other": np.mean(margins < 0),
        "share_doubtful": np.mean(margins < DOUBTFUL_MARGIN),
        "amplitude_spread": spread,
        "amplitude_excess": np.log(max(spread / noise_spread, 0.05)),
        "amplitude_skew": 0.0 if few else np.clip(scipy.stats.skew(amplitudes), -5, 5),
        "amplitude_low": low,
        "amplitude_high": high,
        "amplitude_asymmetry": (high - middle) / max(high - low, 1e-6) if not few else 0.5,
        # The smallest spike that could be found, in spreads below the typical one: how much is cut off.
        "cut_off": np.clip((middle - smallest) / max(spread, 0.02), -5, 20),
        "misfit": np.median(misfits),
        "misfit_high": np.quantile(misfits, 0.9),
        "collision": np.arcsinh(np.mean(collisions)),
        "share_collision": np.mean(collisions > 0.3),
        "move_spread": np.std(moves),
    }


def component_statistics(evidence: Evidence, members: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Whether what single spikes leave over has a direction of its own, as when a unit holds two neurons."""
    largest, separation, skew = np.full((3, len(members)), np.nan)
    for unit, rows in enumerate(members):
        if len(rows) < FEWEST_FOR_COMPONENTS:
            continue
        rest = evidence.judged.remainders[rows].astype("float64")
        rest = rest[:, np.any(rest != 0, axis=0)]
        rest -= rest.mean(axis=0)
        last = [rest.shape[1] - 1] * 2
        energies, directions = scipy.linalg.eigh(rest.T @ rest, subset_by_index=last)
        # The largest eigenvalue of noise alone (Marchenko and Pastur 1967).
        edge = (np.sqrt(len(rest) - 1) + np.sqrt(rest.shape[1])) ** 2
        along = rest @ directions[:, 0]
        largest[unit] = np.log(max(energies[0] / edge, 0.05))
        separation[unit], skew[unit] = _two_groups(along)
    return {"component": largest, "component_separation": separation, "component_skew": skew}


def _two_groups(values):
    """Distance of the two most compact groups in their standard deviations, and the absolute skewness."""
    ordered = np.sort(values)
    fewest = max(2, len(ordered) // 20)
    border = most_compact_split(ordered, fewest=fewest)
    low, high = ordered[:border], ordered[border:]
    spread = np.sqrt((np.var(low) * len(low) + np.var(high) * len(high)) / len(ordered))
    return (high.mean() - low.mean()) / max(spread, 1e-6), np.abs(np.clip(scipy.stats.skew(ordered), -5, 5))
