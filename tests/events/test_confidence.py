"""Confidence of events: two time scales as one list, and the rate of events of the recording."""

import numpy as np
import pytest
import scipy.special

from si_deepsort.events.confidence import (
    Calibration,
    agreement_calibration_of,
    calibration_of,
    merge_time_scales,
    rated_confidences,
    second_time_scale,
)
from si_deepsort.events.matching import detection_scores
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events


def candidates(*rows):
    return tuple(np.array(rows, float).reshape(-1, 3).T)


def test_an_event_of_both_time_scales_is_one():
    first = candidates((1.0, 1.01, 0.9), (2.0, 2.01, 0.2))
    second = candidates((0.5, 0.51, 0.7), (1.001, 1.02, 0.6), (2.0005, 2.02, 0.4))
    onset_s, end_s, log_odds = merge_time_scales([first, second], 0.0015)
    np.testing.assert_array_equal(onset_s, [0.5, 1.0, 2.0005])
    np.testing.assert_array_equal(end_s, [0.51, 1.01, 2.02])
    expected = [np.mean(scipy.special.logit(pair)) for pair in ((0.9, 0.6), (0.2, 0.4))]
    np.testing.assert_allclose(log_odds[1:], expected)
    assert log_odds[0] < expected[1]  # the other time scale saw nothing there
    for one, other in zip(merge_time_scales([second, first], 0.0015), (onset_s, end_s, log_odds), strict=True):
        np.testing.assert_allclose(one, other)


def test_merging_nothing_is_nothing():
    empty = candidates()
    assert all(len(column) == 0 for column in merge_time_scales([empty, empty], 0.001))
    assert [len(part) for part in rated_confidences([np.zeros(0), np.zeros(0)], 0.0)] == [0, 0]


def test_a_doubtful_event_is_likelier_where_there_are_many():
    doubtful = np.array([-1.0])
    rare = rated_confidences([np.append(doubtful, np.full(3, 9.0))], 60.0)[0]
    frequent = rated_confidences([np.append(doubtful, np.full(300, 9.0))], 60.0)[0]
    assert rare[0] < 0.2 < frequent[0] and (rare[1:] > 0.99).all()


def test_confidence_follows_the_evidence_and_not_the_segments():
    evidence = np.sort(np.random.default_rng(0).normal(-4, 6, 200))
    whole = rated_confidences([evidence], 60.0)[0]
    parts = rated_confidences([evidence[:70], evidence[70:]], 60.0)
    np.testing.assert_allclose(np.concatenate(parts), whole)
    assert (np.diff(whole) >= 0).all() and whole.min() >= 0 and whole.max() <= 1


@pytest.mark.parametrize("time_scale", [0.5, 1.0, 4.0])
def test_long_events_are_looked_at_on_fewer_samples(time_scale):
    def of_length(length_ms, confidence=0.9):
        onset_s = np.arange(8.0)
        return [(onset_s, onset_s + length_ms * time_scale / 1000, np.full(8, confidence))]

    assert second_time_scale(of_length(30.0), time_scale) == 2 * time_scale
    assert second_time_scale(of_length(5.0), time_scale) == time_scale / 2
    assert second_time_scale(of_length(30.0, confidence=0.3), time_scale) == time_scale / 2
    assert second_time_scale([candidates()], time_scale) == time_scale / 2


def test_models_without_calibration_look_once():
    assert calibration_of({"threshold": 0.65}) is None
    assert calibration_of({"slope": 2, "offset": -1.5}) == Calibration(2.0, -1.5)
    assert agreement_calibration_of({"slope": 2, "offset": -1.5}) is None
    numbers = {"slope": 1, "offset": -9, "agreement": 2}
    assert agreement_calibration_of({"with_agreement": numbers}) == Calibration(1.0, -9.0, 2.0)


@pytest.mark.parametrize(
    "kinetics",
    [
        dict(rise_min_ms=0.2, rise_max_ms=0.4, decay_min_ms=0.8, decay_max_ms=2.0, event_rate=3.0),
        dict(rise_min_ms=1.0, rise_max_ms=3.5, decay_min_ms=12.0, decay_max_ms=25.0),
    ],
    ids=["fast", "slow"],
)
def test_fast_and_slow_events_are_found_without_options(kinetics):
    recording, truth = simulate_events(
        duration_s=15.0, sampling_frequency=20_000.0, noise_sd=0.08, artefact_rate=0.0, seed=3, **kinetics
    )
    scores = detection_scores(truth.onset_s, segment_events(recording, polarity=1).onset_s)
    assert scores["f1"] > 0.9
