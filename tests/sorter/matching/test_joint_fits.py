"""Two spikes of one moment are found as what they are, where the spike that explains most comes out of a third unit."""

import numpy as np
import pytest
from small_recording import add_spikes, spike_trains, unit_templates

from si_deepsort.sorter.matching import pursuit
from si_deepsort.sorter.matching.correlate import make_matched_filters
from si_deepsort.sorter.matching.overlaps import make_template_overlaps

NUM_CHANNELS, VARIANCE, THRESHOLD = 4, 0.02, 18.0
TEMPLATES, NBEFORE = unit_templates(3, NUM_CHANNELS, amplitude_uV=12.0)


def pursue(traces, templates, *, thresholds=None, stride=1):
    thresholds = np.full(len(templates), THRESHOLD) if thresholds is None else thresholds
    frames, units, amplitudes, _ = pursuit.pursue_spikes(
        traces.astype("float32"),
        make_matched_filters(templates, stride),
        make_template_overlaps(templates.astype("float32"), stride),
        thresholds=thresholds,
        amplitude_variance=VARIANCE,
        refractory_frames=15,
    )
    return frames, units, amplitudes


def with_look_alike(lag: int) -> np.ndarray:
    """Two templates, and a third one that resembles their sum at a lag."""
    third = 0.8 * (TEMPLATES[0] + np.roll(TEMPLATES[1], lag, axis=0)) + 0.3 * TEMPLATES[2]
    return np.stack([TEMPLATES[0], TEMPLATES[1], third])


def found_together(monkeypatch, turns: int, lag: int, stride: int) -> float:
    """Share of coincidences of two neurons that are found as such, and as nothing else."""
    monkeypatch.setattr(pursuit, "JOINT_TURNS", turns)
    templates, starts = with_look_alike(lag), np.arange(300, 20_000, 200)
    traces = np.random.default_rng(lag).standard_normal((20_200, NUM_CHANNELS))
    add_spikes(traces, [starts, starts + lag, []], templates, NBEFORE)
    frames, units, _ = pursue(traces, templates, stride=stride)
    right = 0
    for start in starts:
        near = np.abs(frames + NBEFORE - start) < 60
        ours = dict(zip(units[near].tolist(), (frames[near] + NBEFORE - start).tolist(), strict=True))
        right += set(ours) == {0, 1} and abs(ours[0]) <= 1 and abs(ours[1] - lag) <= 1
    return right / len(starts)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("lag", [0, 2])
def test_a_sum_of_two_is_not_taken_for_a_third_one(monkeypatch, lag, stride):
    alone = found_together(monkeypatch, 0, lag, stride)
    together = found_together(monkeypatch, 2, lag, stride)
    assert together >= 0.98 and alone < 0.5


@pytest.mark.parametrize("lag", [0, 3])
def test_a_third_unit_that_fires_stays(lag):
    templates, starts = with_look_alike(lag), np.arange(300, 20_000, 200)
    traces = np.random.default_rng(lag).standard_normal((20_200, NUM_CHANNELS))
    add_spikes(traces, [[], [], starts], templates, NBEFORE)
    frames, units, _ = pursue(traces, templates)
    assert np.mean(units == 2) >= 0.99 and np.isin(starts, frames + NBEFORE).mean() >= 0.99


def cost(traces, templates, frames, units, amplitudes):
    """What spikes leave of the traces, with the costs of spikes and amplitudes."""
    rest = traces.copy()
    for frame, unit, amplitude in zip(frames, units, amplitudes, strict=True):
        rest[frame : frame + templates.shape[1]] -= amplitude * templates[unit]
    return np.sum(rest**2) + np.sum((amplitudes - 1) ** 2) / VARIANCE + THRESHOLD * len(frames)


@pytest.mark.parametrize("seed", range(3))
def test_joint_fits_explain_more_of_busy_traces(monkeypatch, seed):
    rng = np.random.default_rng(seed)
    traces, templates = rng.standard_normal((60_000, NUM_CHANNELS)), with_look_alike(3)
    add_spikes(traces, spike_trains(3, 60_000, rng, rate_hz=60.0), templates, NBEFORE)
    costs = []
    for turns in (0, 2):
        monkeypatch.setattr(pursuit, "JOINT_TURNS", turns)
        costs.append(cost(traces, templates, *pursue(traces, templates)))
    assert costs[1] < costs[0]


def test_a_forbidden_unit_is_part_of_no_pair():
    templates = with_look_alike(2)
    traces = np.random.default_rng(0).standard_normal((4000, NUM_CHANNELS))
    add_spikes(traces, [[1000], [1002], []], templates, NBEFORE)
    _, units, _ = pursue(traces, templates, thresholds=np.array([THRESHOLD, np.inf, THRESHOLD]))
    assert 1 not in units.tolist()


def test_lone_spikes_are_left_alone(monkeypatch):
    traces = np.random.default_rng(0).standard_normal((20_000, NUM_CHANNELS))
    add_spikes(traces, [np.arange(300, 19_000, 400), [], np.arange(500, 19_000, 400)], TEMPLATES, NBEFORE)
    found = []
    for turns in (0, 2):
        monkeypatch.setattr(pursuit, "JOINT_TURNS", turns)
        found.append(pursue(traces, TEMPLATES))
    np.testing.assert_array_equal(found[0][:2], found[1][:2])


def test_templates_of_three_samples_are_fitted_jointly():
    short = TEMPLATES[:, NBEFORE - 1 : NBEFORE + 2]
    traces = np.random.default_rng(0).standard_normal((20_000, NUM_CHANNELS))
    starts = np.arange(300, 19_000, 200)
    add_spikes(traces, [starts, starts + 1, []], short, 1)
    frames, units, _ = pursue(traces, short)
    for unit, expected in ((0, starts), (1, starts + 1)):
        assert np.isin(expected, frames[units == unit] + 1).mean() > 0.95
