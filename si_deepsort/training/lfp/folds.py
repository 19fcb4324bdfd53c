"""Split time or sessions into training and test parts that do not touch each other."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold

Span = tuple[int, int, int]  # session, first bin, one past the last bin


@dataclass(frozen=True)
class Fold:
    """Stretches of bins to train on and to test on; between the two lies at least the gap that was asked for."""

    training: tuple[Span, ...]
    test: tuple[Span, ...]
    name: str = ""


def block_folds(spans: list[Span], num_folds: int, gap: int) -> list[Fold]:
    """
    Each stretch of time is cut into contiguous blocks; fold k tests on the k-th block of each.

    Where there are many stretches (trials), whole ones are dealt to the folds instead.

    Parameters
    ----------
    spans : list of (session, first, last)
        Bins that may be used.
    num_folds : int
    gap : int
        Bins on each side of a test block that are not used at all: the reach of features and network together.

    Returns
    -------
    list of Fold

    Raises
    ------
    ValueError
        If so little time remains between the gaps that there is nothing to train on.
    """
    if len(spans) >= 4 * num_folds:
        return [
            Fold(tuple(s for i, s in enumerate(spans) if i % num_folds != number), tuple(spans[number::num_folds]))
            for number in range(num_folds)
        ]
    folds = []
    for number in range(num_folds):
        training, test = [], []
        for session, first, last in spans:
            edges = np.linspace(first, last, num_folds + 1).astype(int)
            start, end = int(edges[number]), int(edges[number + 1])
            test.append((session, start, end))
            before, after = (session, first, start - gap), (session, end + gap, last)
            training += [span for span in (before, after) if span[2] - span[1] > 0]
        folds.append(Fold(tuple(training), tuple(test), f"block {number + 1} of {num_folds}"))
    used = sum(last - first for _, first, last in spans)
    trained = min((sum(last - first for _, first, last in fold.training) for fold in folds), default=0)
    if used == 0 or trained < used / 4:
        raise ValueError(
            f"{used} bins are too few for {num_folds} blocks with a gap of {gap} bins on each side: only "
            f"{trained} bins would be left to train on. Use a longer recording, a higher lowest band, or fewer blocks."
        )
    return folds


def group_folds(
    groups: list[str],
    num_bins: list[int],
    *,
    strata: list[str] | None = None,
    num_folds: int | None = None,
    seed: int = 0,
) -> list[Fold]:
    """
    Whole groups (participants, sessions) are held out together.

    Parameters
    ----------
    groups : list of str
        Group of each session.
    num_bins : list of int
        Length of each session.
    strata : list of str | None, default: None
        A label of each session (region, hemisphere) that should be spread evenly over the folds.
    num_folds : int | None, default: None
        None holds out one group at a time.
    seed : int, default: 0
        Random seed of the order in which groups are dealt.

    Returns
    -------
    list of Fold

    Raises
    ------
    ValueError
        If there are fewer than two groups, or fewer groups than folds.
    """
    names = sorted(set(groups))
    num_folds = num_folds or len(names)
    if len(names) < 2 or num_folds > len(names) or num_folds < 2:
        raise ValueError(
            f"Found {len(names)} group(s) {names} for {num_folds} folds; holding out whole groups needs at least two "
            "groups and no more folds than groups. With one participant use by='block'."
        )
    if num_folds == len(names):
        splitter = LeaveOneGroupOut()
    else:
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    spans = [(session, 0, length) for session, length in enumerate(num_bins)]
    folds = []
    for training, test in splitter.split(spans, strata or [""] * len(groups), groups):
        held_out = sorted({groups[session] for session in test})
        folds.append(Fold(tuple(spans[i] for i in training), tuple(spans[i] for i in test), ", ".join(held_out)))
    return folds
