"""The autoencoder is PCA at its start and better than PCA at its end."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from small_units import make_recording

from si_deepsort.nets.autoencoder import Autoencoder, AutoencoderConfig
from si_deepsort.training.embedding.train import (
    AutoencoderTrainingSettings,
    fit_autoencoder,
    reconstruction_errors,
    train_autoencoder,
)
from si_deepsort.zoo import load_model


def curved_waveforms(number=800, seed=0):
    """One bump that moves in time: a curve that two dimensions hold and two principal components do not."""
    rng = np.random.default_rng(seed)
    centers, gains = rng.uniform(14, 26, (number, 1)), rng.uniform(5, 15, (number, 1))
    clean = -gains * np.exp(-(((np.arange(40) - centers) / 3.0) ** 2))
    return (clean + 0.3 * rng.standard_normal(clean.shape)).astype("float32")[:, None]


def test_started_from_pca_it_is_pca():
    waveforms = torch.from_numpy(np.random.default_rng(0).standard_normal((300, 4, 20)).astype("float32"))
    net = Autoencoder(AutoencoderConfig(num_samples=20, num_channels=4, embedding_dimension=6))
    net.start_from_pca(waveforms)
    flat = waveforms.flatten(1).numpy()
    pca = PCA(6).fit(flat)
    with torch.no_grad():
        assert net.encode(waveforms).shape == (300, 6)
        np.testing.assert_allclose(net(waveforms).flatten(1), pca.inverse_transform(pca.transform(flat)), atol=1e-4)


def test_more_dimensions_than_samples_are_allowed():
    waveforms = torch.randn(50, 1, 4)
    net = Autoencoder(AutoencoderConfig(num_samples=4, embedding_dimension=7, widths=()))
    net.start_from_pca(waveforms)
    with torch.no_grad():
        torch.testing.assert_close(net(waveforms), waveforms, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_it_beats_pca_on_held_out_waveforms_that_lie_on_a_curve():
    waveforms, held_out = curved_waveforms(), curved_waveforms(seed=1)
    settings = AutoencoderTrainingSettings(embedding_dimension=2, num_epochs=15, progress_bar=False, device="cpu")
    errors = reconstruction_errors(fit_autoencoder(waveforms, settings=settings), waveforms, held_out)
    assert errors["autoencoder_error"] < 0.9 * errors["pca_error"]


def test_it_is_never_worse_than_pca_on_what_stopped_it():
    waveforms = np.random.default_rng(0).standard_normal((200, 1, 30)).astype("float32")
    is_held_out = np.arange(200) % 4 == 0
    wild = AutoencoderTrainingSettings(num_epochs=2, learning_rate=0.5, progress_bar=False, device="cpu")
    net = fit_autoencoder(waveforms, is_held_out=is_held_out, settings=wild)
    errors = reconstruction_errors(net, waveforms[~is_held_out], waveforms[is_held_out])
    assert errors["autoencoder_error"] <= errors["pca_error"] * 1.0001


@pytest.mark.slow
def test_it_is_trained_on_a_recording(tmp_path):
    settings = AutoencoderTrainingSettings(num_epochs=3, progress_bar=False, device="cpu")
    trained = train_autoencoder(*make_recording(duration_s=5.0), folder=tmp_path / "model", settings=settings)
    net = trained.net
    assert net.info.metrics["autoencoder_error"] <= net.info.metrics["pca_error"] * 1.0001
    again = load_model(tmp_path / "model")
    inputs = torch.randn(2, 1, again.config.num_samples)
    with torch.no_grad():
        torch.testing.assert_close(net(inputs), again(inputs))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="NaN"):
        fit_autoencoder(np.full((20, 30), np.nan))
    with pytest.raises(ValueError, match="more spikes"):
        fit_autoencoder(np.zeros((3, 30)))
