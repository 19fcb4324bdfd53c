"""Noise is measured in labelled waveforms, and more of it makes a network fit for noisier recordings."""

import numpy as np
import pytest
import scipy.signal
import torch

from si_deepsort.training.classification.augment import augment
from si_deepsort.training.classification.class_noise import measure_class_noise

SHAPES = 8 * np.stack([np.exp(-(((np.arange(40) - centre) / 3.0) ** 2)) for centre in (14, 16, 26)])


def make_waveforms(level=1.0, num=400, seed=0):
    """Waveforms of three classes in low-pass noise of a level."""
    rng = np.random.default_rng(seed)
    noise = scipy.signal.lfilter([1.0], [1.0, -0.7], rng.standard_normal((num, 140)), axis=1)[:, 100:]
    classes = rng.integers(0, 3, num)
    return (SHAPES[classes] + level * noise)[:, None].astype("float32"), classes


def test_residuals_have_the_covariance_of_the_noise():
    waveforms, classes = make_waveforms(num=3000)
    measured = np.cov(measure_class_noise(waveforms, classes).residuals[:, 0].T)
    expected = np.cov(make_waveforms(num=3000, seed=1)[0][:, 0].T - SHAPES[make_waveforms(num=3000, seed=1)[1]].T)
    np.testing.assert_allclose(measured, expected, atol=0.35)


@pytest.mark.parametrize("level", [0.5, 1.0, 2.0])
def test_the_larger_the_noise_the_less_of_it_is_added(level):
    one, half = (measure_class_noise(*make_waveforms(each)).largest_factor for each in (level, level / 2))
    assert half > one
    # In all, as much noise as leaves the classes apart: the same whatever the recording had.
    np.testing.assert_allclose(level * np.hypot(1, one), level / 2 * np.hypot(1, half), rtol=0.1)


def test_a_class_of_many_shapes_does_not_count_as_noise():
    waveforms, classes = make_waveforms()
    others = 30 * np.random.default_rng(2).standard_normal((200, 1, 40)).astype("float32")
    pure = measure_class_noise(waveforms, classes).residuals.std()
    mixed = measure_class_noise(np.concatenate([waveforms, others]), np.r_[classes, np.full(200, 3)])
    assert mixed.residuals.std() == pytest.approx(pure, rel=0.1)


def test_few_waveforms_and_equal_classes_give_no_noise():
    waveforms, classes = make_waveforms(num=9)
    assert measure_class_noise(waveforms, classes).largest_factor == 0
    waveforms, classes = make_waveforms(num=300)
    assert measure_class_noise(waveforms, np.random.default_rng(0).integers(0, 2, 300)).largest_factor == 0
    assert measure_class_noise(waveforms, np.zeros(300, dtype=int)).largest_factor == 0


def test_augmentation_adds_up_to_the_factor():
    waveforms, residuals = torch.zeros(4000, 1, 40), torch.randn(500, 1, 40)
    still = dict(gain_sd=0.0, shift_max=0, noise_sd=0.0, overlap_fraction=0.0, overlap_distance=0.25)
    varied = augment(
        waveforms, waveforms, torch.Generator().manual_seed(0), noise_factor=3.0, residuals=residuals, **still
    )
    levels = varied.std(dim=2).squeeze()
    assert levels.max() < 3.0 * 1.6 and levels.min() < 0.2
    # Uniform levels from 0 to 3 have a mean square of 3.
    assert varied.square().mean() == pytest.approx(3.0, rel=0.15)
