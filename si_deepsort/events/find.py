"""Find events in a prepared trace with a network, and the direction in which they go."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import scipy.ndimage
import scipy.signal
from spikeinterface.core import BaseRecording

from ..nets.event_unet import EVENT, ONSET, EventUNet
from .agreement import agreement_with_mean_event
from .confidence import (
    FLOOR,
    Candidates,
    agreement_calibration_of,
    calibration_of,
    merge_time_scales,
    rated_confidences,
    second_time_scale,
)
from .prepare import PreparedTrace, in_noise_levels, network_input, prepare_trace, trace_noise_level
from .probability import probability_blocks
from .stored import FrameStore

logger = logging.getLogger(__name__)

# The probability of an onset is averaged over this time, in ms: below the 2 ms that an onset is wide in training.
SMOOTH_MS = 0.8
# Onsets nearer than this, in ms, are one.
CLOSEST_MS = 1.5
# An event lasts while its probability is above this, ...
END_PROBABILITY = 0.5
# ... looked at from this long after its onset, in ms, when it has risen, ...
SURELY_INSIDE_MS = 2.0
# ... and at most this long, in ms.
LONGEST_MS = 150.0
# Length of the excerpt in which the direction of the events is found, in s.
POLARITY_EXCERPT_S = 30.0
# Smallest confidence, at one time scale, of an event that tells the direction.
POLARITY_CONFIDENCE = 0.5

# A function of (trace, polarity) that gives onset_s, end_s and confidence of candidates.
Finder = Callable[[PreparedTrace, int], Candidates]


def find_events(
    net: EventUNet,
    trace: PreparedTrace,
    noise_level: float,
    polarity: int,
    *,
    time_scale: float = 1.0,
    device: str = "cpu",
) -> Candidates:
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
        Confidence is the probability that an event begins within 1 ms (times the time scale) of the onset.
    """
    if len(trace.values) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    num_frames, frames_per_ms = len(trace.values), trace.rate * time_scale / 1000
    blocks = probability_blocks(
        net, num_frames, lambda a, b: network_input(trace.values[a:b], noise_level, polarity), device=device
    )
    # Frames that are looked at on both sides of a candidate: until its end, and as far as the averages reach.
    reach = round((LONGEST_MS + SURELY_INSIDE_MS + SMOOTH_MS) * frames_per_ms) + 2
    held, first, found = np.zeros((0, 2), "float32"), 0, []
    decided = 0
    for block in blocks:
        held = np.concatenate([held, block])
        stop = first + len(held)
        until = stop if stop == num_frames else max(decided, stop - reach)
        frames, ends, onset = _peaks(held, trace.is_valid[first:stop], frames_per_ms)
        chosen = (frames + first >= decided) & (frames + first < until)
        found.append((frames[chosen] + first, ends[chosen] + first, onset[chosen]))
        decided = until
        dropped = max(0, decided - reach - first)
        held, first = held[dropped:], first + dropped
    frames, ends, onset = (np.concatenate(columns) for columns in zip(*found, strict=True))
    is_kept = _far_apart(frames, onset, max(1, round(CLOSEST_MS * frames_per_ms)))
    return frames[is_kept] / trace.rate, ends[is_kept] / trace.rate, onset[is_kept].astype(float)


def _peaks(probabilities, is_valid, frames_per_ms):
    """Frames of local maxima of the onset, where each event has ended, and the probability there."""
    onset = scipy.ndimage.uniform_filter1d(
        probabilities[:, ONSET], max(1, round(SMOOTH_MS * frames_per_ms)), mode="nearest"
    )
    onset[~is_valid] = 0.0
    frames = scipy.signal.find_peaks(np.concatenate([[0], onset, [0]]), height=FLOOR)[0] - 1
    outside = np.append(np.flatnonzero(probabilities[:, EVENT] <= END_PROBABILITY), len(onset))
    after = np.minimum(frames + max(1, round(SURELY_INSIDE_MS * frames_per_ms)), len(onset))
    ends = outside[np.searchsorted(outside, after, side="left")]
    return frames, np.minimum(ends, frames + round(LONGEST_MS * frames_per_ms)), onset[frames]


