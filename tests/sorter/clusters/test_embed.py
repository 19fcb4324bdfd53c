"""Embeddings: read around the right frame, limited in number, and aligned once clusters are known."""

import numpy as np
import pytest
from small_recording import as_recording, small_traces, white_recording_of
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.adapter import DeepSortSettings
from si_deepsort.sorter.clusters.embed import (
    ALIGN_SAMPLES,
    NUM_DIRECTIONS,
    describe_peaks,
    peak_embeddings,
    select_peaks,
)


def make_peaks(frames, channels):
    peaks = np.zeros(len(frames), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = frames, channels
    return peaks


def test_selection_keeps_order_and_limits_each_channel():
    rng = np.random.default_rng(0)
    peaks = make_peaks(np.sort(rng.integers(0, 10**6, 3000)), rng.choice(3, 3000, p=[0.9, 0.09, 0.01]))
    kept = select_peaks(peaks, most_per_channel=200, seed=0)
    assert np.all(np.diff(kept["sample_index"]) >= 0)
    assert np.bincount(kept["channel_index"]).tolist() == [200, 200, np.sum(peaks["channel_index"] == 2)]
    np.testing.assert_array_equal(kept, select_peaks(peaks, most_per_channel=200, seed=0))
    assert len(select_peaks(peaks[:0], most_per_channel=200, seed=0)) == 0


@pytest.fixture(scope="module")
def jittered():
    """Descriptions of the spikes of one unit, detected up to 2 samples early or late."""
    traces, trains = small_traces(num_units=1, duration_s=6.0)
    white = white_recording_of(as_recording(traces))
    jitter = np.random.default_rng(0).integers(-2, 3, len(trains[0]))
    peaks = make_peaks(trains[0] + jitter, np.full(len(trains[0]), 1))
    return white, trains[0], jitter, describe_peaks(white, white.whitening, peaks, radius_um=80.0)


def test_descriptions_are_the_projections_of_the_waveforms(jittered):
    white, _, _, descriptions = jittered
    directions, peaks = descriptions.directions, descriptions.peaks
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-5)
    num_samples = directions.shape[1]
    traces = white.get_traces(0)
    position = len(peaks) // 2
    channels = descriptions.neighbors[1][descriptions.neighbors[1] >= 0]
    residuals = []
    # The peak lies where the energy detector's directions have it, after the margin
    for nbefore in range(num_samples):
        start = peaks["sample_index"][position] - nbefore
        expected = directions @ traces[start : start + num_samples, channels]
        residuals.append(np.abs(descriptions.of_channel(1, np.array([position]))[0] - expected).max())
    assert min(residuals) < 0.05 < np.median(residuals)


def test_embeddings_see_the_directions_of_aligned_spikes_alone(jittered):
    _, _, _, descriptions = jittered
    assert np.all(descriptions.directions[:NUM_DIRECTIONS, :ALIGN_SAMPLES] == 0)
    positions = np.arange(5)
    embedded = peak_embeddings(descriptions, "pca", 20_000.0)(1, positions)
    expected = descriptions.of_channel(1, positions)[:, :NUM_DIRECTIONS]
    np.testing.assert_array_equal(embedded.reshape(expected.shape), expected)


def test_late_and_early_peaks_are_aligned_to_their_cluster(jittered):
    _, train, jitter, descriptions = jittered
    offsets = descriptions.aligned(np.zeros(len(train), int)) - train
    assert np.std(offsets) < 0.5 * np.std(jitter)
    np.testing.assert_array_equal(descriptions.aligned(np.full(len(train), -1)), train + jitter)


def test_unknown_embedding_is_refused():
    with pytest.raises(ValueError, match="embedding"):
        DeepSortSettings(embedding="umap")
