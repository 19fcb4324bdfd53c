"""Known spikes added to recordings: rounded, saturating, only where they belong."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.preprocessing.hybrid import HybridRecording, InjectedSpikes


def spikes(templates, frames, **values):
    count = len(frames)
    return InjectedSpikes(
        templates=np.asarray(templates, "float32"),
        nbefore=1,
        frames=np.asarray(frames),
        segment_indices=np.zeros(count, int),
        template_indices=np.zeros(count, int),
        amplitudes=np.ones(count, "float32"),
        widening=np.zeros(count, "float32"),
        **values,
    )


def hybrid_of(traces, injected, folder):
    injected.save(folder)
    return HybridRecording(si.NumpyRecording([traces], 1000.0), folder).get_traces()


def test_traces_are_the_sum(tmp_path):
    template = np.array([[[1.0, 0.0], [5.0, 2.0], [1.0, 0.0]]])
    found = hybrid_of(np.ones((10, 2), "float32"), spikes(template, [3, 4]), tmp_path)
    expected = np.ones((10, 2))
    for frame in (3, 4):
        expected[frame - 1 : frame + 2] += template[0]
    np.testing.assert_array_equal(found, expected)


def test_integers_are_rounded_and_saturate(tmp_path):
    template = np.array([[[0.0, 0.0], [0.6, 500.0], [-0.6, -500.0]]])
    traces = np.array([[0, 32_700]] * 6, "int16")
    found = hybrid_of(traces, spikes(template, [3]), tmp_path)
    assert found[3].tolist() == [1, 32_767] and found[4].tolist() == [-1, 32_200]
    lowest = hybrid_of(np.full((6, 2), 100, "uint16"), spikes(template, [3]), tmp_path / "unsigned")
    assert lowest[4].tolist() == [99, 0]


def test_spikes_survive_the_disk_and_their_absence_is_named(tmp_path):
    given = spikes(np.ones((1, 3, 2)), [2, 5])
    given.save(tmp_path / "there")
    again = InjectedSpikes.load(tmp_path / "there")
    np.testing.assert_array_equal(again.frames, given.frames)
    assert again.nbefore == 1
    recording = si.NumpyRecording([np.zeros((10, 3), "float32")], 1000.0)
    with pytest.raises(ValueError, match="moved or deleted"):
        HybridRecording(recording, tmp_path / "gone")
    with pytest.raises(ValueError, match="2 channels, the recording has 3"):
        HybridRecording(recording, tmp_path / "there")
