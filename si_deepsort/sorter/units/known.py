"""
Known units beside those that the sorter finds: matched with their own templates, never merged and never judged.

A unit that the sorter finds is a known one if their templates agree; then the template of the known unit becomes the
mean of both, so that it follows what has changed since the labels were made. The other units are new, if their spikes
cannot be explained by known ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from spikeinterface.core import BaseRecording

from ...spike_vectors import in_order, some_of_each
from .averages import UnitAverages, average_units
from .background import Background
from .collisions import DOUBTFUL_SHARE, LEAST_GAIN, MISFIT_FRACTION, MOST_TESTED_SPIKES, spike_gains, tested_channels
from .dropped import COLLISION, MERGED, SATELLITE, DroppedUnit
from .refine import Refined, RefinementValues, align_to_peaks, keep_units
from .satellites import find_satellite_spikes
from .templates import MAX_LAG, UnitTemplates, template_distances

# Largest squared distance between the templates of one unit, beyond the square of `merge_distance` and relative to the
# energy of the smaller template. On generated development recordings (seeds 1-3) that of one unit was at most .14, and
# that of two units at least .24.
MOST_UNLIKE = 0.2
# A known unit is absent if its mean spike is smaller than this, relative to its template: spikes of other units and
# noise, which pass for its spikes where it does not fire, have little of its waveform.
LEAST_PRESENT = 0.7

Refinement = Callable[[BaseRecording, np.ndarray, Background, RefinementValues], Refined]


@dataclass(frozen=True)
class KnownUnits:
    """
    Templates of known units in the white traces of a recording.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations; exactly 0 on channels where a unit is not visible.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes that each template was made from.
    threshold_factors : np.ndarray, shape (num_units,), float
        Multiples of the matching threshold.
    """

    values: np.ndarray
    num_spikes: np.ndarray
    threshold_factors: np.ndarray


def join_known(known: KnownUnits, found: UnitTemplates, *, merge_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Templates of known units, and of those found units that are none of them.

    Parameters
    ----------
    known : KnownUnits
    found : UnitTemplates
    merge_distance : float
        Templates that are closer, in noise standard deviations, are of one unit.

    Returns
    -------
    values : np.ndarray, shape (num_known + num_new, num_samples, num_channels), float32
        The known units first, in their order.
    threshold_factors : np.ndarray, shape (num_known + num_new,), float
    """
    values, is_new = known.values.copy(), np.ones(len(found.values), dtype=bool)
    for unit, other, lag in _pairs(known, found, merge_distance):
        is_new[other] = False
        values[unit] = _pooled(
            known.values[unit], known.num_spikes[unit], _moved(found.values[other], lag), found.num_spikes[other]
        )
    factors = np.concatenate([known.threshold_factors, np.ones(is_new.sum())])
    return np.concatenate([values, found.values[is_new]]), factors


