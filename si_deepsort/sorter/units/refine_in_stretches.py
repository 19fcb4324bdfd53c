"""Refinement of units by their spikes in the stretches of a long recording, carried over to all of their spikes."""

from collections.abc import Callable

import numpy as np
from numpy.lib.recfunctions import append_fields
from spikeinterface.core import BaseRecording

from ...spike_vectors import in_order, relabelled, without_doubles
from ..stretches import Stretches, inside_stretches
from .background import Background
from .merge import REFRACTORY_S
from .refine import Refined, RefinementValues
from .satellites import find_satellite_spikes

Refinement = Callable[[BaseRecording, np.ndarray, Background, RefinementValues], Refined]


def refine_in_stretches(
    refine: Refinement,
    traces: BaseRecording,
    spikes: np.ndarray,
    stretches: Stretches,
    background: Background,
    values: RefinementValues,
) -> tuple[Refined, np.ndarray]:
    """
    Refine units by their spikes in some stretches.

    Parameters
    ----------
    refine : callable
        A refinement, such as `refine_matched`.
    traces : BaseRecording
        White traces of the stretches.
    spikes : np.ndarray
        Sorted spike vector of the whole recording.
    stretches : list of tuple | None
        See `stretches.spread_stretches`; None if the traces are those of the whole recording.
    background : Background
        Background of the traces.
    values : RefinementValues

    Returns
    -------
    units : Refined
        The refined units, with their spikes in the stretches.
    spikes : np.ndarray
        Sorted spike vector of these units in the whole recording.
    """
    if stretches is None:
        units = refine(traces, spikes, background, values)
        return units, units.spikes
    inside, _ = inside_stretches(spikes, stretches)
    # Each spike keeps the unit and the sample that it came with, which tells what has become of the unit.
    names, origins = ("unit_before", "sample_before"), (inside["unit_index"], inside["sample_index"])
    units = refine(traces, append_fields(inside, names, origins, usemask=False), background, values)
    num_before = int(spikes["unit_index"].max(initial=-1)) + 1
    labels, shifts = np.full(num_before, -1), np.zeros(num_before, dtype=int)
    before, found = np.unique(units.spikes["unit_before"], return_index=True)
    labels[before] = units.spikes["unit_index"][found]
    shifts[before] = (units.spikes["sample_index"] - units.spikes["sample_before"])[found]
    spikes = _without_doubles_of_joined(relabelled(spikes, labels, shifts), units.spikes, labels, traces)
    is_left_over = find_satellite_spikes(units.averages.templates(), spikes, traces.get_sampling_frequency())
    return units, spikes[~is_left_over]


def _without_doubles_of_joined(spikes, in_stretches, labels, traces):
    """Units of several parts that keep a refractory period in the stretches, where doubles are gone, keep it."""
    reach = round(REFRACTORY_S * traces.get_sampling_frequency())
    single = without_doubles(in_stretches, reach)["unit_index"]
    num_doubles = np.bincount(in_stretches["unit_index"]) - np.bincount(single, minlength=single.max(initial=-1) + 1)
    joined, counts = np.unique(labels[labels >= 0], return_counts=True)
    is_joined = np.isin(spikes["unit_index"], np.setdiff1d(joined[counts > 1], np.flatnonzero(num_doubles)))
    return in_order(np.concatenate([spikes[~is_joined], without_doubles(spikes[is_joined], reach)]))
