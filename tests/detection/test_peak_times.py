"""The time of a spike is that of the largest sample of its waveform, wherever the energy is largest."""

import numpy as np
import pytest

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import DEFAULT_FRONT_END, apply_front_end
from si_deepsort.detection.peak_times import extremum_frames
from si_deepsort.detection.prepare import prepare_detector
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe

QUIET = dict(progress_bar=False, n_jobs=1)


@pytest.fixture(scope="module")
def one_neuron():
    settings = GenerationSettings(
        duration_s=8.0, num_units=1, num_far_units=0, amplitude_min_uV=150.0, firing_rate_min=14.0, seed=2
    )
    recording, sorting = generate_recording(named_probe("tetrode"), settings)
    return recording.save(format="memory", progress_bar=False), sorting.to_spike_vector()["sample_index"]


def test_the_largest_sample_of_any_waveform_in_the_directions_is_found(one_neuron):
    white = apply_front_end(one_neuron[0], DEFAULT_FRONT_END)
    filters = prepare_detector(white, "detector-cnn").finder.filters
    rng = np.random.default_rng(0)
    num_samples = filters.directions.shape[1]
    starts = np.arange(20) * 2 * num_samples
    waveforms = rng.standard_normal((len(starts), len(filters.directions))) @ filters.directions
    channels = rng.integers(0, 4, len(starts))
    traces = np.zeros((starts[-1] + num_samples, 4), dtype="float32")
    for start, waveform, channel in zip(starts, waveforms, channels, strict=True):
        traces[start : start + num_samples] = np.outer(waveform, filters.profiles[-1, channel])
    found = extremum_frames(traces, filters, starts + filters.nbefore, channels)
    np.testing.assert_array_equal(found, starts + np.abs(waveforms).argmax(axis=1))
    assert len(extremum_frames(traces, filters, starts[:0], channels[:0])) == 0


@pytest.mark.parametrize("method", ["energy", "cnn"])
def test_peaks_lie_at_the_spikes(one_neuron, method):
    recording, spikes = one_neuron
    peaks = find_peaks(recording, method=method, job_kwargs=QUIET)
    assert np.median(np.abs(spikes[:, None] - peaks["sample_index"]).min(axis=1)) <= 3


def test_times_do_not_depend_on_the_chunks(one_neuron):
    recording, _ = one_neuron
    short, long = (
        find_peaks(recording, method="energy", threshold=10.0, job_kwargs=dict(**QUIET, chunk_duration=chunk))
        for chunk in ("0.2s", "4s")
    )
    np.testing.assert_array_equal(short["sample_index"], long["sample_index"])
