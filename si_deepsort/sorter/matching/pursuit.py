"""
Greedy template matching in white traces (matching pursuit), after which each spike is fitted again.

Every template is correlated with the traces once. Then only these correlations are updated, by the precomputed overlap
of each pair of templates at sub-sample delays, so a spike costs the same however long the recording is. The spike with
the highest score, over all units and times, is subtracted first. When no score exceeds the threshold any more, each
spike is taken out again and put back where it now fits best: this corrects overlapping spikes of which one was fitted
with part of the energy of the other. At last one or two spikes at a time are replaced by the pair of units that
explains the traces best without them, if it explains more, see `joint_fits`.

In white noise of variance 1 the score of a spike is twice the log likelihood ratio of "spike" against "no spike", with
an amplitude that is normally distributed around 1. The threshold of a unit that fires at rate r is therefore
2 log(sampling_frequency / r), the prior odds. Where two units explain the same samples, the one whose score exceeds its
own prior odds by more is the more probable one: a rare unit does not take the spikes of a similar one that fires often.

If templates hold nothing above a quarter of the sampling rate, correlations at every second frame suffice: the sine
through three of these places gives the values between them.
"""

import numpy as np

from .correlate import CorrelatesTemplates
from .joint_fits import fit_jointly
from .kernels import (
    INTERPOLATION_REACH,
    JITTERS,
    LEAST_A_FRAME_AWAY,
    SECOND_THOUGHTS_FRAMES,
    find_spikes,
    reconsider_spikes,
)
from .overlaps import TemplateOverlaps
from .pair_fits import MARGIN_PLACES, TAPS

# Places to either side of a spike at which pairs of spikes are looked for: farther apart, each has a peak of its own.
JOINT_PLACES = 4
# Spikes near a spike that are fitted with it, one after the other; more are hardly ever so near.
MOST_NEIGHBOURS = 4
# How often all spikes are fitted jointly: of three that overlap, two are put right first.
JOINT_TURNS = 2
# Correlation of a forbidden unit, in units of squared noise standard deviations: less than any other.
FORBIDDEN = -1e9


