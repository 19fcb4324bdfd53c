"""How long waveforms are: a template leaves out nothing that could be taken for a unit."""

import numpy as np
import pytest
from small_recording import as_recording, spike_trains
from unit_scenes import spikes_of

from si_deepsort.sorter.units.reach import waveform_reach

NUM_BEFORE, NUM_AFTER = 26, 40  # 1.3 and 2 ms
LATE = 70  # samples from the trough to the late wave: 3.5 ms


def scene(late_size, num_noise_units=0):
    """Units with a trough of size 20 and a slow late wave of some size, and clusters of noise."""
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((160_000, 2)).astype("float32")
    samples = np.arange(-40, 120)
    waveform = -np.exp(-((samples / 4) ** 2)) * 8 + late_size * np.exp(-(((samples - LATE) / 10) ** 2))
    trains = spike_trains(3, len(traces) - 200, rng, rate_hz=10.0)
    for train in trains[:2]:
        for frame in train[train > 100]:
            traces[frame - 40 : frame + 120, 0] += waveform
    noise = spike_trains(num_noise_units, len(traces) - 200, rng, rate_hz=10.0)
    return as_recording(traces), spikes_of([*trains[:2], *noise])


def reach_of(late_size, **options):
    recording, spikes = scene(late_size, **options)
    return waveform_reach(recording, spikes, nbefore=NUM_BEFORE, nafter=NUM_AFTER, least_size=7.5, seed=0)


def test_templates_hold_a_late_wave_that_could_be_a_unit():
    before, after = reach_of(5.0)
    # The wave has a standard deviation of 7 samples: beyond its middle half of its energy would be left out.
    assert before == NUM_BEFORE and LATE < after < LATE + 30


@pytest.mark.parametrize("late_size", [0.0, 1.0])
def test_templates_stay_as_they_are_where_nothing_is_left_out(late_size):
    assert reach_of(late_size) == (NUM_BEFORE, NUM_AFTER)


def test_few_clusters_do_not_make_all_templates_longer():
    assert reach_of(5.0, num_noise_units=30) == (NUM_BEFORE, NUM_AFTER)


def test_no_spikes_need_no_longer_templates():
    recording = as_recording(np.zeros((1000, 2), "float32"))
    nothing = spikes_of([np.zeros(0, int)])
    assert waveform_reach(recording, nothing, nbefore=3, nafter=4, least_size=7.5, seed=0) == (3, 4)
