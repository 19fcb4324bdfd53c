"""Spikes that coincide: pairs within a reach, the lag between two units, and which neurons fire at the same time."""

import numpy as np
import scipy.ndimage

# A found unit has a main true unit if this share of its spikes coincides with it beyond chance.
MAIN_SHARE = 0.1


def coincidences(frames: np.ndarray, other_frames: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """
    All pairs of spikes within a reach.

    Parameters
    ----------
    frames, other_frames : np.ndarray, shape (num_spikes,), (num_others,), int64
        Ascending.
    reach : int
        In frames.

    Returns
    -------
    spike, other : np.ndarray, shape (num_pairs,), int64
        Indices of both.
    """
    first = np.searchsorted(other_frames, frames - reach, side="left")
    count = np.searchsorted(other_frames, frames + reach, side="right") - first
    spike = np.repeat(np.arange(len(frames)), count)
    other = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return spike, other


def one_to_one(
    spikes: np.ndarray, others: np.ndarray, distances: np.ndarray, *, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Pairs of spikes of which each other spike is in one at most, and each spike in one at most per owner of the others.

    Parameters
    ----------
    spikes, others : np.ndarray, shape (num_pairs,), int64
        Indices of the spikes of each pair.
    distances : np.ndarray, shape (num_pairs,), int64
        The nearest pairs are taken first.
    owners : np.ndarray, shape (num_others,), int64
        Unit of each other spike.

    Returns
    -------
    spikes, others : np.ndarray, shape (num_kept,), int64
    """
    order = np.argsort(distances, kind="stable")
    spikes, others = spikes[order], others[order]
    keys = spikes * (int(owners.max(initial=0)) + 1) + owners[others]
    kept = np.zeros(len(spikes), dtype=bool)
    left = np.arange(len(spikes))
    while len(left):
        is_first = np.zeros(len(left), dtype=bool)
        is_first[np.unique(keys[left], return_index=True)[1]] = True
        is_first_other = np.zeros(len(left), dtype=bool)
        is_first_other[np.unique(others[left], return_index=True)[1]] = True
        chosen = left[is_first & is_first_other]
        kept[chosen] = True
        left = left[~np.isin(keys[left], keys[chosen]) & ~np.isin(others[left], others[chosen])]
    return spikes[kept], others[kept]


def align_units(
    true_frames: np.ndarray,
    true_units: np.ndarray,
    found_frames: np.ndarray,
    found_units: np.ndarray,
    *,
    num_true: int,
    reach: int,
    tolerance: int,
) -> tuple[np.ndarray, np.ndarray]:
    """
    The true unit that each found unit coincides with most beyond chance, and the lag at which it does.

    Parameters
    ----------
    true_frames, true_units : np.ndarray, shape (num_true_spikes,), int64
    found_frames, found_units : np.ndarray, shape (num_found_spikes,), int64
        Frames are ascending.
    num_true : int
        Number of true units.
    reach, tolerance : int
        Largest lag, and half width of the window of coincidence around it, in frames.

    Returns
    -------
    main : np.ndarray, shape (num_found_units,), int64
        -1 where less than `MAIN_SHARE` of the spikes coincide.
    lags : np.ndarray, shape (num_found_units,), int64
        In frames: found minus true; 0 where there is no main unit.
    """
    num_found, num_lags = int(found_units.max(initial=-1)) + 1, 2 * reach + 1
    if num_found == 0 or num_true == 0:
        return np.full(num_found, -1), np.zeros(num_found, dtype=int)
    true_pair, found_pair = coincidences(true_frames, found_frames, reach)
    keys = (found_units[found_pair] * num_true + true_units[true_pair]) * num_lags
    keys += found_frames[found_pair] - true_frames[true_pair] + reach
    lag_counts = np.bincount(keys, minlength=num_found * num_true * num_lags).reshape(-1, num_lags).astype(float)
    # A box twice is a triangle, which has one maximum where a box has a plateau.
    half = np.ones(max(tolerance // 2, 1) * 2 + 1)
    triangle = np.convolve(half, half) / len(half)
    smooth = scipy.ndimage.convolve1d(lag_counts, triangle, axis=1, mode="constant")
    counts, true_counts = np.bincount(found_units, minlength=num_found), np.bincount(true_units, minlength=num_true)
    num_frames = max(int(max(true_frames[-1], found_frames[-1])), 1)
    chance = np.outer(counts, true_counts) * triangle.sum() / num_frames
    excess = smooth.reshape(num_found, num_true, num_lags) - chance[:, :, None]
    at = excess.reshape(num_found, -1).argmax(axis=1)
    is_clear = excess.reshape(num_found, -1).max(axis=1) > MAIN_SHARE * counts
    main, lags = np.divmod(at, num_lags)
    return np.where(is_clear, main, -1), np.where(is_clear, lags - reach, 0)


def second_neuron_shares(
    true_frames: np.ndarray,
    true_units: np.ndarray,
    found_frames: np.ndarray,
    found_units: np.ndarray,
    main: np.ndarray,
    *,
    is_near: np.ndarray,
    reach: int,
) -> np.ndarray:
    """
    Share of the spikes of each found unit at which one neuron beside its main true unit fires.

    Parameters
    ----------
    true_frames, true_units, found_frames, found_units : np.ndarray
        As for `step_losses`, found frames aligned.
    main : np.ndarray, shape (num_found_units,), int64
    is_near : np.ndarray, shape (num_true_units, num_true_units), bool
    reach : int
        In frames.

    Returns
    -------
    np.ndarray, shape (num_found_units,), float64
        The largest share that one near neuron has.
    """
    num_found, num_true = len(main), len(is_near)
    found_pair, true_pair = coincidences(found_frames, true_frames, reach)
    # A neuron that fires twice beside a spike counts once.
    found_pair, others = np.divmod(np.unique(found_pair * num_true + true_units[true_pair]), max(num_true, 1))
    mains = main[found_units[found_pair]]
    is_second = (mains >= 0) & (others != mains) & is_near[mains, others]
    counts = np.bincount(
        found_units[found_pair[is_second]] * num_true + others[is_second], minlength=num_found * num_true
    )
    total = np.bincount(found_units, minlength=num_found)
    return counts.reshape(num_found, num_true).max(axis=1, initial=0) / np.maximum(total, 1)
