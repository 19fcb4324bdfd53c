"""How well a network finds the marked events at the end of each trace, which it did not learn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas

from ...events.confidence import Candidates
from ...events.matching import detection_scores
from ...events.prepare import PreparedTrace
from ...events.probability import WINDOW_FRAMES
from .convention import learn_threshold

# Last part of each trace, which stops the training and is scored.
HELD_OUT_PART = 0.15


@dataclass(frozen=True)
class MarkedTrace:
    """
    One segment with its marks.

    Attributes
    ----------
    trace : PreparedTrace
    noise_level : float
        Noise level of the recording, in its unit.
    marks, fitted : pandas.DataFrame
        As marked, and as the fit measures them.
    inputs : np.ndarray, shape (num_frames,), float32
        What the network sees.
    targets : np.ndarray, shape (2, num_frames), float32
        What it should say; -1 where that is not known.
    """

    trace: PreparedTrace
    noise_level: float
    marks: pandas.DataFrame
    fitted: pandas.DataFrame
    inputs: np.ndarray
    targets: np.ndarray


def first_held_out(num_frames: int) -> int:
    """Frame from which a trace is held out: whole windows at its end; `num_frames` if it is too short."""
    return num_frames - int(HELD_OUT_PART * num_frames) // WINDOW_FRAMES * WINDOW_FRAMES


def num_held_out_events(marked: Sequence[MarkedTrace]) -> int:
    """Number of marked events in the held-out part of all traces."""
    return sum(len(_held_out(trace, trace.fitted["onset_s"].to_numpy())) for trace in marked)


def threshold_of_learnt_part(found: Sequence[Candidates], marked: Sequence[MarkedTrace], *, default: float) -> float:
    """Smallest confidence with which what a network found agrees best with the marks outside the held-out part."""
    borders = [first_held_out(len(trace.inputs)) / trace.trace.rate for trace in marked]
    return learn_threshold(
        [_before(candidates, border) for candidates, border in zip(found, borders, strict=True)],
        [trace.fitted[trace.fitted["onset_s"] < border] for trace, border in zip(marked, borders, strict=True)],
        default=default,
    )


def held_out_f1(found: Sequence[Candidates], marked: Sequence[MarkedTrace], *, threshold: float) -> float:
    """
    F1 of the onsets that a network finds in the held-out part.

    Parameters
    ----------
    found : sequence of (onset_s, end_s, confidence)
        What the network finds in each trace.
    marked : sequence of MarkedTrace
    threshold : float
        Smallest confidence of an event.

    Returns
    -------
    float
        NaN if nothing is marked and nothing found.
    """
    counts = np.zeros(3)
    for (onset_s, _, confidence), trace in zip(found, marked, strict=True):
        true = _held_out(trace, trace.fitted["onset_s"].to_numpy())
        score = detection_scores(true, _held_out(trace, onset_s[confidence >= threshold]))
        counts += score["num_matched"], score["num_true"], score["num_found"]
    return float(2 * counts[0] / (counts[1] + counts[2])) if counts[1:].any() else float("nan")


def _before(candidates: Candidates, border_s: float) -> Candidates:
    onset_s, end_s, confidence = candidates
    is_before = onset_s < border_s
    return onset_s[is_before], end_s[is_before], confidence[is_before]


def _held_out(marked: MarkedTrace, onset_s: np.ndarray) -> np.ndarray:
    return onset_s[onset_s >= first_held_out(len(marked.inputs)) / marked.trace.rate]