def pursue_spikes(
    traces: np.ndarray,
    filters: CorrelatesTemplates,
    overlaps: TemplateOverlaps,
    *,
    thresholds: np.ndarray,
    amplitude_variance: float,
    refractory_frames: int,
    prior_costs: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Find the spikes in a chunk of white traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32 | float16
    filters : CorrelatesTemplates
        Filters of the templates; those on a device take float32 alone.
    overlaps : TemplateOverlaps
        Overlaps of the same templates, with the same stride.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of a spike of each unit; inf for units that may not fire.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    refractory_frames : int
        A unit does not fire twice within this many frames.
    prior_costs : np.ndarray | None, shape (num_units,), float, default: None
        What is taken from the scores of each unit before they are compared with those of others, see
        `prior_odds.prior_costs_of`; None takes nothing.

    Returns
    -------
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template, exact to one frame whatever the stride.
    units : np.ndarray, shape (num_spikes,), int
    amplitudes : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    scores : np.ndarray, shape (num_spikes,), float32
    """
    if len(traces) < filters.num_samples or len(filters.norms) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0, "float32"), np.zeros(0, "float32")
    return pursue_correlations(
        filters.correlate(traces if traces.dtype == np.float16 else traces.astype("float32", copy=False)),
        overlaps,
        thresholds=thresholds,
        amplitude_variance=amplitude_variance,
        refractory_frames=refractory_frames,
        prior_costs=prior_costs,
        joint_turns=JOINT_TURNS,
    )


def pursue_correlations(
    correlations: np.ndarray,
    overlaps: TemplateOverlaps,
    *,
    thresholds: np.ndarray,
    amplitude_variance: float,
    refractory_frames: int,
    prior_costs: np.ndarray | None = None,
    joint_turns: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    As `pursue_spikes`, from the inner products of templates and traces.

    Parameters
    ----------
    correlations : np.ndarray, shape (num_units, num_places), float32
        Overwritten by what remains after subtracting all spikes.
    joint_turns : int, default: 0
        How often spikes are fitted jointly at last: `JOINT_TURNS` for the traces of a recording. Where others are to
        explain what may be a unit of its own, it stays 0: three spikes that are fitted jointly explain too much.
    """
    # A unit with an infinite threshold is forbidden, also where spikes are put elsewhere later.
    is_forbidden = np.isinf(thresholds)
    correlations[is_forbidden] = FORBIDDEN
    costs = np.where(is_forbidden, np.inf, 0.0 if prior_costs is None else prior_costs).astype("float32")
    places, jitters, units, amplitudes, scores = _find_spikes(
        correlations,
        overlaps,
        thresholds.astype("float32"),
        costs,
        np.float32(1.0 / amplitude_variance),
        max(1, round(refractory_frames / overlaps.stride)),
        joint_turns,
    )
    frames = places * overlaps.stride + np.rint((jitters / JITTERS - 0.5) * overlaps.stride).astype(int)
    order = np.lexsort((units, frames))
    return frames[order], units[order], amplitudes[order], scores[order]


def _find_spikes(correlations, overlaps: TemplateOverlaps, thresholds, costs, precision, refractory, joint_turns):
    """Places, jitters, units, amplitudes and scores of spikes; the arrays that compiled code fills are made here."""
    num_units, num_places = correlations.shape
    # Smallest correlation at the place nearest to a spike, relative to its height at the spike.
    least = np.float32(LEAST_A_FRAME_AWAY ** (overlaps.stride // 2))
    floors = (np.sqrt((thresholds + precision) * (overlaps.norms + precision)) - precision) * least
    limits = np.stack([thresholds, costs, floors])
    blocked, settled = np.zeros(correlations.shape, dtype=bool), np.zeros(num_units, dtype="int64")
    room = np.empty((3, 2 * INTERPOLATION_REACH + 1), dtype="float32")
    most = num_units * (num_places // (refractory + 1) + 1)
    spikes = np.empty(most, dtype="int64"), np.empty((2, most), dtype="int64"), np.empty(most, dtype="float32")
    count = find_spikes(
        correlations, blocked, _pairs(overlaps), limits, precision, refractory, settled, room[0], *spikes
    )
    places, numbers, amplitudes = (np.ascontiguousarray(found[..., :count]) for found in spikes)
    places, numbers, amplitudes = _reconsidered(
        correlations, blocked, overlaps, costs, precision, least, room, places, numbers, amplitudes
    )
    is_open, own_limits = np.ones(len(places), dtype=bool), (thresholds, precision, refractory)
    lowest = _lowest_overlaps(overlaps, precision) if joint_turns > 0 else None
    for _ in range(joint_turns):
        *spikes, is_open = _fitted_jointly(
            correlations, blocked, overlaps, lowest, *own_limits, is_open, places, numbers, amplitudes
        )
        places, numbers, amplitudes = _reconsidered(
            correlations, blocked, overlaps, costs, precision, least, room, *spikes
        )
    units, jitters = numbers
    # The residual at the place, and the height of the spike itself, wherever between places it is.
    tops = correlations[units, places] + amplitudes * overlaps.norms[units] + precision
    scores = np.where(tops > 0, tops * tops / (overlaps.norms[units] + precision) - precision, np.float32(-1e9))
    keep = scores > thresholds[units]
    return places[keep], jitters[keep], units[keep], amplitudes[keep], scores[keep]


def _reconsidered(correlations, blocked, overlaps: TemplateOverlaps, costs, precision, least, room, *found):
    """Places, units with jitters, and amplitudes of spikes, each put where it fits best once the others are known."""
    # Overlaps reach no farther than a template.
    reach = min(max(1, SECOND_THOUGHTS_FRAMES // overlaps.stride), overlaps.num_lags - 2)
    pairs = (*_pairs(overlaps), overlaps.highest)
    order = np.argsort(found[0], kind="stable")
    reconsider_spikes(correlations, blocked, pairs, costs, precision, reach, least, order, room, *found)
    return found


def _fitted_jointly(
    correlations, blocked, overlaps, lowest, thresholds, precision, refractory, is_open, places, numbers, amplitudes
):
    """
    Places, units with jitters, and amplitudes of spikes of which pairs replace those that explain less.

    Only spikes that are open are looked at. The last result says which ones are near a new pair.
    """
    # Two spikes are up to twice as far apart, and overlaps of templates of a few samples end before that.
    reach = min(JOINT_PLACES, (overlaps.num_lags + INTERPOLATION_REACH - 1) // 2)
    num_units, num_spikes, width = len(thresholds), len(places), 2 * (reach + MARGIN_PLACES) + 1
    more = np.zeros(num_spikes, dtype="int64")
    order = np.argsort(places, kind="stable")
    places, numbers = np.append(places[order], more), np.append(numbers[:, order], [more, more], axis=1)
    amplitudes, is_new = np.append(amplitudes[order], more.astype("float32")), np.zeros(2 * num_spikes, dtype=bool)
    room = (
        np.empty((num_units, width), dtype="float32"),
        np.empty((num_units, width), dtype=bool),
        np.empty(num_units, dtype="float32"),
        np.empty(TAPS, dtype="float32"),
        *(np.empty(shape, dtype="int64") for shape in (MOST_NEIGHBOURS, 4, 2, (2, 2))),
        np.empty(2, dtype="float32"),
    )
    pairs, limits = (*_pairs(overlaps), lowest[0]), (thresholds, precision, lowest[1])
    spikes = places, numbers, amplitudes
    reaches = reach, refractory, num_spikes, is_open[order]
    count = fit_jointly(correlations, blocked, pairs, limits, *reaches, *spikes, is_new, room)
    places, numbers, amplitudes = (np.ascontiguousarray(found[..., :count]) for found in spikes)
    changed = np.sort(places[is_new[:count]])
    near = np.searchsorted(changed, places + 2 * JOINT_PLACES, side="right")
    is_near = near > np.searchsorted(changed, places - 2 * JOINT_PLACES)
    return places, numbers, amplitudes, is_near


def _lowest_overlaps(overlaps: TemplateOverlaps, precision):
    """Lowest value of each overlap at the lags of pairs, at most 0, and of each unit, relative to the norms."""
    middle, reach = INTERPOLATION_REACH + overlaps.num_lags - 1, min(2 * JOINT_PLACES, overlaps.num_lags - 1)
    near = overlaps.values[:, middle - reach : middle + reach + 1]
    lowest = np.minimum(near.min(axis=1), np.float32(0))
    roots = np.sqrt(overlaps.norms + precision)
    one = np.repeat(np.arange(len(roots)), np.diff(overlaps.starts))
    relative, lowest_of = lowest / (roots[one] * roots[overlaps.units]), np.zeros(len(roots), dtype="float32")
    np.minimum.at(lowest_of, one, relative)
    np.minimum.at(lowest_of, overlaps.units, relative)
    return lowest, lowest_of


def _pairs(overlaps: TemplateOverlaps):
    """What compiled code takes of overlaps."""
    return overlaps.starts, overlaps.units, overlaps.values, overlaps.num_lags, overlaps.norms, overlaps.delays
