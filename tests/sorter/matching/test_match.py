"""Matching by all methods: what a template that is visible nowhere may do."""

import numpy as np
import pytest
from small_recording import SAMPLING_FREQUENCY, add_spikes, line_probe, spike_trains, unit_templates
from spikeinterface.core import NumpyRecording

from si_deepsort.sorter.matching.match import MatchingValues, match_templates

JOBS = dict(n_jobs=1, chunk_duration="1s", progress_bar=False)


@pytest.mark.parametrize("method", ["pursuit", "circus-omp", "tdc-peeler", "nearest"])
def test_a_template_that_is_visible_nowhere_changes_nothing(method):
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((round(2 * SAMPLING_FREQUENCY), 4)).astype("float32")
    templates, nbefore = unit_templates(2, 4, amplitude_uV=20.0)
    add_spikes(traces, spike_trains(2, len(traces), rng), templates, nbefore)
    recording = NumpyRecording([traces], SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(4))
    templates = templates.astype("float32")
    values = MatchingValues(method=method, threshold=18.0, amplitude_variance=0.02, seed=0)
    expected = match_templates(recording, templates, nbefore, values, job_kwargs=JOBS)
    with_another = np.stack([templates[0], np.zeros_like(templates[0]), templates[1]])
    found = match_templates(recording, with_another, nbefore, values, job_kwargs=JOBS)
    assert len(expected) > 20
    np.testing.assert_array_equal(found["sample_index"], expected["sample_index"])
    np.testing.assert_array_equal(found["unit_index"], 2 * expected["unit_index"])
    assert len(match_templates(recording, with_another[1:2], nbefore, values, job_kwargs=JOBS)) == 0
