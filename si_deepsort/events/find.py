"""Find events in a prepared trace with a network, and the direction in which they go."""

import logging
from collections.abc import Callable

import numpy as np
import scipy.ndimage
import scipy.signal

from ..nets.event_unet import EVENT, ONSET, EventUNet
from .prepare import PreparedTrace, network_input
from .probability import event_probabilities

logger = logging.getLogger(__name__)

# The network says how likely an event begins within so many frames to either side: 1 ms at its rate.
ONSET_HALF_WIDTH = 10
# Onsets are sought where this probability, averaged over this time in ms, is highest: below the width of an onset.
SMOOTH_MS = 0.8
# Where the onset of a small event is uncertain, its probability is spread over this time, in ms, to either side. Onsets
# of small events in noise scatter by 1 to 2 ms.
SPREAD_MS = 3.0
# Onsets nearer than this, in ms, are one.
CLOSEST_MS = 1.5
# An event lasts while its probability is above this, ...
END_PROBABILITY = 0.5
# ... looked at from this long after its onset, in ms, when it has risen, ...
SURELY_INSIDE_MS = 2.0
# ... and at most this long, in ms.
LONGEST_MS = 150.0
# Where the averaged probability is smaller, no event is considered.
SMALLEST_PROBABILITY = 1e-3
# Length of the excerpt in which the direction of the events is found, in s.
POLARITY_EXCERPT_S = 30.0

# A function of (trace, polarity) that gives onset_s, end_s and confidence of candidates.
Finder = Callable[[PreparedTrace, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def find_events(
    net: EventUNet,
    trace: PreparedTrace,
    noise_level: float,
    polarity: int,
    *,
    time_scale: float = 1.0,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Find the onsets that a network sees in one segment, doubtful ones too.

    Parameters
    ----------
    net : EventUNet
        In evaluation mode, on `device`.
    trace : PreparedTrace
    noise_level : float
        In the unit of the trace.
    polarity : 1 | -1
    time_scale : float, default: 1.0
        Above 1 for events slower than the network knows.
    device : str, default: "cpu"

    Returns
    -------
    onset_s, end_s, confidence : np.ndarray, shape (num_events,), float
        Confidence is the probability that an event begins within 3 ms (times the time scale) of the onset.
    """
    if len(trace.values) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    probabilities = event_probabilities(net, network_input(trace.values, noise_level, polarity), device=device)
    frames_per_ms = trace.rate * time_scale / 1000
    onset = np.where(trace.is_valid, probabilities[:, ONSET], 0.0).astype(float)
    frames, confidence = onset_confidences(onset, frames_per_ms)
    is_inside = probabilities[:, EVENT] > END_PROBABILITY
    outside = np.append(np.flatnonzero(~is_inside), len(onset))
    after = np.minimum(frames + max(1, round(SURELY_INSIDE_MS * frames_per_ms)), len(onset))
    ends = outside[np.searchsorted(outside, after, side="left")]
    ends = np.minimum(ends, frames + round(LONGEST_MS * frames_per_ms))
    return frames / trace.rate, ends / trace.rate, confidence


def onset_confidences(onset: np.ndarray, frames_per_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Onsets of events, and how likely there is an event at each.

    The onset of a small event is uncertain, so its probability is low at each frame although the event is there.
    Divided by the width of an onset it is the density of onsets. The confidence of an event is the sum of this density
    near its onset, up to 1. What one event has used does not count for another; likely events come first.

    Parameters
    ----------
    onset : np.ndarray, shape (num_frames,), float
        Probability that an event begins within `ONSET_HALF_WIDTH` frames of each frame.
    frames_per_ms : float

    Returns
    -------
    frames : np.ndarray, shape (num_events,), int
        In ascending order.
    confidence : np.ndarray, shape (num_events,), float
    """
    smooth = scipy.ndimage.uniform_filter1d(onset, max(1, round(SMOOTH_MS * frames_per_ms)), mode="constant")
    distance = max(1, round(CLOSEST_MS * frames_per_ms))
    padded = np.concatenate([[0], smooth, [0]])  # an onset may be at the first or last frame
    frames = scipy.signal.find_peaks(padded, height=SMALLEST_PROBABILITY, distance=distance)[0] - 1
    left = onset / (2 * ONSET_HALF_WIDTH + 1)
    reach = round(SPREAD_MS * frames_per_ms)
    confidence = np.zeros(len(frames))
    for event in np.argsort(-smooth[frames], kind="stable"):
        first = max(0, frames[event] - reach)
        near = left[first : frames[event] + reach + 1]
        nearest = np.argsort(np.abs(np.arange(first, first + len(near)) - frames[event]), kind="stable")
        used = nearest[: np.searchsorted(np.cumsum(near[nearest]), 1.0) + 1]
        confidence[event] = min(1.0, near[used].sum())
        near[used] = 0.0
    return frames, confidence


def detect_polarity(traces: list[PreparedTrace], find: Finder, threshold: float, unit: str) -> int:
    """
    Find the direction of the events: the side with more of them in an excerpt.

    Parameters
    ----------
    traces : list of PreparedTrace
    find : Finder
    threshold : float
        Smallest confidence of an event.
    unit : str
        Unit of the traces. Where no event is found, currents go down and anything else up.

    Returns
    -------
    1 | -1
    """
    scores = {}
    for sign in (1, -1):
        left_s, score = POLARITY_EXCERPT_S, 0.0
        for trace in traces:
            excerpt = trace.start(left_s)
            confidence = find(excerpt, sign)[2]
            score += confidence[confidence >= threshold].sum()
            left_s -= len(excerpt.values) / trace.rate
            if left_s <= 0:
                break
        scores[sign] = score
    logger.info("Polarity: events up %.1f, down %.1f", scores[1], scores[-1])
    if scores[1] == scores[-1]:
        return -1 if unit.endswith("A") else 1
    return max(scores, key=lambda sign: scores[sign])
