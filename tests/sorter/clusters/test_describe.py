"""Descriptions of peaks: coefficients of their waveforms, and aligned once clusters are known."""

import numpy as np
import pytest
from small_recording import as_recording, small_traces, white_recording_of
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.clusters.describe import describe_peaks


def make_peaks(frames, channels):
    peaks = np.zeros(len(frames), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = frames, channels
    return peaks


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


def test_late_and_early_peaks_are_aligned_to_their_cluster(jittered):
    _, train, jitter, descriptions = jittered
    offsets = descriptions.aligned(np.zeros(len(train), int)) - train
    assert np.std(offsets) < 0.5 * np.std(jitter)
    np.testing.assert_array_equal(descriptions.aligned(np.full(len(train), -1)), train + jitter)
