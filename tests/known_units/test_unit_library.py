"""Known units in noise: exact where it must be exact, and overlaps are taken apart."""

import numpy as np
import pytest

from si_deepsort.known_units.known_templates import fit_templates, know_templates
from si_deepsort.known_units.template_subtraction import find_known_units
from si_deepsort.known_units.unit_library import count_hits, find_units, learn_units, tune_threshold

FS = 20_000.0
TIMES = np.arange(40)
TEMPLATES = np.stack(
    [
        9.0 * np.exp(-(((TIMES - 12) / 3.0) ** 2)),
        5.0 * np.exp(-(((TIMES - 16) / 6.0) ** 2)) - 3.0 * np.exp(-(((TIMES - 28) / 5.0) ** 2)),
        -7.0 * np.exp(-(((TIMES - 10) / 2.0) ** 2)),
    ]
)[:, :, None]


def make_traces(seed=0, num_frames=200_000, noise_sd=1.0, num_spikes=150, channels=1, overlapping=True):
    rng = np.random.default_rng(seed)
    gains = np.array([1.0, 0.5, -0.3])[:channels]
    traces = noise_sd * rng.standard_normal((num_frames, channels))
    frames, units = [], []
    for unit in range(3):
        starts = np.sort(rng.choice(num_frames // 60 - 1, num_spikes, replace=False)) * 60
        starts = starts + (rng.integers(0, 19, num_spikes) if overlapping else unit * 0)
        for start in starts:
            traces[start : start + 40] += TEMPLATES[unit] * gains
        frames.append(starts)
        units.append(np.full(num_spikes, unit))
    frames, units = np.concatenate(frames), np.concatenate(units)
    order = np.argsort(frames, kind="stable")
    return traces, frames[order], units[order]


@pytest.mark.parametrize("channels", [1, 3])
def test_templates_are_recovered_although_spikes_overlap(channels):
    traces, frames, units = make_traces(noise_sd=0.01, channels=channels)
    found = fit_templates(traces, frames, units, 3, nbefore=0, nafter=40)
    np.testing.assert_allclose(found, TEMPLATES * np.array([1.0, 0.5, -0.3])[:channels], atol=0.05)


def test_spikes_are_found_at_their_sample_in_little_noise():
    traces, frames, units = make_traces(noise_sd=0.2)
    known = know_templates(TEMPLATES / 0.2, rates=np.full(3, 15.0), sampling_frequency=FS, refractory_ms=2.0)
    starts, found, log_odds = find_known_units(traces / 0.2, known)
    assert set(zip(starts, found, strict=True)) == set(zip(frames, units, strict=True))
    assert (log_odds > 0).all() and (np.diff(starts) >= 0).all()


def test_every_pair_of_units_at_every_lag_is_taken_apart():
    rng = np.random.default_rng(0)
    places = [(k, j, lag) for k in range(3) for j in range(3) for lag in range(-20, 21, 4) if k != j]
    traces = 0.3 * rng.standard_normal((200 * (len(places) + 1), 1))
    truth = set()
    for index, (first, second, lag) in enumerate(places):
        start = 200 * index + 80
        for unit, at in ((first, start), (second, start + lag)):
            traces[at : at + 40] += TEMPLATES[unit]
            truth.add((at, unit))
    known = know_templates(TEMPLATES / 0.3, rates=np.full(3, 15.0), sampling_frequency=FS)
    starts, found, _ = find_known_units(traces / 0.3, known)
    assert set(zip(starts, found, strict=True)) == truth


def test_pure_noise_holds_no_spike_and_empty_input_is_no_error():
    noise = np.random.default_rng(0).standard_normal((100_000, 1))
    known = know_templates(TEMPLATES, rates=np.full(3, 1.0), sampling_frequency=FS)
    assert len(find_known_units(noise, known, log_odds_threshold=6.0)[0]) == 0
    assert len(find_known_units(noise[:10], known)[0]) == 0


def test_a_unit_is_not_found_twice_within_its_refractory_period():
    traces, *_ = make_traces(noise_sd=1.0)
    known = know_templates(TEMPLATES, rates=np.full(3, 50.0), sampling_frequency=FS, refractory_ms=3.0)
    starts, found, _ = find_known_units(traces, known, log_odds_threshold=-5.0)
    for unit in range(3):
        assert np.diff(starts[found == unit]).min() >= 60


@pytest.mark.parametrize("label_shift", [0, 15])
def test_units_of_a_labelled_recording_are_found_in_a_noisier_one_with_drift(label_shift):
    traces, frames, units = make_traces(noise_sd=0.3)
    target, true_frames, true_units = make_traces(seed=5, noise_sd=1.2)
    drift = 20 * np.sin(2 * np.pi * 0.4 * np.arange(len(target)) / FS)[:, None]
    library = learn_units(traces, frames + label_shift, units, 3, FS)
    labelled = (library, traces, frames + label_shift, units)
    tuning = tune_threshold(*labelled, target + drift, tolerance_frames=10)
    found = find_units(target + drift, library, log_odds_threshold=tuning["log_odds_threshold"])
    hits = count_hits(true_frames + label_shift, true_units, *found[:2], 10)
    f1 = 2 * hits / (len(true_frames) + len(found[0]))
    assert f1 > 0.9
    assert tuning["f1"] == pytest.approx(f1, abs=0.05)  # the copy foretells the target


def test_hits_are_one_to_one():
    assert count_hits(np.array([10, 12]), np.zeros(2), np.array([11]), np.zeros(1), 5) == 1
    assert count_hits(np.array([10]), np.zeros(1), np.array([10, 11]), np.zeros(2), 5) == 1
    assert count_hits(np.array([10]), np.zeros(1), np.array([10]), np.ones(1), 5) == 0


def test_bad_input_is_named():
    traces, frames, units = make_traces(num_frames=100_000)
    with pytest.raises(ValueError, match="inside the recording"):
        learn_units(traces, frames + 10**7, units, 3, FS)
    with pytest.raises(ValueError, match="leave out units"):
        learn_units(traces, frames, units, 4, FS)
    library = learn_units(traces, np.tile(frames, 2), np.tile(units, 2), 3, FS)  # duplicates count once
    np.testing.assert_allclose(library.rates, 150 / 5.0)
    with pytest.raises(ValueError, match="same channels"):
        find_units(np.zeros((50_000, 2)), library)
