"""Run methods that find events on recordings with a known truth, for `benchmarks/events/events.py`."""

import numpy as np
from event_peers import PEERS

from si_deepsort.events.matching import detection_scores, intersection_over_union, marked_frames
from si_deepsort.events.prepare import prepare_trace, trace_noise_level
from si_deepsort.events.segment import segment_events


def network_method(model, **options):
    """A function that gives onsets and ends in a recording."""

    def method(recording):
        events = segment_events(recording, model, **options)
        return events.onset_s.to_numpy(), events.end_s.to_numpy()

    return method


def tuned_peer(name, tuning, template, polarity):
    """A peer with the threshold that has the best F1 on the tuning recordings."""
    find, grid = PEERS[name]

    def candidates(recording):
        trace = prepare_trace(recording, 0)
        return find(polarity * trace.values / trace_noise_level([trace]), template)

    found = [(candidates(recording), truth) for recording, truth in tuning]
    f1 = [
        np.mean([detection_scores(truth.onset_s, onsets[scores >= level])["f1"] for (onsets, scores), truth in found])
        for level in grid
    ]
    threshold = grid[int(np.nanargmax(f1))]

    def method(recording):
        onsets, scores = candidates(recording)
        onsets = onsets[scores >= threshold]
        return onsets, onsets + template.length_s

    return method


def pooled(method, tests):
    """Precision, recall and F1 of all events, their range over recordings, and overlap of the marked time."""
    counts, f1, overlaps = np.zeros(3), [], []
    for recording, truth in tests:
        onsets, ends = method(recording)
        scores = detection_scores(truth.onset_s, onsets)
        counts += [scores["num_true"], scores["num_found"], scores["num_matched"]]
        f1.append(scores["f1"])
        size = (recording.get_num_frames(), recording.get_sampling_frequency())
        if "end_s" in truth:
            truth_frames = marked_frames(truth.onset_s, truth.end_s, *size)
            overlaps.append(intersection_over_union(marked_frames(onsets, ends, *size), truth_frames))
    num_true, num_found, num_matched = counts
    scores = dict(precision=num_matched / max(1, num_found), recall=num_matched / num_true)
    scores |= dict(f1=2 * num_matched / (num_true + num_found), lowest_f1=min(f1), num_true=int(num_true))
    return scores | (dict(iou=float(np.mean(overlaps)), lowest_iou=min(overlaps)) if overlaps else {})
