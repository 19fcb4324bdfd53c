"""Agreement of candidates with the mean event of their recording."""

import numpy as np
import pytest

from si_deepsort.events.agreement import FEWEST_SURE, agreement_with_mean_event, matched_taps
from si_deepsort.events.confidence import MOST_AGREEMENT, Calibration
from si_deepsort.events.waveform import biexponential

RATE = 10_000.0
SHAPE = biexponential(np.arange(1000) / RATE * 1000, 0.3, 3.0)


def slow_noise(num_frames, seed, pole=0.98):
    """Noise whose neighbouring frames are alike; standard deviation 1."""
    noise = np.random.default_rng(seed).normal(size=num_frames)
    for frame in range(1, num_frames):
        noise[frame] += pole * noise[frame - 1]
    return noise / noise.std()


def with_events(noise, onset_s, amplitudes):
    values = np.pad(noise, (0, 1000))
    for onset, amplitude in zip(onset_s, amplitudes, strict=True):
        start = round(onset * RATE)
        values[start : start + 1000] += amplitude * SHAPE
    return values[: len(noise)]


def candidates(onset_s, confidence):
    onset_s = np.asarray(onset_s, float)
    return onset_s, onset_s + 0.007, np.full(len(onset_s), confidence) if np.isscalar(confidence) else confidence


@pytest.fixture(scope="module")
def noise():
    return slow_noise(100_000, 0)


LARGE_S = np.arange(0.5, 9.5, 1.0)


def test_white_noise_needs_the_shape_itself():
    taps = matched_taps(SHAPE, [np.random.default_rng(1).normal(size=400_000)], RATE)
    after = taps[len(taps) // 2 :][:1000]
    assert np.corrcoef(after, SHAPE)[0, 1] > 0.97
    assert np.abs(taps[: len(taps) // 2 - 20]).max() < 0.2 * taps.max()


def test_small_events_stand_out_of_slow_noise_and_noise_does_not(noise):
    small_s = LARGE_S + 0.5
    values = with_events(noise, [*LARGE_S, *small_s], [12.0] * 9 + [2.0] * 9)
    nothing_s = LARGE_S + 0.25
    onset_s = np.sort(np.concatenate([LARGE_S, small_s, nothing_s]))
    is_large, is_small = np.isin(onset_s, LARGE_S), np.isin(onset_s, small_s)
    confidence = np.where(is_large, 0.99, 0.1)
    found = agreement_with_mean_event([values], RATE, [candidates(onset_s, confidence)])[0]
    nothing = found[~is_large & ~is_small]
    assert found[is_small].min() > nothing.max() and np.abs(nothing).max() < 4
    # The outputs for an event of 2 and one of 12 noise levels, each without its noise, are as 2 to 12.
    assert found[is_small].mean() - found[is_large].mean() * 2 / 12 == pytest.approx(0.0, abs=1.0)


def test_agreement_follows_the_size_of_an_event_and_not_a_sure_neighbour(noise):
    def at_small(size, neighbour):
        values = with_events(noise, [*LARGE_S, 5.0, 5.02], [12.0] * 9 + [size, neighbour])
        onset_s = np.sort([*LARGE_S, 5.0, 5.02])
        confidence = np.where(onset_s == 5.0, 0.2, np.where(onset_s == 5.02, 0.99 if neighbour else 0.0, 0.99))
        return agreement_with_mean_event([values], RATE, [candidates(onset_s, confidence)])[0][onset_s == 5.0][0]

    none, single, double = (at_small(size, 0.0) for size in (2.0, 4.0, 6.0))
    assert double - single == pytest.approx(single - none, rel=0.15) and single > none
    assert at_small(4.0, 12.0) == pytest.approx(single, abs=1.0)


def test_segments_of_one_recording_know_the_same_mean_event(noise):
    values = with_events(noise, LARGE_S, [12.0] * 9)
    whole = agreement_with_mean_event([values], RATE, [candidates(LARGE_S, 0.99)])[0]
    parts = agreement_with_mean_event(
        [values[:50_000], values[50_000:]], RATE, [candidates(LARGE_S[:5], 0.99), candidates(LARGE_S[5:] - 5.0, 0.99)]
    )
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0.1)


def test_few_sure_events_have_no_mean_and_empty_segments_are_empty(noise):
    few = candidates(LARGE_S[: FEWEST_SURE - 1], 0.99)
    values = with_events(noise, LARGE_S, [12.0] * 9)
    assert agreement_with_mean_event([values], RATE, [few]) is None
    assert agreement_with_mean_event([values], RATE, [candidates(LARGE_S, 0.7)]) is None
    found = agreement_with_mean_event([values, np.zeros(0)], RATE, [candidates(LARGE_S, 0.99), candidates([], 0.5)])
    assert len(found[0]) == 9 and len(found[1]) == 0
    assert agreement_with_mean_event([np.zeros(0)], RATE, [candidates([], 0.5)]) is None


def test_agreement_is_evidence_until_it_is_plain():
    calibration = Calibration(slope=1.0, offset=-10.0, agreement=2.0)
    evidence = calibration.evidence(np.zeros(5), np.array([-3.0, 0.0, 1.0, MOST_AGREEMENT, 300.0])) + 10.0
    np.testing.assert_allclose(evidence, [0.0, 0.0, 2.0, 2 * MOST_AGREEMENT, 2 * MOST_AGREEMENT])
    np.testing.assert_allclose(calibration.evidence(np.ones(6)), -9.0)
