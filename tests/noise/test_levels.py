"""Samples of a recording from which noise is measured."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.noise import levels, sample_traces


@pytest.mark.parametrize("num_channels", [1, 20])
def test_samples_are_bounded_however_many_channels_there_are(monkeypatch, num_channels):
    monkeypatch.setattr(levels, "MOST_SAMPLED", 20_000)
    traces = np.arange(50_000)[:, None] + np.zeros(num_channels)
    sample = sample_traces(si.NumpyRecording([traces], 1000.0), num_chunks=20, chunk_s=0.5)
    assert sample.dtype == np.float32 and sample.size <= 20_000
    assert len(sample) == (10_000 if num_channels == 1 else 1000)
    assert np.ptp(sample[:, 0]) > 30_000, "chunks come from all of the recording"
