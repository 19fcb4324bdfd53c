"""Waveforms: read around the right frame, whatever the chunks, and the same from stored half-precision numbers."""

import numpy as np
import pytest
from small_recording import as_recording
from spikeinterface.core.base import base_peak_dtype
from unit_scenes import white_scene

from si_deepsort.geometry import channels_within
from si_deepsort.preprocessing.half_precision import single_precision
from si_deepsort.sorter.average_waveforms import average_waveforms
from si_deepsort.sorter.units.spike_windows import read_spike_windows
from si_deepsort.sorter.waveforms import read_waveforms
from si_deepsort.threads import threads


def make_peaks(frames, channels):
    peaks = np.zeros(len(frames), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = frames, channels
    return peaks


def waveforms_of(recording, peaks, radius_um, **reach):
    neighbors = channels_within(recording.get_channel_locations()[:, :2], radius_um)
    found = np.full((len(peaks), reach["nbefore"] + reach["nafter"], neighbors.shape[1]), np.nan)
    for positions, waveforms in read_waveforms(recording, peaks, neighbors, **reach):
        assert np.all(np.isnan(found[positions])), "a peak is read once"
        found[positions] = waveforms
    return found


def test_waveforms_are_those_around_the_peak():
    traces = np.arange(20_000 * 3, dtype="float32").reshape(-1, 3)
    frames = np.array([50, 999, 1000, 12_345])
    found = waveforms_of(
        as_recording(traces), make_peaks(frames, [0, 1, 2, 1]), 1000, nbefore=10, nafter=20, chunk_s=0.05
    )
    for waveform, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(waveform, traces[frame - 10 : frame + 20])


def test_waveforms_at_the_edges_are_filled_with_zeros():
    found = waveforms_of(
        as_recording(np.ones((1000, 2), dtype="float32")), make_peaks([2, 998], [0, 1]), 100, nbefore=5, nafter=5
    )
    assert found[0, :3].sum() == 0 and found[1, 7:].sum() == 0
    assert np.all(found[0, 3:] == 1)


@pytest.mark.parametrize("nbefore", [2, 30])
def test_peaks_that_were_moved_beyond_the_ends_are_passed_over(nbefore):
    found = waveforms_of(
        as_recording(np.ones((1000, 2), "float32")),
        make_peaks([-3, 500, 1020], [0, 0, 0]),
        100,
        nbefore=nbefore,
        nafter=5,
    )
    assert np.all(np.isnan(found[[0, 2]])) and np.all(found[1] == 1)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_stored_half_precision_gives_what_single_precision_gives(num_threads):
    traces, spikes, templates, nbefore = white_scene()
    halves = traces.astype("float16")
    stored, single = single_precision(as_recording(halves)), as_recording(halves.astype("float32"))
    reach = dict(nbefore=nbefore, nafter=templates.shape[1] - nbefore)
    averages = average_waveforms(single, spikes, 3, **reach, seed=0)
    with threads(num_threads):
        for found, expected in zip(average_waveforms(stored, spikes, 3, **reach, seed=0), averages, strict=True):
            np.testing.assert_array_equal(found, expected)
    peaks = make_peaks(spikes["sample_index"], spikes["unit_index"])
    np.testing.assert_array_equal(waveforms_of(stored, peaks, 50, **reach), waveforms_of(single, peaks, 50, **reach))
    # Some windows reach beyond the ends.
    spikes["sample_index"][[0, -1]] = 1, len(traces) - 1
    channels = np.array([2, 0])
    windows = [read_spike_windows(one, spikes, channels, nbefore=nbefore, num_samples=21) for one in (stored, single)]
    np.testing.assert_array_equal(*windows)
    assert windows[0].shape == (len(spikes), 41, 2) and np.all(windows[0][0, 0] == 0)
