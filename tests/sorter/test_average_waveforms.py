"""Averages: those of the spikes of each unit, once, whatever the chunks, and on the channels that see it."""

import numpy as np
import pytest
from small_recording import as_recording
from unit_scenes import white_scene

from si_deepsort.sorter.average_waveforms import average_waveforms


@pytest.mark.parametrize("chunk_s", [0.05, 2.0])
def test_average_is_the_template_whatever_the_chunks(chunk_s):
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages, differences = average_waveforms(
        as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0, chunk_s=chunk_s
    )
    np.testing.assert_allclose(averages, templates, atol=1.2)
    assert np.corrcoef(averages.ravel(), templates.ravel())[0, 1] > 0.97
    is_silent = np.abs(templates) < 0.01
    ratio = differences[is_silent].std() / averages[is_silent].std()
    assert 0.9 < ratio < 1.1, "the half difference is as noisy as the average"


def test_averages_end_far_from_the_main_channel():
    traces, spikes, templates, nbefore = white_scene()
    recording, reach = as_recording(traces), dict(nbefore=nbefore, nafter=templates.shape[1] - nbefore, seed=0)
    # The first three channels lie within 300 um of the first, the others beyond.
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(6), [0, 20, 290, 310, 600, 900]]).astype(float))
    whole, _ = average_waveforms(recording, spikes, 3, **reach)
    near, _ = average_waveforms(recording, spikes, 3, **reach, main_channels=np.array([0, 0, 5]))
    np.testing.assert_array_equal(near[:2, :, :3], whole[:2, :, :3])
    np.testing.assert_array_equal(near[2, :, 4:], whole[2, :, 4:])
    assert np.all(near[:2, :, 3:] == 0) and np.all(near[2, :, :4] == 0)
