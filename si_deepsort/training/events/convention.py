"""Learn what a user's marks mean: where events end, where they begin, and how small ones still count."""

from collections.abc import Sequence

import numpy as np
import pandas

from ...events.confidence import Candidates
from ...events.matching import detection_scores, match_events
from ...events.waveform import biexponential, end_time_ms, tau_of_rise_ms

# Fewest marks from which an end, an onset or a threshold is learnt; a median of fewer is not reliable.
MIN_MARKS = 5
# Fewest marks from which a threshold is learnt: with 30, one event more or less changes F1 by about .02.
MIN_MARKS_FOR_THRESHOLD = 30
# Only events with at least this amplitude, in noise levels, tell where marks lie: smaller fits are uncertain.
CLEAR_SNR = 4.0
# Limits of a learnt end, as parts of the amplitude. Below the first, the end drowns in noise.
LOWEST_LEVEL, HIGHEST_LEVEL = 0.02, 0.9
# A stated end is kept where a learnt number would be at most this much nearer to the marks.
PREFERENCE_FOR_WORDS = 1.1
# Marks beyond this part of the way from onset to peak are marks of peaks, as MiniAnalysis writes them.
PEAK_PART = 0.7
# Thresholds that are tried.
THRESHOLDS = np.round(np.arange(0.2, 0.96, 0.05), 2)


def learn_convention(marks: Sequence[pandas.DataFrame], fitted: Sequence[pandas.DataFrame]) -> dict[str, float | str]:
    """
    Where marks begin and end, compared with the fitted events.

    Parameters
    ----------
    marks : sequence of pandas.DataFrame
        For each segment, `onset_s` and, where known, `end_s`.
    fitted : sequence of pandas.DataFrame
        For each segment, what `measure_events` makes of the marks.

    Returns
    -------
    dict
        `end` (see `waveform.ENDS`) where ends are marked, `onset_shift_ms` where onsets are; for the settings of a
        model.
    """
    pairs = [_clear_pairs(*tables) for tables in zip(marks, fitted, strict=True)]
    pairs = pandas.concat(pairs, ignore_index=True)
    learnt: dict[str, float | str] = {}
    ends = pairs[(pairs["marked_end_ms"] > pairs["peak_ms"]) & ~pairs["overlap"]]
    if len(ends) >= MIN_MARKS:
        learnt["end"] = _best_end(ends)
    if len(pairs) >= MIN_MARKS:
        if np.median(pairs["marked_onset_ms"] / pairs["peak_ms"]) < PEAK_PART:
            learnt["onset_shift_ms"] = round(float(np.median(pairs["marked_onset_ms"])), 3)
    return learnt


def learn_threshold(found: Sequence[Candidates], fitted: Sequence[pandas.DataFrame], *, default: float) -> float:
    """
    Smallest confidence with which the network agrees best with the marks.

    Parameters
    ----------
    found : sequence of (onset_s, end_s, confidence)
        What the network finds in each segment.
    fitted : sequence of pandas.DataFrame
        For each segment, what `measure_events` makes of the marks.
    default : float
        Kept where there are fewer than 30 marks; also the threshold to stay near among equally good ones.

    Returns
    -------
    float
    """
    if sum(len(table) for table in fitted) < MIN_MARKS_FOR_THRESHOLD:
        return default
    scores = []
    for threshold in THRESHOLDS:
        counts = np.zeros(3)
        for (onset_s, _, confidence), table in zip(found, fitted, strict=True):
            score = detection_scores(table["onset_s"], onset_s[confidence >= threshold])
            counts += score["num_matched"], score["num_true"], score["num_found"]
        scores.append(2 * counts[0] / max(1.0, counts[1] + counts[2]))
    best = THRESHOLDS[np.array(scores) >= max(scores) - 1e-9]
    return float(best[np.abs(best - default).argmin()])


def _clear_pairs(marks, fitted):
    """Marked onset and end, fitted peak (all in ms after the fitted onset) and time constants of clear events."""
    pairs = match_events(marks["onset_s"], fitted["onset_s"])
    marked, events = marks.iloc[pairs[:, 0]], fitted.iloc[pairs[:, 1]].reset_index(drop=True)
    onset_s = events["onset_s"].to_numpy()
    end_s = marked["end_s"].to_numpy(float) if "end_s" in marked else np.full(len(marked), np.nan)
    table = pandas.DataFrame(
        dict(
            marked_onset_ms=1000 * (marked["onset_s"].to_numpy(float) - onset_s),
            marked_end_ms=1000 * (end_s - onset_s),
            peak_ms=1000 * (events["peak_s"].to_numpy() - onset_s),
            tau_rise_ms=tau_of_rise_ms(events["rise_ms"].to_numpy(), events["decay_ms"].to_numpy()),
            decay_ms=events["decay_ms"].to_numpy(),
            overlap=events["overlap"].to_numpy(bool),
        )
    )
    return table[(events["snr"] >= CLEAR_SNR).to_numpy() & (table["peak_ms"] > 0).to_numpy()]


def _best_end(pairs) -> str | float:
    """The end whose times are nearest to the marked ones."""
    taus = pairs["tau_rise_ms"].to_numpy(), pairs["decay_ms"].to_numpy()
    marked = pairs["marked_end_ms"].to_numpy()
    level = float(np.clip(np.median(biexponential(marked, *taus)), LOWEST_LEVEL, HIGHEST_LEVEL))
    errors = {end: np.median(np.abs(end_time_ms(*taus, end) - marked)) for end in ("tenth", "decay_constant", level)}
    word = min(("tenth", "decay_constant"), key=lambda end: errors[end])
    return word if errors[word] <= PREFERENCE_FOR_WORDS * errors[level] else round(level, 3)
