"""Judge the units of a sorting: what to expect of each, and which hold few of the spikes of their neuron."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from spikeinterface.core import BaseRecording, BaseSorting

from ..assessment.assess import assess_white
from ..assessment.assessment import Assessment
from ..known_units.compatible import name_units
from ..preprocessing.whitening import Whitening
from ..spike_vectors import as_sorting, relabelled
from .run_folder import RunFolder
from .units.dropped import FRAGMENT

logger = logging.getLogger(__name__)

# Seconds of white traces, spread over the recording, from which units are judged: a twentieth of the time that sorting
# 60 s takes.
MOST_ASSESSED_S = 30.0
# A fragment is left out if the upper bound of its expected recall is below this: most spikes of its neuron are missing.
FEW_FOUND = 0.5


@dataclass(frozen=True, kw_only=True)
class JudgingValues:
    """
    What decides which units are left out.

    Attributes
    ----------
    known_ids : sequence
        Ids of all known units; those that were found are the first units, and none of them is left out.
    drop_fragments : bool
        Whether fragments are left out, see `few_of_their_spikes`.
    seed : int
        Seed of the choice of spikes that are judged.
    """

    known_ids: Sequence
    drop_fragments: bool
    seed: int


def judge_units(
    sorting: BaseSorting,
    white: BaseRecording,
    whitening: Whitening,
    noise_before: np.ndarray,
    run: RunFolder,
    values: JudgingValues,
) -> BaseSorting:
    """
    Set what is to be expected of each unit as properties, leave out fragments, and keep the table with the reasons.

    An error here is told and does not stop the run: the sorting itself is complete.

    Parameters
    ----------
    sorting : BaseSorting
    white : BaseRecording
        The whole recording, whitened.
    whitening : Whitening
    noise_before : np.ndarray, shape (num_channels,), float
        Noise levels of the traces before whitening, in their unit.
    run : RunFolder
    values : JudgingValues

    Returns
    -------
    BaseSorting
        Its annotation `dropped_units`, and the table of the run, name the fragments as well.
    """
    try:
        assessment = assess_white(
            sorting, white, whitening=whitening, noise_before=noise_before, duration_s=MOST_ASSESSED_S, seed=values.seed
        )
    except Exception as error:
        logger.exception("The units could not be judged")
        warnings.warn(
            f"The sorting is complete, but its units could not be judged ({type(error).__name__}: {error}). "
            "si_deepsort.assess(sorting, recording) tries again.",
            stacklevel=2,
        )
        return sorting
    assessment.set_properties(sorting)
    is_known = np.isin(sorting.unit_ids, list(values.known_ids))
    is_left_out = values.drop_fragments & few_of_their_spikes(assessment) & ~is_known
    kept = _without(sorting, is_left_out, is_known, values.known_ids, white) if is_left_out.any() else sorting
    table = assessment.units[~is_left_out].reset_index(drop=True)
    table.insert(0, "unit_id", kept.unit_ids)
    run.save_table("assessment", table)
    if is_left_out.any():
        dropped = _with_fragments(sorting, is_left_out, white)
        run.save_table("dropped", dropped)
        kept.annotate(dropped_units=dropped.to_dict(orient="list"))
    return kept


def few_of_their_spikes(assessment: Assessment) -> np.ndarray:
    """
    Units that hold few of the spikes of their neuron, (num_units,), bool.

    They are judged to be fragments, and the 90 % interval of their expected recall ends below `FEW_FOUND`. Small
    neurons whose spikes are found only where a neighbour fires as well make such units.
    """
    units = assessment.units
    return ((units["label"] == "fragment") & (units["recall_upper"] < FEW_FOUND)).to_numpy(dtype=bool)


def _without(sorting: BaseSorting, is_left_out, is_known, known_ids, white: BaseRecording) -> BaseSorting:
    """The sorting without some units, of which new ones are numbered anew."""
    labels = np.where(is_left_out, -1, np.cumsum(~is_left_out) - 1)
    is_found = np.isin(list(known_ids), sorting.unit_ids[is_known])
    unit_ids = name_units(list(known_ids), is_found, int(np.sum(~is_left_out & ~is_known)))
    kept = as_sorting(relabelled(sorting.to_spike_vector(), labels), unit_ids, white)
    for key in sorting.get_property_keys():
        kept.set_property(key, sorting.get_property(key)[~is_left_out])
    for key in sorting.get_annotation_keys():
        kept.annotate(**{key: sorting.get_annotation(key)})
    return kept


def _with_fragments(sorting: BaseSorting, is_left_out, white: BaseRecording) -> pd.DataFrame:
    """The table of dropped units with those that are left out now, see `dropped_table`."""
    logger.info("%d units left out: %s", is_left_out.sum(), FRAGMENT)
    channels = sorting.get_property("main_channel_id")[is_left_out]
    fragments = pd.DataFrame(
        {
            "num_spikes": sorting.count_num_spikes_per_unit(outputs="array")[is_left_out],
            "snr": sorting.get_property("snr")[is_left_out].round(1),
            "main_channel_id": channels,
            "depth_um": white.get_channel_locations()[white.ids_to_indices(channels), 1],
            "reason": FRAGMENT,
        }
    )
    before = pd.DataFrame(sorting.get_annotation("dropped_units"))
    dropped = pd.concat([before, fragments], ignore_index=True) if len(before) else fragments
    return dropped.sort_values("snr", ascending=False, ignore_index=True, kind="stable")
