"""Separating neuron and background without labels: units and gains do not matter, and wrong borders are moved."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from si_deepsort.known_units.separate_neuron import _most_agreed, scale_to_noise, separate_neuron

SPIKE = -14 * np.exp(-(((np.arange(42) - 14) / 2.5) ** 2)) + 5 * np.exp(-(((np.arange(42) - 26) / 6.0) ** 2))
BUMP = -4 * np.exp(-(((np.arange(42) - 13) / 2.0) ** 2))


def make_channel(seed=0, num_spikes=200, num_background=1500):
    rng = np.random.default_rng(seed)
    background = BUMP * rng.gamma(4, 0.25, (num_background, 1))
    spikes = SPIKE * rng.normal(1, 0.08, (num_spikes, 1))
    waveforms = np.concatenate([background, spikes]) + rng.standard_normal((num_background + num_spikes, 42))
    return waveforms, np.repeat([False, True], [num_background, num_spikes])


def test_the_neuron_is_found_without_labels_and_without_scores():
    waveforms, is_spike = make_channel()
    assert ((separate_neuron(scale_to_noise(waveforms)) > 0) == is_spike).mean() > 0.98


@pytest.mark.parametrize("gain, offset, sign", [(31.0, 0.0, 1), (0.002, 5.0, 1), (8.0, -300.0, -1)])
def test_unit_offset_and_polarity_of_the_waveforms_do_not_matter(gain, offset, sign):
    waveforms, _ = make_channel()
    one = separate_neuron(scale_to_noise(waveforms)) > 0
    other = separate_neuron(scale_to_noise(sign * gain * waveforms + offset)) > 0
    assert (one == other).mean() > 0.995


@pytest.mark.parametrize("shift", [-1.5, 3.0])
def test_a_border_that_does_not_fit_the_channel_is_moved(shift):
    waveforms, is_spike = make_channel()
    rng = np.random.default_rng(1)
    scores = np.where(is_spike, 2.0, -2.0) + rng.standard_normal(len(is_spike)) + shift
    wrong = ((scores > 0) != is_spike).mean()
    moved = ((separate_neuron(scale_to_noise(waveforms), scores=scores) > 0) != is_spike).mean()
    assert moved < 0.3 * wrong


def test_where_a_class_is_empty_the_scores_decide(caplog):
    waveforms, _ = make_channel()
    scores = np.full(len(waveforms), -1.0)
    np.testing.assert_array_equal(separate_neuron(scale_to_noise(waveforms), scores=scores), scores)
    assert "scores are not adapted" in caplog.text
    assert len(separate_neuron(np.zeros((0, 42)))) == 0


def mixed_scores(is_spike, seed):
    """Log-odds of a classifier of another channel: the order is mostly right, border and scale are not."""
    rng = np.random.default_rng(1000 + seed)
    distance = rng.uniform(1.5, 5)
    scores = np.where(is_spike, distance, -distance) + rng.standard_normal(len(is_spike)) * rng.uniform(0.7, 2)
    return (scores + rng.uniform(-0.9, 1.2) * distance) * np.exp(rng.uniform(-0.5, 1.0))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_border_a_classifier_brings_the_neuron_is_found(seed):
    waveforms, is_spike = make_channel(seed, num_spikes=80 + 40 * seed)
    found = separate_neuron(waveforms, scores=mixed_scores(is_spike, seed), seed=seed) > 0
    assert f1_score(is_spike, found) > 0.95


def test_a_fit_in_a_wrong_optimum_is_outvoted():
    is_spike = np.arange(500) < 60
    scores = np.where(is_spike, 1.0, -1.0) + np.linspace(0, 1, 500)
    wrong, right, nearly = np.arange(500) % 2 == 0, is_spike, np.arange(500) < 64
    assert _most_agreed([wrong, right, nearly], scores) == 1
    assert _most_agreed([wrong, nearly], scores) == 1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="NaN"):
        separate_neuron(np.full((30, 42), np.nan))
    with pytest.raises(ValueError, match="one score each"):
        separate_neuron(np.zeros((30, 42)), scores=np.zeros(3))
    with pytest.raises(ValueError, match="dead channel"):
        scale_to_noise(np.ones((30, 42)))
