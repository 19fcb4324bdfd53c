"""What to worry about first in a sorting: units that fail a check, with what the check means and what to do."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Share of a unit's spikes that come from other neurons, estimated from refractory violations (Llobet et al. 2022).
MOST_CONTAMINATION = 0.1
# Share of missing spikes, estimated from the amplitudes (Hill et al. 2011); limit of Siegle et al. 2021.
MOST_CUTOFF = 0.1
# Share of time bins with spikes; limit of Siegle et al. 2021.
LEAST_PRESENCE = 0.9
# Signal to noise ratio below which the benchmarks of this package call a unit small.
LEAST_SNR = 5.0
# Spikes below which correlograms and rates say little.
LEAST_SPIKES = 100
# Cosine of two templates from which on two units may be one neuron.
MOST_SIMILARITY = 0.9
# Seconds below which a sorting finds clearly fewer units than in a longer recording.
SHORT_RECORDING_S = 60.0


@dataclass(frozen=True)
class Worry:
    """
    Units that fail one check.

    Attributes
    ----------
    label : str
        A word or two for the table.
    text : str
        What it means and what to do.
    unit_ids : tuple
    """

    label: str
    text: str
    unit_ids: tuple[Hashable, ...]


# What the labels of an assessment other than "good" mean.
JUDGEMENTS = {
    "noise": "Most of these spikes are probably those of no neuron. Leave the unit out.",
    "multi-unit": "The spikes probably come from several neurons: the expected precision is low. Do not call these "
    "single units.",
    "fragment": "Most spikes of this neuron are probably missing, or in another unit: the expected recall is low.",
}


def find_worries(metrics: pd.DataFrame, similarity: np.ndarray, expected: pd.DataFrame | None = None) -> list[Worry]:
    """
    Units that fail a check, the gravest check first.

    Parameters
    ----------
    metrics : pandas.DataFrame
        SpikeInterface's quality metrics, one row for each unit.
    similarity : np.ndarray, shape (num_units, num_units), float
        Cosine of the templates.
    expected : pandas.DataFrame | None, default: None
        What is to be expected of each unit, with its `label`; None if the units were not judged.

    Returns
    -------
    list of Worry
        Without checks that no unit fails.
    """
    others = np.array(similarity, copy=True)
    np.fill_diagonal(others, 0)
    checks = [
        *_judgements(expected),
        (
            "contaminated",
            f"More than {MOST_CONTAMINATION:.0%} of the spikes probably come from other neurons: too many intervals "
            "are shorter than the refractory period. Look at the autocorrelogram; do not call them single units.",
            metrics["rp_contamination"] > MOST_CONTAMINATION,
        ),
        (
            "similar to another",
            f"The template resembles that of another unit (cosine above {MOST_SIMILARITY:g}). The two may be one "
            "neuron: look at the cross-correlogram in the unit's card, which then has a dip at 0.",
            pd.Series(others.max(axis=1, initial=0) > MOST_SIMILARITY, index=metrics.index),
        ),
        (
            "spikes missing",
            f"More than {MOST_CUTOFF:.0%} of the spikes are probably too small to be found: the distribution of "
            "amplitudes is cut off. Rates are underestimated.",
            metrics["amplitude_cutoff"] > MOST_CUTOFF,
        ),
        (
            "not always present",
            f"Without spikes in more than {1 - LEAST_PRESENCE:.0%} of the recording. The neuron drifted away, was "
            "lost, or is silent: look at the amplitudes over time.",
            metrics["presence_ratio"] < LEAST_PRESENCE,
        ),
        (
            "small",
            f"Signal to noise ratio below {LEAST_SNR:g}. Spikes of such units are confused and missed most often.",
            metrics["snr"] < LEAST_SNR,
        ),
        (
            "few spikes",
            f"Fewer than {LEAST_SPIKES} spikes: the other checks say little.",
            metrics["num_spikes"] < LEAST_SPIKES,
        ),
    ]
    worries = [Worry(label, text, tuple(metrics.index[fails.to_numpy(bool)])) for label, text, fails in checks]
    return [worry for worry in worries if worry.unit_ids]


def _judgements(expected: pd.DataFrame | None) -> list[tuple[str, str, pd.Series]]:
    """Label, text and which units have the label, for each label but "good"."""
    if expected is None:
        return []
    return [(label, text, expected["label"] == label) for label, text in JUDGEMENTS.items()]
