"""Embeddings of peaks: their coefficients, or codes of the autoencoder that tell units apart."""

import numpy as np
import pytest
from small_recording import unit_templates
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.clusters.describe import ALIGN_SAMPLES, EMBEDDING_DIRECTIONS, PeakDescriptions
from si_deepsort.sorter.clusters.embed import peak_embeddings
from si_deepsort.sorter.settings import DeepSortSettings

NUM_SAMPLES = 51


@pytest.fixture
def descriptions():
    """Twenty peaks of each of two units in white noise, all on channel 1 of 3."""
    rng = np.random.default_rng(0)
    shapes, _ = unit_templates(2, 3, amplitude_uV=40.0)
    shapes = shapes[:, :NUM_SAMPLES]
    waveforms = np.repeat(shapes, 20, axis=0) + rng.standard_normal((40, *shapes.shape[1:]))
    aligned = np.linalg.svd(np.swapaxes(shapes, 1, 2).reshape(-1, shapes.shape[1]), full_matrices=True)[2]
    directions = np.pad(aligned[:EMBEDDING_DIRECTIONS], ((0, 2), (ALIGN_SAMPLES, ALIGN_SAMPLES)))
    directions[-2, 0] = directions[-1, -1] = 1.0
    padded = np.pad(waveforms, ((0, 0), (ALIGN_SAMPLES, ALIGN_SAMPLES), (0, 0)))
    coefficients = np.einsum("nsc,ks->nkc", padded, directions).astype("float16")
    peaks = np.zeros(40, dtype=base_peak_dtype)
    peaks["channel_index"] = 1
    return PeakDescriptions(coefficients, directions.astype("float32"), peaks, np.tile([0, 1, 2], (3, 1)))


def test_pca_sees_the_directions_of_aligned_spikes_only(descriptions):
    positions = np.arange(5)
    embedded = peak_embeddings(descriptions, "pca")(1, positions)
    expected = descriptions.of_channel(1, positions)[:, :EMBEDDING_DIRECTIONS]
    np.testing.assert_array_equal(embedded.reshape(expected.shape), expected)


@pytest.mark.parametrize("embedding", ["pca", "autoencoder"])
def test_units_are_farther_apart_than_their_spikes(descriptions, embedding):
    features = peak_embeddings(descriptions, embedding)(1, np.arange(40))
    first, second = features[:20], features[20:]
    assert np.isfinite(features).all() and len(features) == 40
    distance = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    line = (first.mean(axis=0) - second.mean(axis=0)) / distance
    assert distance > 3 * max(np.std(first @ line), np.std(second @ line))


def test_unknown_embedding_is_refused():
    with pytest.raises(ValueError, match="embedding"):
        DeepSortSettings(embedding="umap")
