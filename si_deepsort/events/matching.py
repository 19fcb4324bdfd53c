"""Compare found events with true ones: one-to-one matching by onset, and overlap of the marked time."""

import numpy as np

# Candidates are looked for this much beyond the tolerance, in s, so that rounding loses none.
ROUNDING_S = 1e-9


def match_events(true_onset_s: np.ndarray, found_onset_s: np.ndarray, tolerance_s: float = 0.003) -> np.ndarray:
    """
    The pairs of true and found events, each used once, nearest first.

    Parameters
    ----------
    true_onset_s, found_onset_s : np.ndarray, shape (num_events,), float
    tolerance_s : float, default: 0.003
        Largest difference of onsets.

    Returns
    -------
    np.ndarray, shape (num_pairs, 2), int
        Index of the true and of the found event.
    """
    true_onset_s, found_onset_s = np.asarray(true_onset_s, float), np.asarray(found_onset_s, float)
    order = np.argsort(found_onset_s, kind="stable")
    first = np.searchsorted(found_onset_s[order], true_onset_s - tolerance_s - ROUNDING_S, side="left")
    stop = np.searchsorted(found_onset_s[order], true_onset_s + tolerance_s + ROUNDING_S, side="right")
    rows = np.repeat(np.arange(len(true_onset_s)), stop - first)
    steps = np.arange(len(rows)) - np.repeat(np.cumsum(stop - first) - (stop - first), stop - first)
    columns = order[np.repeat(first, stop - first) + steps]
    differences = np.abs(true_onset_s[rows] - found_onset_s[columns])
    is_near = differences <= tolerance_s
    rows, columns, differences = rows[is_near], columns[is_near], differences[is_near]
    pairs, used_true, used_found = [], set(), set()
    for index in np.argsort(differences, kind="stable"):
        row, column = int(rows[index]), int(columns[index])
        if row not in used_true and column not in used_found:
            pairs.append((row, column))
            used_true.add(row)
            used_found.add(column)
    return np.array(sorted(pairs), dtype=int).reshape(-1, 2)


def detection_scores(true_onset_s, found_onset_s, tolerance_s: float = 0.003) -> dict[str, float]:
    """Precision, recall and F1 of found onsets, and the counts behind them."""
    num_pairs = len(match_events(true_onset_s, found_onset_s, tolerance_s))
    num_true, num_found = len(true_onset_s), len(found_onset_s)
    return dict(
        precision=num_pairs / num_found if num_found else float("nan"),
        recall=num_pairs / num_true if num_true else float("nan"),
        f1=2 * num_pairs / (num_true + num_found) if num_true + num_found else float("nan"),
        num_true=num_true,
        num_found=num_found,
        num_matched=num_pairs,
    )


def marked_frames(onset_s, end_s, num_frames: int, sampling_frequency: float) -> np.ndarray:
    """True at each frame that lies inside an event, shape (num_frames,), bool."""
    is_marked = np.zeros(num_frames, dtype=bool)
    for onset, end in zip(onset_s, end_s, strict=True):
        is_marked[max(0, round(onset * sampling_frequency)) : max(0, round(end * sampling_frequency))] = True
    return is_marked


def intersection_over_union(marked: np.ndarray, truth: np.ndarray) -> float:
    """Frames marked in both divided by frames marked in either; nan if there are none."""
    union = int((marked | truth).sum())
    return int((marked & truth).sum()) / union if union else float("nan")
