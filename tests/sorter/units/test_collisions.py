"""Collisions: pairs of spikes of two units are no third unit; a unit that looks like a sum, but fires as one, is."""

import numpy as np
import pytest
from small_recording import as_recording
from unit_scenes import NUM_CHANNELS, as_templates, padded_templates, spikes_of

from si_deepsort.sorter.units import collisions
from si_deepsort.sorter.units.collisions import _kept_one_by_one, _most_gain, chance_gains, find_redundant_units
from si_deepsort.sorter.units.templates import UnitTemplates
from si_deepsort.threads import threads

NUM_FRAMES, NUM_SPIKES = 200_000, 60
RULES = dict(fewest_others=2, threshold=18.0, amplitude_variance=0.02, seed=0)


def scene(lags, *, extra=0.0, amplitude_sd=0.05):
    """
    Two units, and a third one whose spikes are pairs of theirs.

    Parameters
    ----------
    lags : np.ndarray, shape (NUM_SPIKES,), int
        Lag of the second spike of each pair.
    extra : float
        Height of a wave on the last channel that makes the third one a unit of its own.
    """
    rng = np.random.default_rng(0)
    values = padded_templates(2)
    num_samples = values.shape[1]
    shape = np.zeros_like(values[0])
    shape[:, -1] = extra * np.hanning(num_samples)
    traces = rng.standard_normal((NUM_FRAMES, NUM_CHANNELS)).astype("float32")
    onsets = 3000 * np.arange(1, NUM_SPIKES + 1)
    own = [onsets + 1000, onsets + 2000]

    def add(template, frames):
        for frame in frames:
            traces[frame : frame + num_samples] += (1 + amplitude_sd * rng.standard_normal()) * template

    for template, frames in zip(values, own, strict=True):
        add(template, frames)
    add(values[0] + shape, onsets)
    add(values[1], onsets + lags)
    third = np.mean([values[0] + shape + np.roll(values[1], lag, axis=0) for lag in lags], axis=0)
    templates = as_templates([*values, third], [500, 500, NUM_SPIKES])
    trains = [frames + templates.nbefore for frames in (*own, onsets)]
    return as_recording(traces), spikes_of(trains), templates


@pytest.mark.parametrize("reach", [0, 4, 12])
def test_pairs_of_spikes_are_a_collision_also_where_their_lags_vary(reach):
    lags = np.random.default_rng(1).integers(-reach, reach + 1, NUM_SPIKES)
    traces, spikes, templates = scene(lags)
    assert find_redundant_units(traces, spikes, templates, **RULES).tolist() == [False, False, True]


def test_collisions_of_the_same_pair_at_several_lags_do_not_keep_each_other():
    """Their sums are fitted first, and leave more of a spike than its two parts do."""
    rng = np.random.default_rng(3)
    values = padded_templates(2)
    num_samples = values.shape[1]
    traces = rng.standard_normal((NUM_FRAMES, NUM_CHANNELS)).astype("float32")
    onsets = 600 * np.arange(1, 5 * NUM_SPIKES)
    lags, kinds = (6, 10, 14), rng.permutation(np.arange(len(onsets)) % 5)
    for onset, kind in zip(onsets, kinds, strict=True):
        # Two of five spikes are those of one neuron alone; each of three units holds pairs of similar lags.
        places = {0: onset} if kind == 3 else {1: onset} if kind == 4 else {0: onset, 1: onset + lags[kind]}
        for unit, place in places.items():
            place += rng.integers(-2, 3) if unit else 0
            traces[place : place + num_samples] += (1 + 0.05 * rng.standard_normal()) * values[unit]
    sums = [values[0] + np.roll(values[1], lag, axis=0) for lag in lags]
    counts = np.bincount(kinds)
    templates = as_templates([*values, *sums], [counts[3] + 40, counts[4] + 40, *counts[:3]])
    trains = [onsets[kinds == kind] + templates.nbefore for kind in (3, 4, 0, 1, 2)]
    assert (
        find_redundant_units(as_recording(traces), spikes_of(trains), templates, **RULES).tolist()
        == [False] * 2 + [True] * 3
    )


