"""
Loss budget of one step of a sorter: what became of each true spike, and what each found unit is made of.

Found units are first aligned: the frame of a spike within its template is arbitrary in the middle of a sorting, so each
found unit is shifted by the lag at which it coincides best with one true unit, its main true unit.
"""

from dataclasses import dataclass

import numpy as np

from .coincidence import align_units, coincidences, one_to_one, second_neuron_shares

# Lags of a found unit are looked for within this many ms: templates are centred on peaks, or shifted by a filter.
MOST_LAG_MS = 1.5
# After alignment spikes are the same within this many ms: that of SpikeInterface's comparison.
SAME_SPIKE_MS = 0.4
# Two neurons whose spikes are this close collide: the overlap of their large phases.
COLLISION_MS = 1.0
# A found unit is a collision if one second neuron fires at this share of its spikes, and a merge if the spikes of two
# true units, beyond those that both share, make up this share each.
COLLISION_SHARE, MERGE_SHARE = 0.5, 0.2
# More of the spikes of a fragment are of one true unit.
FRAGMENT_SHARE = 0.5
# A match has this accuracy at least, as in SpikeInterface's comparison.
MATCH_ACCURACY = 0.5

KINDS = ("match", "collision", "merge", "split", "background")
FATES = ("found", "split", "collision", "absorbed", "missed")


@dataclass
class StepLosses:
    """
    What a step made of the true spikes.

    Attributes
    ----------
    fate : np.ndarray, shape (num_true_spikes,), int64
        Index into `FATES`: found in the best unit of its neuron; found in another unit of its neuron; only in a unit
        of collisions; only in a unit of another neuron; in no unit.
    kind : np.ndarray, shape (num_found_units,), int64
        Index into `KINDS`.
    main : np.ndarray, shape (num_found_units,), int64
        True unit that each found unit coincides with best; -1 for none.
    accuracy : np.ndarray, shape (num_true_units,), float64
        Accuracy of the best found unit.
    absorber : np.ndarray, shape (num_true_units,), int64
        Found unit that holds most absorbed spikes of each true unit; -1 for none.
    num_absorbed : np.ndarray, shape (num_true_units,), int64
        Absorbed spikes of each true unit.
    num_fragments : int
        Found units that are no match, and more than half of whose spikes are of one true unit: collisions among them.
    num_doubled, num_unexplained : int
        Found spikes that match a true spike which another spike of the same unit matches already; found spikes that
        match no spike of the main true unit.
    """

    fate: np.ndarray
    kind: np.ndarray
    main: np.ndarray
    accuracy: np.ndarray
    absorber: np.ndarray
    num_absorbed: np.ndarray
    num_fragments: int
    num_doubled: int
    num_unexplained: int

    def fates(self) -> dict[str, int]:
        """Number of true spikes by fate."""
        return dict(zip(FATES, np.bincount(self.fate, minlength=len(FATES)).tolist(), strict=True))

    def kinds(self) -> dict[str, int]:
        """Number of found units by kind."""
        return dict(zip(KINDS, np.bincount(self.kind, minlength=len(KINDS)).tolist(), strict=True))


def step_losses(
    true_frames: np.ndarray,
    true_units: np.ndarray,
    found_frames: np.ndarray,
    found_units: np.ndarray,
    *,
    is_near: np.ndarray,
    sampling_frequency: float,
) -> StepLosses:
    """
    What became of each true spike, and what each found unit is.

    Parameters
    ----------
    true_frames, true_units : np.ndarray, shape (num_true_spikes,), int64
        Ascending frames, and indices of units 0, 1, ...
    found_frames, found_units : np.ndarray, shape (num_found_spikes,), int64
        The same of the step.
    is_near : np.ndarray, shape (num_true_units, num_true_units), bool
        Which true units are seen on the same channels: only these can collide or absorb each other.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    StepLosses
    """
    to_frames = sampling_frequency / 1000
    tolerance = round(SAME_SPIKE_MS * to_frames)
    num_true = len(is_near)
    truth = (true_frames, true_units)
    reach = round(MOST_LAG_MS * to_frames)
    main, lags = align_units(*truth, found_frames, found_units, num_true=num_true, reach=reach, tolerance=tolerance)
    aligned = found_frames - lags[found_units]
    order = np.argsort(aligned, kind="stable")
    found = (aligned[order], found_units[order])
    second_share = second_neuron_shares(*truth, *found, main, is_near=is_near, reach=round(COLLISION_MS * to_frames))
    return _count(*truth, *found, main, second_share, is_near, tolerance)


