"""Embeddings: read around the right frame, limited in number, and aligned once clusters are known."""

import numpy as np
import pytest
from small_recording import as_recording, small_traces
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.deepsort import DeepSortSettings
from si_deepsort.sorter.embed import PeakWaveforms, describe_peaks, describe_waveforms, select_peaks
from si_deepsort.sorter.preprocess import preprocess


def make_peaks(frames, channels):
    peaks = np.zeros(len(frames), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = frames, channels
    return peaks


def test_waveforms_are_those_around_the_peak():
    traces = np.arange(20_000 * 3, dtype="float32").reshape(-1, 3)
    frames = np.array([50, 999, 1000, 12_345])
    waveforms = PeakWaveforms(
        as_recording(traces), make_peaks(frames, [0, 1, 2, 1]), radius_um=1000, nbefore=10, nafter=20, chunk_s=0.05
    )
    for position, frame in enumerate(frames):
        found = waveforms.on_channels(np.array([position]), np.arange(3))[0]
        np.testing.assert_array_equal(found, traces[frame - 10 : frame + 20])


def test_waveforms_at_the_edges_are_filled_with_zeros():
    traces = np.ones((1000, 2), dtype="float32")
    waveforms = PeakWaveforms(as_recording(traces), make_peaks([2, 998], [0, 1]), radius_um=100, nbefore=5, nafter=5)
    assert waveforms.values[0, :3].sum() == 0 and waveforms.values[1, 7:].sum() == 0
    assert np.all(waveforms.values[0, 3:] == 1)


def test_selection_keeps_order_and_limits_each_channel():
    rng = np.random.default_rng(0)
    peaks = make_peaks(np.sort(rng.integers(0, 10**6, 3000)), rng.choice(3, 3000, p=[0.9, 0.09, 0.01]))
    kept = select_peaks(peaks, most_per_channel=200, seed=0)
    assert np.all(np.diff(kept["sample_index"]) >= 0)
    assert np.bincount(kept["channel_index"]).tolist() == [200, 200, np.sum(peaks["channel_index"] == 2)]
    np.testing.assert_array_equal(kept, select_peaks(peaks, most_per_channel=200, seed=0))
    assert len(select_peaks(peaks[:0], most_per_channel=200, seed=0)) == 0


def test_coefficients_of_a_direction_are_its_size_on_each_channel():
    directions = np.eye(4, 20, dtype="float32")
    waveform = np.zeros((1, 20, 3), dtype="float32")
    waveform[0, 2] = [5.0, 7.0, 0.0]
    np.testing.assert_array_equal(
        describe_waveforms(waveform, directions)[0].reshape(4, 3), [[0, 0, 0], [0, 0, 0], [5, 7, 0], [0, 0, 0]]
    )


def test_late_and_early_peaks_are_aligned_to_their_cluster():
    traces, trains = small_traces(num_units=1, duration_s=6.0)
    white = preprocess(as_recording(traces), DeepSortSettings())
    jitter = np.random.default_rng(0).integers(-2, 3, len(trains[0]))
    peaks = make_peaks(trains[0] + jitter, np.full(len(trains[0]), 1))
    _, aligned = describe_peaks(white, white, peaks, DeepSortSettings())
    offsets = aligned(np.zeros(len(peaks), int)) - trains[0]
    assert np.std(offsets) < 0.5 * np.std(jitter)


def test_unknown_embedding_is_refused():
    with pytest.raises(ValueError, match="embedding"):
        DeepSortSettings(embedding="umap")
