"""
How sure an event is: the network at two time scales, agreement with the mean event, and how often there are events.

A network knows events of a certain range of durations best. At half or double speed the same events lie elsewhere in
this range, and noise that looked like an event at one speed rarely does so at the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special

# Onset and end in s and confidence of the candidates of one segment, each of shape (num_candidates,), by onset.
Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]

# Events whose typical length (onset to end) is above this, in ms, are also looked at on half as many samples; shorter
# ones on twice as many. Tuned on generated development recordings (benchmarks/events/other_maker.py, seeds 1-3), where
# anything from 14 to 20 ms gave the same choices.
LONG_EVENT_MS = 16.0
SLOWER, FASTER = 2.0, 0.5
# The typical length is a median over events that are at least this sure, if there are so many.
SURE_ENOUGH, FEWEST_SURE = 0.8, 5
# A time scale that sees nothing says this at least: one scale alone cannot rule an event out, however sure it is.
FLOOR = 1e-3
# The network is never surer than this: log odds beyond 11 are rounding.
CEILING = 1 - 1e-5
# Rate of events, in 1/s, from which the search begins, and the time, in s, for which it counts beside what is found: a
# sweep of a tenth of a second says little about its rate. Typical of miniature events at rest.
TYPICAL_RATE, TYPICAL_TIME_S = 1.5, 5.0
# Beyond this many standard deviations of filtered noise, agreement with the mean event says no more: it is no noise,
# but may be an artefact. Tuned on generated development recordings (benchmarks/events/other_maker.py, seeds 1-8), where
# 4.5 and 5.5 were about as good.
MOST_AGREEMENT = 5.0
# Rounds of estimating the rate from the events and the events from the rate; it changes by less than 1e-3 after ten.
NUM_ROUNDS = 30


@dataclass(frozen=True)
class Calibration:
    """
    From the mean log odds of two time scales to a probability.

    The log odds of an event are `slope * mean + offset + log(events per s)`: the rate of events is the prior
    probability, and the rest is what the traces say. (The prior of a classifier is adapted to new data in this way by
    Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446.)

    Attributes
    ----------
    slope, offset : float
        Fitted by logistic regression on recordings with a known truth; kept in the settings of a model.
    agreement : float, default: 0.0
        Log odds for each standard deviation of agreement with the mean event, up to `MOST_AGREEMENT`.
    """

    slope: float
    offset: float
    agreement: float = 0.0

    def evidence(self, log_odds: np.ndarray, agreement: np.ndarray | None = None) -> np.ndarray:
        """Log odds of candidates without the rate of events, from those of the network and from their agreement."""
        evidence = self.slope * log_odds + self.offset
        if agreement is None:
            return evidence
        return evidence + self.agreement * np.clip(agreement, 0.0, MOST_AGREEMENT)


def calibration_of(settings: dict) -> Calibration | None:
    """The calibration in the settings of a model; None for models that look at one time scale."""
    if "slope" not in settings:
        return None
    return Calibration(float(settings["slope"]), float(settings["offset"]))


def agreement_calibration_of(settings: dict) -> Calibration | None:
    """The calibration where agreement with the mean event is known; None for models that do not use it."""
    if "with_agreement" not in settings:
        return None
    return Calibration(**{name: float(value) for name, value in settings["with_agreement"].items()})


def second_time_scale(candidates: Sequence[Candidates], time_scale: float) -> float:
    """
    The time scale at which the events of a recording are looked at again.

    Parameters
    ----------
    candidates : sequence of (onset_s, end_s, confidence)
        For each segment, what `find_events` finds at `time_scale`.
    time_scale : float

    Returns
    -------
    float
    """
    lengths = np.concatenate([(end - onset)[confidence >= SURE_ENOUGH] for onset, end, confidence in candidates])
    is_long = len(lengths) >= FEWEST_SURE and np.median(lengths) * 1000 > LONG_EVENT_MS * time_scale
    return time_scale * (SLOWER if is_long else FASTER)


def merge_time_scales(candidates: Sequence[Candidates], tolerance_s: float) -> Candidates:
    """
    Candidates of all time scales of one segment, those of the same event once.

    Parameters
    ----------
    candidates : sequence of (onset_s, end_s, confidence)
        One item for each time scale.
    tolerance_s : float
        Candidates that are not further apart are one, with onset and end of the most confident.

    Returns
    -------
    onset_s, end_s, log_odds : np.ndarray, shape (num_events,), float
        By onset. `log_odds` is the mean over time scales of the log odds that the network gives.
    """
    onset_s, end_s, confidence = (np.concatenate(columns) for columns in zip(*candidates, strict=True))
    order = np.argsort(onset_s, kind="stable")
    onset_s, end_s, confidence = onset_s[order], end_s[order], confidence[order]
    first, stop = _range_within(onset_s, onset_s, tolerance_s)
    is_left, is_kept = np.ones(len(onset_s), bool), np.zeros(len(onset_s), bool)
    for index in np.argsort(-confidence, kind="stable"):
        if is_left[index]:
            is_kept[index] = True
            is_left[first[index] : stop[index]] = False
    onset_s, end_s = onset_s[is_kept], end_s[is_kept]
    log_odds = [scipy.special.logit(_highest_near(onset_s, one, tolerance_s)) for one in candidates]
    return onset_s, end_s, np.mean(log_odds, axis=0)


def rated_confidences(evidence: Sequence[np.ndarray], duration_s: float) -> list[np.ndarray]:
    """
    Probability of each candidate, given how many events this recording has.

    Parameters
    ----------
    evidence : sequence of np.ndarray, shape (num_candidates,), float
        For each segment, from `Calibration.evidence`.
    duration_s : float
        Sum over all segments (divided by the time scale).

    Returns
    -------
    list of np.ndarray, shape (num_candidates,), float
    """
    together = np.concatenate(evidence) if evidence else np.zeros(0)
    rate = TYPICAL_RATE
    for _ in range(NUM_ROUNDS):
        num_events = scipy.special.expit(together + np.log(rate)).sum()
        rate = (num_events + TYPICAL_RATE * TYPICAL_TIME_S) / (duration_s + TYPICAL_TIME_S)
    return [scipy.special.expit(values + np.log(rate)) for values in evidence]


def _highest_near(onset_s, candidates: Candidates, tolerance_s):
    """The highest confidence of a time scale near each onset, not below the floor."""
    times, _, confidence = candidates
    highest = np.full(len(onset_s), FLOOR)
    first, stop = _range_within(times, onset_s, tolerance_s)
    for step in range(int((stop - first).max(initial=0))):
        is_there = first + step < stop
        highest[is_there] = np.maximum(highest[is_there], confidence[first[is_there] + step])
    return np.minimum(highest, CEILING)


def _range_within(sorted_s, onset_s, tolerance_s):
    """First index and index after the last of the sorted times that lie near each onset."""
    first = np.searchsorted(sorted_s, onset_s - tolerance_s, side="left")
    return first, np.searchsorted(sorted_s, onset_s + tolerance_s, side="right")