def _pairs(known: KnownUnits, found: UnitTemplates, merge_distance) -> list[tuple[int, int, int]]:
    """Known units, the found units that they are, one to one, and the lag of their templates in samples."""
    from scipy.optimize import linear_sum_assignment

    num_known = len(known.values)
    both = UnitTemplates(
        np.concatenate([known.values, found.values]),
        found.nbefore,
        np.concatenate([known.num_spikes, found.num_spikes]),
        found.noise_energy,
    )
    excess, lags = _unlikeness(both, num_known, merge_distance)
    # All that is too unlike costs the same, so that it does not decide which of the others are paired.
    rows, columns = linear_sum_assignment(np.minimum(excess, MOST_UNLIKE))
    return [
        (int(row), int(column), int(lags[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if excess[row, column] < MOST_UNLIKE
    ]


def _unlikeness(templates: UnitTemplates, num_known: int, merge_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Excess distance of each known unit to each other one, relative to the smaller template, and lags in samples."""
    distances, lags = (values[:num_known, num_known:] for values in template_distances(templates))
    energies = np.einsum("usc,usc->u", templates.values, templates.values, dtype="float64")
    smaller = np.minimum(energies[:num_known, None], energies[None, num_known:])
    return (distances**2 - merge_distance**2) / np.maximum(smaller, 1e-9), lags


def _moved(template: np.ndarray, samples: int) -> np.ndarray:
    """A template some samples later; 0 where it was not measured."""
    moved, length = np.zeros_like(template), len(template)
    moved[max(samples, 0) : length + min(samples, 0)] = template[max(-samples, 0) : length - max(samples, 0)]
    return moved


def _pooled(own: np.ndarray, num_own: int, other: np.ndarray, num_other: int) -> np.ndarray:
    """Mean of two templates by their numbers of spikes, on the channels that the better measured one shows."""
    visible = np.any((own if num_own > num_other else other) != 0, axis=0)
    share = num_own / max(num_own + num_other, 1)
    return ((share * own + (1 - share) * other) * visible).astype("float32")


def refine_beside_known(
    refine: Refinement,
    known: KnownUnits,
    traces: BaseRecording,
    spikes: np.ndarray,
    background: Background,
    values: RefinementValues,
) -> Refined:
    """
    Refine new units among themselves, and drop those that known units explain; known units keep all their spikes.

    Parameters
    ----------
    refine : callable
        Refines the new units, such as `refine.refine_matched`.
    known : KnownUnits
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector of matched spikes, the known units first.
    background : Background
        Background of the traces.
    values : RefinementValues

    Returns
    -------
    Refined
        The known units first, in their order. One that is absent from the recording has no spikes.
    """
    num_known = len(known.values)
    is_new = spikes["unit_index"] >= num_known
    others = spikes[is_new].copy()
    others["unit_index"] -= num_known
    dropped = []
    if len(others) > 0:
        new = refine(traces, others, background, values)
        others, dropped = new.spikes.copy(), new.dropped
    others["unit_index"] += num_known
    spikes = in_order(np.concatenate([spikes[~is_new], others]))
    averages = average_units(traces, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=values.seed)
    spikes, averages = align_to_peaks(spikes, averages)
    units = Refined(spikes, _with_all(averages, num_known), dropped)
    units = _without_explained(traces, units, num_known, values)
    units = _without_satellites(traces, units, num_known, values)
    is_present = _are_present(units.averages.templates(), known)
    return Refined(units.spikes[is_present[units.spikes["unit_index"]]], units.averages, units.dropped)


def _with_all(averages: UnitAverages, num_known: int) -> UnitAverages:
    """Averages that have a row for each known unit, also for the last ones without spikes."""
    missing = max(0, num_known - len(averages.values))

    def extended(values):
        return np.concatenate([values, np.zeros((missing, *values.shape[1:]), dtype=values.dtype)])

    return UnitAverages(
        extended(averages.values),
        extended(averages.differences),
        averages.nbefore,
        extended(averages.num_spikes),
        averages.background,
    )


def _without_explained(traces: BaseRecording, units: Refined, num_known: int, values: RefinementValues) -> Refined:
    """Drop new units whose spikes all other units explain as well, from the rarest one on."""
    templates = units.averages.templates()
    num_units = len(templates.values)
    is_kept = np.ones(num_units, dtype=bool)
    tested = units.spikes[some_of_each(units.spikes["unit_index"], MOST_TESTED_SPIKES, values.seed)]
    new, seen = np.arange(num_known, num_units), tested_channels(templates, traces.get_channel_locations()[:, :2])
    for unit in new[np.argsort(templates.num_spikes[new], kind="stable")]:
        is_kept[unit] = False
        own, others = tested[tested["unit_index"] == unit], np.flatnonzero(is_kept)
        costs = dict(threshold=values.match_threshold, amplitude_variance=values.amplitude_variance)
        (gains,) = spike_gains(traces, [own], templates, unit, others, seen[unit], **costs)
        least = LEAST_GAIN + MISFIT_FRACTION * np.sum(templates.values[unit] ** 2)
        is_kept[unit] = len(gains) > 0 and np.quantile(gains, DOUBTFUL_SHARE) > least
    kept = keep_units(_with_parts(units, ~is_kept, num_known, values.merge_distance), is_kept, COLLISION)
    # The parts that were given to known units are listed already.
    return replace(kept, dropped=[unit for unit in kept.dropped if unit.num_spikes > 0])


def _with_parts(units: Refined, is_explained: np.ndarray, num_known: int, merge_distance: float) -> Refined:
    """
    Give the spikes of explained units that are parts of a known one to it: with its template they are its spikes.

    The sorter may find a known neuron in two parts, of which only one is paired with the known unit. Without this, the
    spikes of the other part would be in no unit.
    """
    if num_known == 0:
        return units
    templates = units.averages.templates()
    excess, lags = _unlikeness(templates, num_known, merge_distance)
    owner, parts = excess.argmin(axis=0), np.flatnonzero(excess.min(axis=0) < MOST_UNLIKE) + num_known
    spikes, dropped = units.spikes.copy(), list(units.dropped)
    for part in parts[is_explained[parts]]:
        is_of_part = units.spikes["unit_index"] == part
        spikes["sample_index"][is_of_part] -= lags[owner[part - num_known], part - num_known]
        spikes["unit_index"][is_of_part] = owner[part - num_known]
        dropped.append(DroppedUnit(int(is_of_part.sum()), units.averages.values[part].copy(), MERGED))
    return Refined(in_order(spikes), units.averages, dropped)


def _without_satellites(traces: BaseRecording, units: Refined, num_known: int, values: RefinementValues) -> Refined:
    """Drop spikes of new units that larger units leave over, and new units that then have few spikes."""
    templates, owners = units.averages.templates(), units.spikes["unit_index"]
    is_left_over = find_satellite_spikes(templates, units.spikes, traces.get_sampling_frequency())
    is_left_over &= owners >= num_known
    counts = np.bincount(owners[~is_left_over], minlength=len(templates.values))
    is_kept = (counts >= values.fewest_spikes) | (np.arange(len(counts)) < num_known)
    return keep_units(Refined(units.spikes[~is_left_over], units.averages, units.dropped), is_kept, SATELLITE)


def _are_present(templates: UnitTemplates, known: KnownUnits) -> np.ndarray:
    """Which units fire: all new ones, and known ones whose spikes have their waveform; (num_units,) bool."""
    is_present = np.ones(len(templates.values), dtype=bool)
    for unit, expected in enumerate(known.values):
        # The average is aligned to its peak, which may lie some samples beside that of the known template.
        lags = range(-MAX_LAG, MAX_LAG + 1)
        size = max(float(np.sum(_moved(templates.values[unit], lag) * expected)) for lag in lags)
        is_present[unit] = size > LEAST_PRESENT * float(np.sum(expected**2))
    return is_present
