"""Separating neuron and background without labels: units and gains do not matter, and wrong borders are moved."""

import numpy as np
import pytest

from si_deepsort.channel_mixture import cluster_by_density, principal_components, scale_to_noise, separate_neuron

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
    assert "nothing to adapt" in caplog.text
    assert len(separate_neuron(np.zeros((0, 42)))) == 0


def test_density_clusters_are_found_at_any_spread_and_one_blob_is_one_cluster():
    rng = np.random.default_rng(0)
    blobs = rng.standard_normal((600, 3))
    blobs[300:, 0] += 9
    for spread in (0.5, 1.0):
        labels, eps = cluster_by_density(blobs * spread)
        assert len(np.unique(labels)) == 2 and eps < 9 * spread
        assert len(np.unique(labels[:300])) == len(np.unique(labels[300:])) == 1
    assert (cluster_by_density(rng.standard_normal((3, 3)))[0] == 0).all()


def test_principal_components_keep_distances_when_all_are_kept():
    waveforms = np.random.default_rng(0).standard_normal((50, 6))
    features = principal_components(waveforms, 6)
    np.testing.assert_allclose(
        np.linalg.norm(features[0] - features[1]), np.linalg.norm(waveforms[0] - waveforms[1]), rtol=1e-9
    )


@pytest.mark.parametrize("shape", [(50, 6), (20, 60), (5, 60), (1, 4), (0, 4), (4, 0)])
def test_principal_components_are_the_same_whichever_products_they_come_from(shape):
    waveforms = np.random.default_rng(0).standard_normal(shape)
    features = principal_components(waveforms, 9)
    assert features.shape == (shape[0], min(9, shape[1]))
    centered = waveforms - waveforms.mean(axis=0, keepdims=True) if len(waveforms) else waveforms
    sizes = np.linalg.svd(centered, compute_uv=False)[:9]
    found = np.linalg.norm(features, axis=0)
    np.testing.assert_allclose(found[: len(sizes)], sizes, atol=1e-9)
    np.testing.assert_allclose(found[len(sizes) :], 0, atol=1e-9)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="NaN"):
        separate_neuron(np.full((30, 42), np.nan))
    with pytest.raises(ValueError, match="one score each"):
        separate_neuron(np.zeros((30, 42)), scores=np.zeros(3))
    with pytest.raises(ValueError, match="dead channel"):
        scale_to_noise(np.ones((30, 42)))
