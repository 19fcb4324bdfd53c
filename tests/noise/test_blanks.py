"""Blanks hold no noise: what is measured on a recording is the same with them and without."""

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from probeinterface import generate_linear_probe

import si_deepsort  # noqa: F401
from si_deepsort.noise import recording_noise_levels, sample_signal

RATE = 30_000.0


def recording_of(traces):
    recording = si.NumpyRecording([traces], RATE)
    probe = generate_linear_probe(traces.shape[1], ypitch=25.0)
    probe.set_device_channel_indices(np.arange(traces.shape[1]))
    recording.set_probe(probe)
    return recording


@pytest.fixture(scope="module")
def signal():
    return (np.random.default_rng(0).normal(0, 10, (120_000, 4)) * [1, 2, 3, 4]).astype("float32")


@pytest.fixture(scope="module", params=[0.0, 500.0])
def blanked(signal, request):
    traces = signal + request.param
    traces[:80_000] = 0.0
    return recording_of(traces)


def test_levels_are_those_of_the_signal(signal, blanked):
    expected = recording_noise_levels(recording_of(signal[80_000:]))
    np.testing.assert_allclose(recording_noise_levels(blanked), expected, rtol=0.02)


def test_a_recording_without_blanks_or_of_nothing_else_is_sampled_as_it_is(signal):
    np.testing.assert_array_equal(sample_signal(recording_of(signal[:30_000])), signal[:30_000])
    assert len(sample_signal(recording_of(np.zeros((30_000, 2), "float32")))) == 30_000


@pytest.mark.parametrize("denoise", [lambda r: spre.deep_interpolate(r, blend=0.5), spre.wavelet_denoise])
def test_denoisers_work_beside_blanks_as_without_them(signal, blanked, denoise):
    offset = float(np.median(blanked.get_traces(start_frame=80_000)))
    whole = denoise(recording_of(signal + np.float32(round(offset, -2)))).get_traces(start_frame=85_000)
    found = denoise(blanked).get_traces(start_frame=85_000)
    assert np.std(found - whole) < 0.1 * np.std(whole)
