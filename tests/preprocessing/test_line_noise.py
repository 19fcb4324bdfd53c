"""Line noise is found, subtracted, and nothing else is touched."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.generation.disturbances import line_noise
from si_deepsort.noise import noise_levels
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.find_lines import find_lines
from si_deepsort.preprocessing.line_noise import remove_lines

RATE, DURATION_S, NUM_CHANNELS = 20_000.0, 12, 4
NUM_FRAMES = round(DURATION_S * RATE)


def noise(seed=0):
    return 5 * np.random.default_rng(seed).standard_normal((NUM_FRAMES, NUM_CHANNELS))


def hum(amplitude_uV, line_hz=50.0, harmonics=0.1):
    frames = np.arange(NUM_FRAMES)
    return amplitude_uV * line_noise(frames, sampling_frequency=RATE, line_hz=line_hz, harmonics=harmonics)[:, None]


def filtered(traces):
    return band_pass(si.NumpyRecording([traces.astype("float32")], RATE), freq_min=150.0, freq_max=7000.0)


def cleaned(recording):
    lines = find_lines(recording)
    return remove_lines(recording, lines.frequencies_hz.tolist(), lines.levels.tolist()).get_traces()


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_lines(seed):
    assert len(find_lines(filtered(noise(seed))).frequencies_hz) == 0


def test_spikes_make_no_lines():
    traces = noise()
    # A neuron that fires as regularly as any: intervals of 20 ms that vary by 10 %.
    frames = np.cumsum(np.random.default_rng(1).normal(0.02, 0.002, 580) * RATE).astype(int)
    frames = frames[frames < NUM_FRAMES - 20]
    traces[frames[:, None] + np.arange(20)] -= 200 * np.hanning(20)[:, None]
    assert len(find_lines(filtered(traces)).frequencies_hz) == 0


@pytest.mark.parametrize("line_hz", [50.0, 60.0, 49.93])
def test_the_mains_and_its_harmonics_are_found(line_hz):
    found = find_lines(filtered(noise() + hum(2000.0, line_hz))).frequencies_hz
    np.testing.assert_allclose(found, line_hz * np.array([1, 3, 5, 7, 9]), atol=0.1)


@pytest.mark.parametrize("amplitude_uV", [100.0, 1000.0, 5000.0])
@pytest.mark.parametrize("harmonics", [0.0, 0.1])
def test_without_lines_the_traces_are_those_of_the_recording_without_hum(amplitude_uV, harmonics):
    clean = filtered(noise()).get_traces()
    found = cleaned(filtered(noise() + hum(amplitude_uV, 50.02, harmonics)))
    apart = noise_levels(found - clean) / noise_levels(clean)
    # Some Hz around each line are lost, a hundredth of the band together.
    assert apart.max() < 0.15


def test_a_line_that_changes_its_phase_and_its_size_is_subtracted():
    slow = np.sin(2 * np.pi * np.arange(NUM_FRAMES) / NUM_FRAMES)[:, None]
    phase = 2 * np.pi * 50 * np.arange(NUM_FRAMES)[:, None] / RATE + slow
    found = cleaned(filtered(noise() + (1 + 0.3 * slow) * 3000 * np.sin(phase)))
    np.testing.assert_allclose(noise_levels(found), noise_levels(filtered(noise()).get_traces()), rtol=0.02)


def test_blanks_of_zeros_stay_silent():
    blank = slice(4 * round(RATE), 5 * round(RATE))
    traces = noise() + hum(1000.0)
    traces[blank] = 0
    found = cleaned(filtered(traces))
    inside = found[blank.start + 2000 : blank.stop - 2000]
    assert np.abs(inside).max() < 1e-3 * np.std(found[: blank.start])


def test_artefacts_leave_the_lines_beside_them_found():
    traces = noise() + hum(1000.0)
    for onset in range(1000, NUM_FRAMES - 1000, round(RATE / 3)):
        traces[onset : onset + 200] += 5000
    found = find_lines(filtered(traces)).frequencies_hz
    assert np.abs(found - 50).min() < 0.1


@pytest.mark.parametrize("num_frames", [40, 30_000])
def test_short_recordings_are_not_searched(num_frames):
    assert len(find_lines(filtered((noise() + hum(1000.0))[:num_frames])).frequencies_hz) == 0


def test_lines_of_a_part_of_the_channels_are_found():
    traces = noise()
    traces[:, 1:2] += hum(1000.0, harmonics=0)
    traces[:, 0] = 0
    lines = find_lines(filtered(traces))
    np.testing.assert_allclose(lines.frequencies_hz, [50], atol=0.05)
    assert lines.levels[0] == 0
