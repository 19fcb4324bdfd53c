"""Say in words what speaks against a unit."""

from collections.abc import Sequence

import numpy as np

from .evidence import Evidence
from .features import Features
from .predict import PURE_PRECISION

# From these values on something is worth a sentence: shares of spikes or intervals.
TOLD_SHARE, TOLD_VIOLATIONS, TOLD_COINCIDENCES = 0.1, 0.005, 0.3
# A further shape among the spikes: logarithm of its variance relative to that of noise, and the distance of two groups.
TOLD_COMPONENT, TOLD_SEPARATION = 1.0, 3.5
# Amplitudes are cut off if the smallest spike that can be found lies within so many spreads of the typical one.
TOLD_CUT_OFF = 2.5
# A correlogram dips if it has less than this share of the expected pairs, of which there are at least so many.
TOLD_DIP, FEWEST_PAIRS = 0.35, 10.0
# Two templates are similar below this distance, relative to the norm.
SIMILAR_DISTANCE = 0.6
# With fewer spikes little can be said.
FEW_SPIKES = 20
TOLD_PRESENCE = 0.6
TOLD_TREND = 0.15
NOTHING = "nothing speaks against it"


def unit_reasons(evidence: Evidence, features: Features, unit_ids: Sequence) -> list[str]:
    """
    Reasons for each unit, as sentences joined by "; ".

    Parameters
    ----------
    evidence : Evidence
    features : Features
    unit_ids : sequence
        Name of each unit.
    """
    reasons = []
    for unit in range(len(unit_ids)):
        values = {name: column[unit] for name, column in features.units.items()}
        pairs = {name: column[unit] for name, column in features.pairs.items()}
        others = [unit_ids[other] if other >= 0 else None for other in evidence.neighbours.units[unit]]
        found = [*_of_pairs(pairs, others), *_of_unit(values), *_of_likeness(evidence.most_of_one_neuron[unit])]
        reasons.append("; ".join(found) if found else NOTHING)
    return reasons


def _of_pairs(pairs, others):
    """Sentences about a unit and its neighbours."""
    fits, coincidences = np.nan_to_num(pairs["fits_other"]), np.expm1(np.nan_to_num(pairs["coincidences"])) / 10
    for rank in np.argsort(-fits, kind="stable"):
        if fits[rank] >= TOLD_SHARE:
            yield f"{100 * fits[rank]:.0f} % of the spikes fit unit {others[rank]} as well"
    for rank in np.flatnonzero(coincidences >= TOLD_COINCIDENCES):
        yield f"{100 * min(coincidences[rank], 1):.0f} % of the spikes coincide with spikes of unit {others[rank]}"
    is_enough = np.expm1(np.nan_to_num(pairs["expected_pairs"])) >= FEWEST_PAIRS
    is_similar = np.nan_to_num(pairs["relative_distance"], nan=9.0) < SIMILAR_DISTANCE
    for rank in np.flatnonzero(is_enough & is_similar & (np.exp(np.nan_to_num(pairs["dip"])) < TOLD_DIP)):
        yield f"it hardly fires within 2 ms of the similar unit {others[rank]}, as if both were one neuron"


def _of_likeness(most):
    """A sentence about a unit whose spikes do not resemble each other."""
    if most < PURE_PRECISION:
        yield f"at most {100 * most:.0f} % of the spikes resemble the mean of the others"


def _of_unit(values):
    """Sentences about a unit alone."""
    count = round(np.expm1(values["log_count"]))
    if count == 0:
        yield "it has no spikes"
        return
    if count < FEW_SPIKES:
        yield f"it has only {count} spike{'' if count == 1 else 's'}"
    missed = np.expm1(values["missed"]) / 10
    if missed >= TOLD_SHARE:
        yield f"{100 * missed:.0f} % more spikes of its shape are left in the traces"
    if values["share_short"] >= TOLD_VIOLATIONS:
        yield f"{100 * values['share_short']:.1f} % of the intervals are shorter than 1.5 ms"
    if values["share_weak"] >= TOLD_SHARE:
        yield f"{100 * values['share_weak']:.0f} % of the spikes hardly stand out from noise"
    if values["component"] >= TOLD_COMPONENT and values["component_separation"] >= TOLD_SEPARATION:
        yield "its spikes have two shapes"
    if values["cut_off"] <= TOLD_CUT_OFF:
        yield "its smallest spikes are probably lost in the noise"
    if values["amplitude_trend"] >= TOLD_TREND:
        yield f"its amplitude changes by {100 * values['amplitude_trend']:.0f} % during the recording"
    if values["presence"] <= TOLD_PRESENCE:
        yield f"it fires in {100 * values['presence']:.0f} % of the recording only"
