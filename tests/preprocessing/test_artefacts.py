"""Artefacts are blanked on probes of any size, and nothing else is."""

import numpy as np
import pytest

from si_deepsort.preprocessing.artefacts import ArtefactRule, artefact_rule, blank_artefacts

RATE = 30_000.0


def rule_for(num_channels, num_dead=0, pitch_um=20.0, num_shanks=1):
    depths = pitch_um * np.tile(np.arange(num_channels // num_shanks), num_shanks)
    locations = np.column_stack([np.zeros(num_channels), depths])
    shanks = np.repeat(np.arange(num_shanks), num_channels // num_shanks)
    locations, shanks = (np.concatenate([each, each[:num_dead]]) for each in (locations, shanks))
    return artefact_rule(locations, shanks, np.arange(num_channels + num_dead) < num_channels, RATE)


@pytest.mark.parametrize(("num_channels", "level"), [(1, 200.0), (4, 200.0), (16, 40.0), (32, 15.0)])
@pytest.mark.parametrize("num_dead", [0, 1])
def test_moments_at_which_most_living_channels_are_loud_are_blanked(num_channels, level, num_dead):
    traces = np.random.default_rng(0).standard_normal((2000, num_channels + num_dead)).astype("float32")
    traces[:, num_channels:] = 0.0
    traces[1000, :num_channels] = level
    rule = rule_for(num_channels, num_dead)
    blank_artefacts(traces, rule)
    is_blank = np.all(traces == 0, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_blank), np.arange(1000 - rule.reach, 1001 + rule.reach))


@pytest.mark.parametrize("num_channels", [4, 16, 64])
def test_an_artefact_is_blanked_until_it_has_decayed(num_channels):
    traces = np.random.default_rng(0).standard_normal((3000, num_channels)).astype("float32")
    decay = 400 * np.exp(-np.arange(2000) / 90.0)
    traces[1000:] += decay[:, None].astype("float32")
    blank_artefacts(traces, rule_for(num_channels))
    assert np.abs(traces[1000:]).max() < 6


def test_a_large_spike_on_a_few_channels_stays():
    traces = np.random.default_rng(0).standard_normal((1000, 16)).astype("float32")
    traces[500, :8] = 100.0
    before = traces.copy()
    blank_artefacts(traces, rule_for(16))
    np.testing.assert_array_equal(traces, before)


def test_on_a_small_probe_a_spike_is_large_on_most_channels_and_an_artefact_on_nearly_all():
    traces = np.random.default_rng(0).standard_normal((1000, 8)).astype("float32")
    traces[500] += [60, 55, 50, 45, 40, 35, 20, 10]
    before = traces.copy()
    blank_artefacts(traces, rule_for(8))
    np.testing.assert_array_equal(traces, before)
    traces[500] += [200, 200, 200, 200, 200, 200, 200, 0]
    blank_artefacts(traces, rule_for(8))
    assert np.all(traces[500] == 0)


@pytest.mark.parametrize(("num_channels", "pitch_um"), [(4, 20.0), (8, 25.0), (16, 10.0), (32, 5.0)])
def test_the_level_is_high_where_a_spike_may_be_seen_on_half_of_the_channels(num_channels, pitch_um):
    assert rule_for(num_channels, pitch_um=pitch_um).level >= 30
    assert rule_for(64, pitch_um=20.0).level == rule_for(64, pitch_um=5.0, num_shanks=4).level == 10


@pytest.mark.parametrize("shape", [(0, 4), (100, 4), (100, 0)])
def test_nothing_is_no_artefact(shape):
    traces = np.zeros(shape, "float32")
    blank_artefacts(traces, ArtefactRule(150.0, 1, shape[1], decay=10, reach=10))
    assert traces.shape == shape