def _count(true_frames, true_units, found_frames, found_units, main, second_share, is_near, tolerance):
    """The losses of found units that are aligned to their main true units."""
    num_true, num_found = len(is_near), len(main)
    own, foreign, num_doubled = _explanations(
        true_frames, true_units, found_frames, found_units, main, is_near, tolerance
    )
    counts, matched = (np.bincount(units, minlength=num_found) for units in (found_units, found_units[own[1]]))
    foreign_counts = np.zeros((num_found, num_true), dtype=int)
    np.add.at(foreign_counts, (found_units[foreign[1]], true_units[foreign[0]]), 1)
    true_counts = np.bincount(true_units, minlength=num_true)
    accuracies = matched / np.maximum(counts + np.where(main >= 0, true_counts[main], 0) - matched, 1)
    accuracy, best = _best_units(main, accuracies, num_true)
    is_best = (main >= 0) & (best[main] == np.arange(num_found))
    kind = unit_kinds(
        matched / np.maximum(counts, 1),
        foreign_counts.max(axis=1, initial=0) / np.maximum(counts, 1),
        second_share,
        is_match=is_best & (accuracies >= MATCH_ACCURACY),
    )
    fate = _fates(len(true_frames), own, foreign, found_units, is_best, kind)
    foreign_counts[kind == KINDS.index("collision")] = 0
    absorber = np.full(num_true, -1)
    if num_found:
        absorber = np.where(foreign_counts.max(axis=0) > 0, foreign_counts.argmax(axis=0), -1)
    return StepLosses(
        fate=fate,
        kind=kind,
        main=main,
        accuracy=accuracy,
        absorber=absorber,
        num_absorbed=np.bincount(true_units[fate == FATES.index("absorbed")], minlength=num_true),
        num_fragments=int(((kind != KINDS.index("match")) & (matched > FRAGMENT_SHARE * counts)).sum()),
        num_doubled=num_doubled,
        num_unexplained=len(found_frames) - len(own[1]) - num_doubled,
    )


def _explanations(true_frames, true_units, found_frames, found_units, main, is_near, tolerance):
    """Pairs of true spikes with found ones of their own unit; with ones of other units; how many match twice."""
    true_pair, found_pair = coincidences(true_frames, found_frames, tolerance)
    distances = np.abs(true_frames[true_pair] - found_frames[found_pair])
    mains, units = main[found_units[found_pair]], true_units[true_pair]
    is_own = mains == units
    # One true spike may be in several units, but in each of them once.
    own = one_to_one(true_pair[is_own], found_pair[is_own], distances[is_own], owners=found_units)
    is_explained = np.zeros(len(found_units), dtype=bool)
    is_explained[own[1]] = True
    is_left = ~is_explained[found_pair]
    num_doubled = len(np.unique(found_pair[is_own & is_left]))
    # Found spikes that the main true unit does not explain, but a near neuron does.
    is_foreign = ~is_own & is_left & (mains >= 0) & is_near[mains, units]
    foreign = one_to_one(true_pair[is_foreign], found_pair[is_foreign], distances[is_foreign], owners=found_units)
    return own, foreign, num_doubled


def _fates(num_true_spikes, own, foreign, found_units, is_best, kind):
    """Index into `FATES` of each true spike: the best of what its pairs say."""
    found, split, collision, absorbed, missed = range(len(FATES))
    is_collision = kind == KINDS.index("collision")
    own_fate = np.where(is_collision, collision, np.where(is_best, found, split))
    foreign_fate = np.where(is_collision, collision, absorbed)
    fate = np.full(num_true_spikes, missed)
    np.minimum.at(fate, own[0], own_fate[found_units[own[1]]])
    np.minimum.at(fate, foreign[0], foreign_fate[found_units[foreign[1]]])
    return fate


def unit_kinds(
    main_share: np.ndarray, foreign_share: np.ndarray, second_share: np.ndarray, *, is_match: np.ndarray
) -> np.ndarray:
    """
    What each found unit is.

    Parameters
    ----------
    main_share, foreign_share, second_share : np.ndarray, shape (num_found_units,), float64
        Shares of the spikes that the main true unit explains; that one other neuron explains where the main one does
        not; at which a second neuron fires too.
    is_match : np.ndarray, shape (num_found_units,), bool

    Returns
    -------
    np.ndarray, shape (num_found_units,), int64
        Index into `KINDS`.
    """
    is_merge = np.minimum(main_share, foreign_share) >= MERGE_SHARE
    cases = [is_match, second_share >= COLLISION_SHARE, is_merge, main_share > FRAGMENT_SHARE]
    return np.select(cases, np.arange(len(cases)), default=len(cases))


def _best_units(main, accuracies, num_true):
    """Largest accuracy for each true unit and the found unit that has it, -1 for none."""
    accuracy, best = np.zeros(num_true), np.full(num_true, -1)
    for unit in np.argsort(accuracies, kind="stable"):
        if main[unit] >= 0:
            accuracy[main[unit]], best[main[unit]] = accuracies[unit], unit
    return accuracy, best
