"""Cached white traces: the stored numbers are those of the recording, however many are computed at once."""

import numpy as np
import pytest
from small_recording import as_recording

from si_deepsort.sorter.front_end import cache


@pytest.mark.parametrize("most_samples", [1, 700, 6_000_000])
def test_stored_traces_do_not_depend_on_how_many_samples_are_computed_at_once(tmp_path, monkeypatch, most_samples):
    monkeypatch.setattr(cache, "MOST_SAMPLES", most_samples)
    traces = np.random.default_rng(0).standard_normal((1001, 3)).astype("float32")
    jobs = dict(n_jobs=1, chunk_size=400, progress_bar=False)
    stored = cache.cache_traces(as_recording(traces), mode="folder", folder=tmp_path / "traces", job_kwargs=jobs)
    np.testing.assert_array_equal(stored.get_traces(), traces.astype("float16").astype("float32"))
