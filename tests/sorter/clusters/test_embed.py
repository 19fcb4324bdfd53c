"""Embeddings of peaks: their coefficients, or codes of the autoencoder that tell units apart."""

from dataclasses import replace

import numpy as np
import pytest
from small_recording import unit_templates
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.clusters.describe import ALIGN_SAMPLES, EMBEDDING_DIRECTIONS, PeakDescriptions
from si_deepsort.sorter.clusters.embed import FEWEST_CHANNELS, as_waveforms, peak_embeddings
from si_deepsort.sorter.settings import DeepSortSettings

NUM_SAMPLES = 51
NUM_CHANNELS = FEWEST_CHANNELS
LOCATIONS = np.stack([np.zeros(NUM_CHANNELS), 25.0 * np.arange(NUM_CHANNELS)], axis=1)
PROBE = dict(channel_locations=LOCATIONS, sampling_frequency=30_000.0)


@pytest.fixture
def descriptions():
    """Twenty peaks of each of two units in white noise, all on channel 1."""
    rng = np.random.default_rng(0)
    shapes, _ = unit_templates(2, NUM_CHANNELS, amplitude_uV=40.0)
    shapes = shapes[:, :NUM_SAMPLES]
    waveforms = np.repeat(shapes, 20, axis=0) + rng.standard_normal((40, *shapes.shape[1:]))
    aligned = np.linalg.svd(np.swapaxes(shapes, 1, 2).reshape(-1, shapes.shape[1]), full_matrices=True)[2]
    directions = np.pad(aligned[:EMBEDDING_DIRECTIONS], ((0, 2), (ALIGN_SAMPLES, ALIGN_SAMPLES)))
    directions[-2, 0] = directions[-1, -1] = 1.0
    padded = np.pad(waveforms, ((0, 0), (ALIGN_SAMPLES, ALIGN_SAMPLES), (0, 0)))
    coefficients = np.einsum("nsc,ks->nkc", padded, directions).astype("float16")
    peaks = np.zeros(40, dtype=base_peak_dtype)
    peaks["channel_index"] = 1
    return PeakDescriptions(
        coefficients, directions.astype("float32"), peaks, np.tile(np.arange(NUM_CHANNELS), (NUM_CHANNELS, 1))
    )


def test_pca_sees_the_directions_of_aligned_spikes_only(descriptions):
    positions = np.arange(5)
    embedded = peak_embeddings(descriptions, "pca", **PROBE)(1, positions)
    expected = descriptions.of_channel(1, positions)[:, :EMBEDDING_DIRECTIONS]
    np.testing.assert_array_equal(embedded.reshape(expected.shape), expected)


def test_on_few_channels_the_autoencoder_leaves_peaks_to_pca(descriptions):
    neighbors = descriptions.neighbors.copy()
    neighbors[1, 2:] = -1
    few, positions = replace(descriptions, neighbors=neighbors), np.arange(5)
    by_pca = peak_embeddings(few, "pca", **PROBE)(1, positions)
    np.testing.assert_array_equal(peak_embeddings(few, "autoencoder", **PROBE)(1, positions), by_pca)
    assert peak_embeddings(descriptions, "autoencoder", **PROBE)(1, positions).shape[1] % FEWEST_CHANNELS == 0


@pytest.mark.parametrize("embedding", ["pca", "autoencoder"])
def test_units_are_farther_apart_than_their_spikes(descriptions, embedding):
    features = peak_embeddings(descriptions, embedding, **PROBE)(1, np.arange(40))
    first, second = features[:20], features[20:]
    assert np.isfinite(features).all() and len(features) == 40
    distance = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    line = (first.mean(axis=0) - second.mean(axis=0)) / distance
    assert distance > 3 * max(np.std(first @ line), np.std(second @ line))


def test_a_waveform_at_another_rate_is_the_same_for_the_network(descriptions):
    """Directions of 24 kHz and of 30 kHz that are the same function of time give the same waveforms, up to noise."""
    found = []
    for frequency in (30_000.0, 24_000.0):
        num_samples = round(0.7e-3 * frequency) + round(1e-3 * frequency) + 2 * ALIGN_SAMPLES
        times = (np.arange(num_samples) - round(0.7e-3 * frequency) - ALIGN_SAMPLES) / frequency
        direction = np.exp(-((times / 0.2e-3) ** 2))
        direction /= np.linalg.norm(direction)
        coefficients = np.full((1, 1, 3), 10.0, dtype="float16")
        one = replace(
            descriptions,
            coefficients=coefficients,
            directions=direction[None].astype("float32"),
            peaks=descriptions.peaks[:1],
        )
        found.append(as_waveforms(one, np.array([0]), frequency))
    assert found[0].shape == found[1].shape == (1, 3, 61)
    np.testing.assert_allclose(found[1], found[0], atol=0.1)


def test_unknown_embedding_is_refused():
    with pytest.raises(ValueError, match="embedding"):
        DeepSortSettings(embedding="umap")