def test_a_rarer_unit_does_not_keep_a_collision_that_larger_units_explain(monkeypatch):
    """Templates are fitted one after the other: with a rarer sum among them, they may explain the spikes worse."""
    traces, spikes, templates = scene(np.zeros(NUM_SPIKES, dtype=int))
    rare = np.zeros_like(templates.values[0])
    rare[:, -1] = 5.0 * np.hanning(len(rare))
    templates = as_templates([*templates.values, rare], [500, 500, NUM_SPIKES, NUM_SPIKES // 2])

    def gains(traces, parts, templates, unit, others, *rest, **values):
        for part in parts:
            yield np.full(len(part), 1000.0 if 3 in others else -1000.0)

    monkeypatch.setattr(collisions, "spike_gains", gains)
    assert find_redundant_units(traces, spikes, templates, **RULES).tolist() == [False, False, True, False]


def test_a_neuron_with_spikes_of_others_is_no_collision():
    """Three of ten spikes of the third unit are pairs of the others; the rest are its own."""
    traces, spikes, templates = scene(np.zeros(NUM_SPIKES, dtype=int), extra=12.0)
    pairs, _, _ = scene(np.zeros(NUM_SPIKES, dtype=int))
    mixed = traces.get_traces().copy()
    for onset in 3000 * np.arange(1, NUM_SPIKES + 1)[np.arange(NUM_SPIKES) % 10 < 3]:
        mixed[onset - 100 : onset + 300] = pairs.get_traces(start_frame=onset - 100, end_frame=onset + 300)
    assert not find_redundant_units(as_recording(mixed), spikes, templates, **RULES).any()


def test_a_part_of_a_neuron_and_another_unit_do_not_explain_the_neuron():
    """A few noisy spikes of a neuron made a unit of their own, and a wave of another unit explains the difference."""
    rng = np.random.default_rng(0)
    neuron = padded_templates(1)[0]
    wave = np.zeros_like(neuron)
    wave[:, -1] = 6.0 * np.hanning(len(neuron))
    traces = rng.standard_normal((NUM_FRAMES, NUM_CHANNELS)).astype("float32")
    onsets = 1000 * np.arange(1, NUM_SPIKES + 1)
    for onset in onsets:
        traces[onset : onset + len(neuron)] += neuron
        traces[onset + 500 : onset + 500 + len(neuron)] += wave
    templates = as_templates([neuron, neuron - 0.9 * wave, wave], [NUM_SPIKES - 9, 9, NUM_SPIKES])
    trains = [train + templates.nbefore for train in (onsets[9:], onsets[:9], onsets + 500)]
    found = find_redundant_units(as_recording(traces), spikes_of(trains), templates, **RULES)
    assert not found[0] and not found[2]


@pytest.mark.parametrize("share_together", [0.0, 0.2])
def test_large_units_of_one_shape_and_two_sizes_are_two_if_they_fire_together(share_together):
    """On one channel the shapes of neurons are much alike. Units that never fire together may be parts of a neuron."""
    rng = np.random.default_rng(0)
    small = 50.0 * np.gradient(np.hanning(60))[:, None] / np.gradient(np.hanning(60)).max()
    large = 1.4 * small + 3.0 * np.hanning(60)[:, None]
    traces = rng.standard_normal((NUM_FRAMES, 1)).astype("float32")
    onsets = 1500 * np.arange(1, 2 * NUM_SPIKES + 1)
    own = [onsets[::2], onsets[1::2] - np.where(rng.random(NUM_SPIKES) < share_together, 1465, 700)]
    for frames, shape in zip(own, (small, large), strict=True):
        for onset in frames:
            traces[onset : onset + 60] += (1 + 0.03 * rng.standard_normal()) * shape
    templates = UnitTemplates(np.float32([small, large]), 28, np.full(2, NUM_SPIKES), np.full(1, 15.0))
    spikes = spikes_of([frames + 28 for frames in own])
    found = find_redundant_units(as_recording(traces), spikes, templates, **{**RULES, "fewest_others": 1})
    assert found.any() == (share_together == 0.0)


def test_a_spike_fits_a_mean_of_which_it_is_part_better_by_chance_alone():
    rng = np.random.default_rng(0)
    spikes = rng.standard_normal((2000, 12, 30))
    means = spikes.mean(axis=1, keepdims=True)
    without = (12 * means - spikes) / 11
    lost = np.mean(np.sum((spikes - without) ** 2 - (spikes - means) ** 2, axis=2))
    values = np.zeros((1, 30, NUM_CHANNELS))
    values[0, :, 0] = np.hanning(30)
    np.testing.assert_allclose(chance_gains(as_templates(values, 12)), lost / 30, rtol=0.1)


def test_a_unit_that_looks_like_a_sum_but_explains_its_spikes_better_is_kept():
    traces, spikes, templates = scene(np.zeros(NUM_SPIKES, dtype=int), extra=5.0)
    assert not find_redundant_units(traces, spikes, templates, **RULES).any()


def test_no_units_hold_no_collisions():
    templates = as_templates(np.zeros((0, 60, NUM_CHANNELS)))
    traces = as_recording(np.zeros((1000, NUM_CHANNELS), "float32"))
    assert len(find_redundant_units(traces, spikes_of([np.zeros(0, int)]), templates, **RULES)) == 0


def test_a_mixture_of_two_similar_units_is_found_among_the_units_that_one_other_explains():
    rng = np.random.default_rng(0)
    one = padded_templates(1)[0]
    other = one.copy()
    other[:, -1] = 5.0 * np.hanning(len(one))
    traces = rng.standard_normal((NUM_FRAMES, NUM_CHANNELS)).astype("float32")
    onsets = 500 * np.arange(1, 4 * NUM_SPIKES + 1)
    owners = np.arange(len(onsets)) % 4
    for onset, owner in zip(onsets, owners, strict=True):
        traces[onset : onset + len(one)] += one if owner in (0, 2) else other
    templates = as_templates([one, other, (one + other) / 2], [NUM_SPIKES, NUM_SPIKES, NUM_SPIKES])
    trains = [onsets[owners == 0], onsets[owners == 1], onsets[owners >= 2]]
    spikes = spikes_of([train + templates.nbefore for train in trains])
    rules = {**RULES, "fewest_others": 1}
    assert find_redundant_units(as_recording(traces), spikes, templates, **rules).tolist() == [False, False, True]


def test_a_unit_without_spikes_is_redundant_where_others_explain_its_template():
    traces, spikes, templates = scene(np.zeros(NUM_SPIKES, dtype=int))
    spikes = spikes[spikes["unit_index"] != 2]
    assert find_redundant_units(traces, spikes, templates, **RULES).tolist() == [False, False, True]


@pytest.mark.parametrize("num_samples", [1, 2, 4])
def test_templates_of_a_few_samples_are_judged_like_long_ones(num_samples):
    traces, spikes, templates = scene(np.zeros(NUM_SPIKES, dtype=int))
    short = templates.values[:, templates.nbefore : templates.nbefore + num_samples]
    few = UnitTemplates(np.ascontiguousarray(short), 0, templates.num_spikes, templates.noise_energy)
    redundant = find_redundant_units(traces, spikes, few, **RULES)
    assert not redundant[:2].any()


@pytest.mark.parametrize("scale", [1e2, 1e7])
def test_collisions_of_spikes_of_any_size_are_found(scale):
    traces, spikes, templates = scene(np.random.default_rng(1).integers(-4, 5, NUM_SPIKES))
    large = as_templates(scale * templates.values, templates.num_spikes)
    scaled = as_recording(np.float32(scale) * traces.get_traces())
    assert find_redundant_units(scaled, spikes, large, **RULES).tolist() == [False, False, True]


@pytest.mark.parametrize("number", [2, 5])
def test_threads_judge_units_as_one_thread_does(number):
    """A unit goes if an earlier one on which it depends is still there, so every judgement counts."""
    rng = np.random.default_rng(0)
    for density in (0.02, 0.2, 0.9):
        depends = rng.random((60, 60)) < density
        order = rng.permutation(60)

        def is_unit(unit, is_left, depends=depends, order=order):
            earlier = order[: np.flatnonzero(order == unit)[0]]
            return np.count_nonzero(depends[unit, earlier] & is_left[earlier]) % 3 != 1

        expected = _kept_one_by_one(is_unit, order, depends)
        with threads(number):
            np.testing.assert_array_equal(_kept_one_by_one(is_unit, order, depends), expected)
        assert 0 < np.count_nonzero(~expected)


@pytest.mark.parametrize("decisive", [0.0, 2.0])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_some_of_the_spikes_seldom_decide_otherwise_than_all(share, decisive):
    rng = np.random.default_rng(0)
    differ, early = 0, 0
    for doubtful in np.repeat(np.linspace(0.0, 1.0, 21), 50):
        gains = np.where(rng.random(40) < doubtful, -1.0, 1.0)
        asked = []
        decided = _most_gain(
            (asked.append(part) or part for part in (gains[::4], gains[2::4], gains[1::2])),
            40,
            least=0.0,
            decisive=decisive,
            share=share,
        )
        differ += decided != bool(np.quantile(gains, share) > 0 or np.median(gains) > decisive)
        early += len(asked) < 3
    assert early > 0.35 * 1050
    assert differ < 0.02 * 1050
