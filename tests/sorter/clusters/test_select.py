"""Selection of peaks: limited on each channel, in order, and the same for a seed."""

import numpy as np
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.clusters.select import select_peaks


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
