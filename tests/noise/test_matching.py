"""Noise matching: the copy has the target's noise, and nothing of the target's spikes."""

import numpy as np
import pytest
import scipy.signal
from spikeinterface.core import NumpyRecording

from si_deepsort import noise

FS = 25_000.0


def colored(rng, num_frames, num_channels=2, level=3.0, cutoff=2000.0):
    sos = scipy.signal.butter(1, cutoff, "lowpass", fs=FS, output="sos")
    traces = scipy.signal.sosfilt(sos, rng.standard_normal((num_frames, num_channels)), axis=0)
    traces += 0.1 * rng.standard_normal(traces.shape)
    traces = traces @ np.array([[1.0, 0.6], [0.0, 0.8]])[:num_channels, :num_channels]
    return traces / traces.std(axis=0) * level


def with_spikes(traces, rng, height, num_spikes=150):
    traces = traces.copy()
    frames = np.sort(rng.choice(len(traces) // 100 - 2, num_spikes, replace=False)) * 100 + 50
    shape = height * np.diff(scipy.signal.windows.gaussian(41, 4.0))
    for frame in frames:
        traces[frame : frame + 40] += shape[:, None]
    return traces, frames


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(0)
    clean, _ = with_spikes(0.1 * rng.standard_normal((250_000, 2)), rng, 100.0)
    quiet = colored(rng, 250_000)
    target, frames = with_spikes(quiet, rng, 400.0)
    return clean, quiet, target, frames


def test_spectrum_level_and_covariance_are_the_targets(recordings):
    clean, quiet, target, _ = recordings
    matched = noise.match(NumpyRecording([clean], FS), NumpyRecording([target], FS)).get_traces()
    assert matched.shape == clean.shape and matched.dtype == np.float32
    found, wanted = (
        noise.measure_noise(matched, FS, window_frames=512),
        noise.measure_noise(quiet, FS, window_frames=512),
    )
    np.testing.assert_allclose(found.levels, wanted.levels, rtol=0.03)
    inner = slice(2, -2)
    decibels = 10 * np.log10(found.power[inner] / wanted.power[inner])
    smooth = scipy.ndimage.uniform_filter1d(decibels, 9, axis=0)  # the estimates themselves scatter by .5 dB
    assert np.abs(smooth).max() < 1.0
    correlation = found.covariance[0, 1] / np.prod(found.levels)
    assert correlation == pytest.approx(np.corrcoef(quiet.T)[0, 1], abs=0.05)


def test_spikes_of_the_target_do_not_leak_in(recordings):
    clean, quiet, target, frames = recordings
    with_target_spikes = noise.match_traces(clean, target, FS) - clean
    without = noise.match_traces(clean, quiet, FS) - clean
    # the same seed draws the same white noise, so only the estimates of the noise differ
    np.testing.assert_allclose(with_target_spikes.std(axis=0), without.std(axis=0), rtol=0.03)
    average = np.mean([with_target_spikes[frame : frame + 40] for frame in frames], axis=0)
    assert np.abs(average).max() < 5 * 3.0 / np.sqrt(len(frames))


def test_a_stretch_equals_that_stretch_of_the_whole_and_seeds_differ(recordings):
    clean, _, target, _ = recordings
    matched = noise.match(NumpyRecording([clean], FS), NumpyRecording([target], FS), seed=3)
    whole = matched.get_traces()
    stretch = matched.get_traces(start_frame=29_990, end_frame=60_011)
    np.testing.assert_allclose(stretch, whole[29_990:60_011], atol=1e-4)
    np.testing.assert_allclose(matched.get_traces(channel_ids=matched.channel_ids[[1]])[:, 0], whole[:, 1], atol=1e-5)
    other = noise.match(NumpyRecording([clean], FS), NumpyRecording([target], FS), seed=4).get_traces()
    assert np.abs(other - whole).max() > 1


def test_a_noisier_recording_gets_nothing(recordings):
    clean, quiet, _, _ = recordings
    np.testing.assert_allclose(noise.match_traces(quiet, 0.01 * clean, FS), quiet, atol=1e-3)


def test_bad_input_is_named(recordings):
    clean, _, target, _ = recordings
    with pytest.raises(ValueError, match="same sampling rate"):
        noise.match(NumpyRecording([clean], FS), NumpyRecording([target], 2 * FS))
    with pytest.raises(ValueError, match="same number"):
        noise.match(NumpyRecording([clean], FS), NumpyRecording([target[:, :1]], FS))
    with pytest.raises(ValueError, match="longer recording"):
        noise.match_traces(clean[:100], target, FS)
    with pytest.raises(ValueError, match="NaN"):
        noise.match_traces(np.full_like(clean, np.nan), target, FS)


@pytest.mark.parametrize("shape", [(3, 8), (3, 9), (2, 3, 4), (5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_medians_are_those_of_numpy(shape, dtype):
    values = (100 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    assert np.array_equal(noise.medians(values), np.median(values, axis=-1))
    if dtype != "int16":
        values[0, ..., 0] = np.nan
        assert np.array_equal(noise.medians(values), np.median(values, axis=-1), equal_nan=True)
