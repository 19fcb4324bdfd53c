"""The typical waveform of a recording is learnt from its large spikes, whatever their polarity."""

import numpy as np
import pytest

from si_deepsort.detection.candidates import CandidateFinder
from si_deepsort.detection.energy import make_energy_filters, spike_energy, spike_energy_at
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import DEFAULT_FRONT_END, apply_front_end
from si_deepsort.detection.typical_waveform import learn_waveform, make_typical_filters
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.preprocessing.whitening import Whitening

FREQUENCY = 30_000.0


@pytest.fixture(scope="module")
def scene():
    """White traces of a tetrode with neurons of one polarity, the finder of their energy, and the whitening."""
    settings = GenerationSettings(duration_s=8.0, num_units=4, num_far_units=0, amplitude_min_uV=120.0, seed=3)
    recording, sorting = generate_recording(named_probe("tetrode"), settings)
    white = apply_front_end(recording.save(format="memory", progress_bar=False), DEFAULT_FRONT_END)
    locations = white.get_channel_locations()
    filters = make_energy_filters(white.whitening, locations, sampling_frequency=FREQUENCY)
    finder = CandidateFinder(filters, locations, FREQUENCY)
    return white.get_traces(), finder, white.whitening, locations, sorting.to_spike_vector()["sample_index"]


def filters_of(scene, traces):
    _, finder, whitening, locations, _ = scene
    return make_typical_filters(traces, finder, whitening, locations, FREQUENCY)


def test_spikes_of_the_recording_are_found_at_their_times(scene):
    traces, _, _, locations, spikes = scene
    finder = CandidateFinder(filters_of(scene, traces), locations, FREQUENCY)
    found = finder.find(traces, threshold=7.0, margin=finder.margin)
    is_inside = (spikes > finder.margin) & (spikes < len(traces) - finder.margin)
    lags = np.abs(spikes[is_inside, None] - found.frames).min(axis=1)
    assert np.mean(lags <= 6) > 0.9 and np.median(lags) <= 3


def test_the_polarity_is_that_of_the_spikes(scene):
    traces, finder, *_ = scene
    upright, inverted = learn_waveform(traces, finder), learn_waveform(-traces, finder)
    assert upright[np.abs(upright).argmax()] < 0
    np.testing.assert_allclose(inverted, -upright, atol=1e-5)
    assert np.abs(upright).argmax() == finder.filters.nbefore


@pytest.mark.parametrize("num_frames", [0, 10, 30_000])
def test_without_large_spikes_a_generated_waveform_is_taken(scene, num_frames):
    noise = np.random.default_rng(0).standard_normal((num_frames, 4)).astype("float32")
    assert learn_waveform(noise, scene[1]) is None
    filters = filters_of(scene, noise)
    assert np.linalg.norm(filters.directions) == pytest.approx(1.0, abs=1e-5)
    assert filters.directions[0, filters.nbefore] < 0 < spike_energy(scene[0], filters).max()


def test_noise_has_the_standard_deviation_1_and_the_opposite_of_a_spike_counts_half(scene):
    filters = filters_of(scene, scene[0])
    noise = np.random.default_rng(0).standard_normal((60_000, 4)).astype("float32")
    matches = spike_energy(noise, filters)
    # The largest of three matches that go together lies above one, which is normal, and below three that do not.
    assert 3.0 < np.quantile(matches, 0.9987) < 3.4
    spike = np.zeros((200, 4), dtype="float32")
    spike[50 : 50 + filters.directions.shape[1], 1] = 9.0 * filters.directions[0]
    assert spike_energy(spike, filters)[1, 50] == pytest.approx(9.0, rel=1e-4)
    assert spike_energy(-spike, filters)[1, 50] == pytest.approx(4.5, rel=1e-4)


def test_large_neurons_of_the_other_polarity_are_found():
    settings = GenerationSettings(
        duration_s=10.0, num_units=8, num_far_units=0, amplitude_min_uV=150.0, positive_fraction=0.4, seed=5
    )
    recording, sorting = generate_recording(named_probe("linear32"), settings)
    peaks = find_peaks(
        recording.save(format="memory", progress_bar=False), job_kwargs=dict(n_jobs=1, progress_bar=False)
    )
    for unit in sorting.unit_ids:
        spikes = sorting.get_unit_spike_train(unit)
        lags = np.abs(spikes[:, None] - peaks["sample_index"]).min(axis=1)
        assert np.mean(lags <= 20) > 0.8, unit


@pytest.mark.parametrize("num_channels", [1, 4])
def test_single_places_are_measured_as_all(num_channels):
    rng = np.random.default_rng(0)
    locations = np.column_stack([np.zeros(num_channels), 20.0 * np.arange(num_channels)])
    whitening = Whitening.identity(num_channels)
    energy_filters = make_energy_filters(whitening, locations, sampling_frequency=FREQUENCY)
    finder = CandidateFinder(energy_filters, locations, FREQUENCY)
    filters = make_typical_filters(np.zeros((0, num_channels)), finder, whitening, locations, FREQUENCY)
    traces = rng.standard_normal((2000, num_channels)).astype("float32")
    matches = spike_energy(traces, filters)
    starts, channels = rng.integers(0, matches.shape[1], 200), rng.integers(0, num_channels, 200)
    (found,) = spike_energy_at(traces, filters, starts, channels)
    np.testing.assert_allclose(found, matches[channels, starts], atol=1e-4)
