"""Averages of units: larger units beside them change nothing, and joined averages are those of the joined spikes."""

import numpy as np
from small_recording import as_recording
from unit_scenes import NUM_CHANNELS, spikes_of, white_scene

from si_deepsort.sorter.average_waveforms import average_waveforms
from si_deepsort.sorter.units.averages import UnitAverages, average_units
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.templates import MOST_SHIFT


def test_a_larger_unit_that_fires_beside_some_spikes_does_not_change_their_average():
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((300_000, NUM_CHANNELS)).astype("float32")
    shape = np.hanning(21)[:, None] * np.ones(3)
    small, large = 1000 * np.arange(1, 201), 1000 * np.arange(1, 51) + 15
    for times, channels, height in ((small, slice(0, 3), 4.0), (large, slice(2, 5), 40.0)):
        for time in times:
            traces[time - 10 : time + 11, channels] += height * shape
    spikes = spikes_of([small, large])
    recording, nbefore, nafter = as_recording(traces), 26, 40
    background = measure_background(recording, num_samples=nbefore + nafter, seed=0)
    averages = average_units(recording, spikes, background, nbefore=nbefore, nafter=nafter, seed=0)
    assert list(averages.num_spikes) == [150, 50]
    beside = averages.templates().values[0][nbefore + 12 : nbefore + 18]
    assert np.abs(beside).max() < 1.0, "a quarter of its spikes have 40 there"


def test_joined_averages_are_those_of_the_joined_spikes():
    traces, spikes, templates, nbefore = white_scene()
    recording = as_recording(traces)
    reach = dict(nbefore=nbefore + MOST_SHIFT, nafter=templates.shape[1] - nbefore + MOST_SHIFT, seed=0)
    background = measure_background(recording, num_samples=templates.shape[1], seed=0)
    halves = spikes.copy()
    is_late = (halves["unit_index"] == 0) & (np.arange(len(halves)) % 3 == 0)
    halves["unit_index"][is_late] = 3
    halves["sample_index"][is_late] -= 5
    halves = halves[np.argsort(halves["sample_index"], kind="stable")]
    counts = np.bincount(halves["unit_index"])
    parts = UnitAverages(*average_waveforms(recording, halves, 4, **reach), nbefore, counts, background)
    joined = parts.joined(np.array([0, 1, -1, 0]), np.array([0, 0, 0, 5]))
    whole, _ = average_waveforms(recording, spikes, 3, **reach)
    assert joined.num_spikes.tolist() == np.bincount(spikes["unit_index"])[:2].tolist()
    core = slice(MOST_SHIFT, MOST_SHIFT + templates.shape[1])
    np.testing.assert_allclose(joined.values[:, core], whole[:2, core], atol=1e-4)
