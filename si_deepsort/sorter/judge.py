"""Judge the units of a sorting: what to expect of each, and which small units and fragments are left out."""

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
from ..spike_vectors import as_sorting, relabelled, trains_of
from .run_folder import RunFolder
from .units.coincidences import expected_coincidences
from .units.dropped import FRAGMENT, NOT_TYPICAL
from .units.merge import REFRACTORY_S

logger = logging.getLogger(__name__)

# Seconds of white traces, spread over the recording, from which units are judged: a twentieth of the time that sorting
# 60 s takes.
MOST_ASSESSED_S = 30.0
# A fragment is left out if the upper bound of its expected recall is below this: most spikes of its neuron are missing.
FEW_FOUND = 0.5
# So is rare noise whose upper bound is below this; other noise may be a small neuron. None of the 16 such units among
# the sortings of training and validation held a fifth of the spikes of a neuron, but two of two among 21 development
# recordings did, one of them most spikes of a neuron of SNR 7.
FEW_FOUND_OF_NOISE = 0.2
# A unit whose typical spike has this many times the smallest size of a unit is no fragment: such spikes stand out
# wherever they occur. In 37 development recordings (our generator, SpikeInterface's parts), two units of 1.1 times that
# size were fragments, and two of 4 and 5.5 times were neurons whose spikes nearly all overlap with others.
LARGE_SIZE = 2.0


@dataclass(frozen=True, kw_only=True)
class JudgingValues:
    """
    What decides which units are left out.

    Attributes
    ----------
    known_ids : sequence
        Ids of all known units; those that were found are the first units, and none of them is left out.
    spike_size : float
        Units whose property `spike_size` is smaller are left out unless they are judged to be good.
    drop_fragments : bool
        Whether fragments are left out, see `few_of_their_spikes`.
    seed : int
        Seed of the choice of spikes that are judged.
    """

    known_ids: Sequence
    spike_size: float
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
    Set what is to be expected of each unit as properties, leave units out, and keep the tables that tell the reasons.

    Small units are left out unless they are judged to be good, and fragments with few of their spikes unless these are
    large. An error of the judgement is told and does not stop the run; small units are then left out.

    Parameters
    ----------
    sorting : BaseSorting
        With the properties and the annotation that `output.make_sorting` sets.
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
        Its annotation `dropped_units`, and the table of the run, name the units that were left out here as well.
    """
    is_known = np.isin(sorting.unit_ids, list(values.known_ids))
    sizes = sorting.get_property("spike_size")
    is_small, is_large = (sizes < values.spike_size) & ~is_known, sizes >= LARGE_SIZE * values.spike_size
    is_fragment = np.zeros(len(is_small), dtype=bool)
    assessment = _assessment(sorting, white, whitening, noise_before, values.seed)
    if assessment is not None:
        assessment.set_properties(sorting)
        is_small &= (assessment.units["label"] != "good").to_numpy(dtype=bool)
        is_fragment = values.drop_fragments & few_of_their_spikes(assessment, sorting)
        is_fragment &= ~(is_known | is_small | is_large)
    is_left_out = is_small | is_fragment
    kept = _without(sorting, is_left_out, is_known, values.known_ids, white) if is_left_out.any() else sorting
    if assessment is not None:
        table = assessment.units[~is_left_out].reset_index(drop=True)
        table.insert(0, "unit_id", kept.unit_ids)
        run.save_table("assessment", table)
    if is_left_out.any():
        dropped = _with_left_out(sorting, {NOT_TYPICAL: is_small, FRAGMENT: is_fragment}, white)
        run.save_table("dropped", dropped)
        kept.annotate(dropped_units=dropped.to_dict(orient="list"))
    return kept


def _assessment(sorting, white, whitening, noise_before, seed) -> Assessment | None:
    """The assessment of a sorting; None, with a warning, if it fails: the sorting itself is complete."""
    try:
        return assess_white(
            sorting, white, whitening=whitening, noise_before=noise_before, duration_s=MOST_ASSESSED_S, seed=seed
        )
    except Exception as error:
        logger.exception("The units could not be judged")
        warnings.warn(
            f"The sorting is complete, but its units could not be judged ({type(error).__name__}: {error}). "
            "si_deepsort.assess(sorting, recording) tries again.",
            stacklevel=3,
        )
        return None


def few_of_their_spikes(assessment: Assessment, sorting: BaseSorting) -> np.ndarray:
    """
    Units that hold few of the spikes of their neuron, (num_units,), bool.

    They are judged to be fragments, and the 90 % interval of their expected recall ends below `FEW_FOUND`; or they are
    judged to be noise, and it ends below `FEW_FOUND_OF_NOISE`. Small neurons whose spikes are found only where a
    neighbour fires as well make such units, and slow waves together with a few odd spikes of a large neuron. Noise
    with so many spikes that they would show a refractory period stays, with its label: it may be a neuron.
    """
    units = assessment.units
    labels, upper = units["label"].to_numpy(), units["recall_upper"].to_numpy()
    trains = trains_of(sorting.to_spike_vector(), len(units))
    reach = REFRACTORY_S * sorting.get_sampling_frequency()
    # Each pair of spikes counts twice.
    is_rare = np.array([expected_coincidences(train, train, reach) / 2 < 1 for train in trains], dtype=bool)
    is_noise = (labels == "noise") & (upper < FEW_FOUND_OF_NOISE) & is_rare
    return ((labels == "fragment") & (upper < FEW_FOUND)) | is_noise


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


def _with_left_out(sorting: BaseSorting, reasons: dict[str, np.ndarray], white: BaseRecording) -> pd.DataFrame:
    """The table of dropped units with those left out now, see `dropped_table`; `reasons` has (num_units,) bool each."""
    tables = [pd.DataFrame(sorting.get_annotation("dropped_units"))]
    num_spikes = sorting.count_num_spikes_per_unit(outputs="array")
    for reason, is_left_out in reasons.items():
        logger.info("%d judged units left out: %s", is_left_out.sum(), reason)
        channels = sorting.get_property("main_channel_id")[is_left_out]
        columns = {
            "num_spikes": num_spikes[is_left_out],
            "snr": sorting.get_property("snr")[is_left_out].round(1),
            "main_channel_id": channels,
            "depth_um": white.get_channel_locations()[white.ids_to_indices(channels), 1],
            "reason": reason,
        }
        tables.append(pd.DataFrame(columns))
    dropped = pd.concat([table for table in tables if len(table)], ignore_index=True)
    return dropped.sort_values("snr", ascending=False, ignore_index=True, kind="stable")