def _far_apart(frames, heights, distance):
    """Which peaks stay when none may lie nearer than `distance` to a higher one, which stays."""
    first = np.searchsorted(frames, frames - distance, side="right")
    stop = np.searchsorted(frames, frames + distance, side="left")
    is_left, is_kept = np.ones(len(frames), dtype=bool), np.zeros(len(frames), dtype=bool)
    for index in np.argsort(heights)[::-1]:
        if is_left[index]:
            is_kept[index] = True
            is_left[first[index] : stop[index]] = False
    return is_kept


def find_in_recording(
    net: EventUNet,
    recording: BaseRecording,
    traces: Sequence[PreparedTrace],
    polarity: int,
    *,
    time_scale: float = 1.0,
    exclude_s: Sequence[tuple[float, float]] = (),
    device: str = "cpu",
) -> list[Candidates]:
    """
    Find the onsets in all segments of a recording.

    Models with a calibration look at two time scales, and then at the agreement of each candidate with the mean event.

    Parameters
    ----------
    net : EventUNet
        In evaluation mode, on `device`.
    recording : BaseRecording
        With one channel.
    traces : sequence of PreparedTrace
        All of its segments at `time_scale`.
    polarity : 1 | -1
    time_scale : float, default: 1.0
    exclude_s : sequence of (start, stop), default: ()
        As for `prepare_trace`.
    device : str, default: "cpu"

    Returns
    -------
    list of (onset_s, end_s, confidence)
        For each segment, arrays of shape (num_events,). Confidence is the probability of an event given the rate of
        events in this recording; for a model without calibration it is that of `find_events`.
    """
    find = partial(find_events, net, polarity=polarity, device=device)
    level, settings = trace_noise_level(traces), net.info.settings if net.info is not None else {}
    found = [find(trace, level, time_scale=time_scale) for trace in traces]
    calibration = calibration_of(settings)
    if calibration is None:
        return found
    seconds = _find_at(second_time_scale(found, time_scale), find, recording, exclude_s)
    tolerance_s = CLOSEST_MS * time_scale / 1000
    merged = [merge_time_scales(pair, tolerance_s) for pair in zip(found, seconds, strict=True)]
    duration_s = sum(trace.valid_s() for trace in traces) / time_scale
    candidates = _with_confidence(merged, [calibration.evidence(odds) for _, _, odds in merged], duration_s)
    calibration = agreement_calibration_of(settings)
    if calibration is None:
        return candidates
    values = [in_noise_levels(trace.values, level, polarity) for trace in traces]
    agreements = agreement_with_mean_event(values, traces[0].rate, candidates, time_scale=time_scale)
    if agreements is None:
        return candidates
    pairs = zip(merged, agreements, strict=True)
    return _with_confidence(merged, [calibration.evidence(odds, size) for (_, _, odds), size in pairs], duration_s)


def _find_at(time_scale, find, recording, exclude_s):
    """Candidates of each segment at another time scale; its traces are not kept."""
    segments = range(recording.get_num_segments())
    options = dict(time_scale=time_scale, exclude_s=exclude_s)
    with FrameStore() as store:
        traces = [prepare_trace(recording, index, store=store, **options) for index in segments]
        level = trace_noise_level(traces)
        return [find(trace, level, time_scale=time_scale) for trace in traces]


def _with_confidence(merged, evidence, duration_s) -> list[Candidates]:
    """Candidates of each segment with the probability that they are events."""
    confidences = rated_confidences(evidence, duration_s)
    return [(onset, end, sure) for (onset, end, _), sure in zip(merged, confidences, strict=True)]


def detect_polarity(traces: Sequence[PreparedTrace], find: Finder, unit: str) -> int:
    """
    Find the direction of the events: the side with more of them in an excerpt.

    Parameters
    ----------
    traces : sequence of PreparedTrace
    find : Finder
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
            score += confidence[confidence >= POLARITY_CONFIDENCE].sum()
            left_s -= len(excerpt.values) / trace.rate
            if left_s <= 0:
                break
        scores[sign] = score
    logger.info("Polarity: summed confidence of events that go up %.1f, down %.1f", scores[1], scores[-1])
    if scores[1] == scores[-1]:
        return -1 if unit.endswith("A") else 1
    return max(scores, key=lambda sign: scores[sign])
