"""Least squares averages: other units that fire at the same time do not spoil a template."""

import numpy as np
from spikeinterface.core import NumpyRecording

from si_deepsort.sorter.units.averages import average_units
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.least_squares import least_squares_averages
from si_deepsort.spike_vectors import make_spike_vector

NBEFORE, NAFTER = 25, 35


def make_scene(num_segments=1, seed=0):
    """A small unit, and a large one: half of the spikes of either lie within some milliseconds of one of the other."""
    rng = np.random.default_rng(seed)
    time = np.arange(NBEFORE + NAFTER)
    shapes = np.zeros((2, len(time), 4), dtype="float32")
    shapes[0, :, 1] = -6 * np.exp(-(((time - NBEFORE) / 3) ** 2))
    shapes[1, :, :] = np.outer(-25 * np.exp(-(((time - NBEFORE) / 5) ** 2)), [1.0, 0.8, 0.4, 0.1])
    segments, frames, units, owners = [], [], [], []
    for index in range(num_segments):
        traces = rng.standard_normal((60_000, 4)).astype("float32")
        small = np.arange(500, 59_000, 1500)
        alone = small[::2] + 700
        large = np.sort(
            np.r_[small[1::2] + rng.choice([-1, 1], len(small) // 2) * rng.integers(8, 45, len(small) // 2), alone]
        )
        for unit, own in enumerate((small, large)):
            for frame in own:
                traces[frame - NBEFORE : frame + NAFTER] += shapes[unit]
            frames.append(own)
            units.append(np.full(len(own), unit))
            owners.append(np.full(len(own), index))
        segments.append(traces)
    recording = NumpyRecording(segments, 20_000.0)
    recording.set_dummy_probe_from_locations(np.stack([np.zeros(4), 25.0 * np.arange(4)], axis=1))
    return recording, make_spike_vector(*map(np.concatenate, (frames, units, owners))), shapes


def both_averages(recording, spikes):
    background = measure_background(recording, num_samples=NBEFORE + NAFTER, seed=0)
    plain = average_units(recording, spikes, background, nbefore=NBEFORE, nafter=NAFTER, seed=0)
    return plain, least_squares_averages(recording, spikes, plain, seed=0)


def test_a_unit_beside_larger_spikes_keeps_its_waveform():
    recording, spikes, shapes = make_scene()
    errors = [
        np.sum((averages.templates().values - shapes) ** 2, axis=(1, 2))
        for averages in both_averages(recording, spikes)
    ]
    assert errors[1][0] < 0.6 * errors[0][0]
    assert errors[1][1] < errors[0][1]


def test_segments_are_seen_one_by_one():
    recording, spikes, shapes = make_scene(num_segments=2)
    averages = both_averages(recording, spikes)[1]
    assert averages.num_spikes.tolist() == [2 * 39, 2 * 39]
    assert np.sum((averages.templates().values - shapes) ** 2) < 0.05 * np.sum(shapes**2)


def test_traces_are_left_as_they_are():
    recording, spikes, _ = make_scene()
    before = recording.get_traces().copy()
    both_averages(recording, spikes)
    np.testing.assert_array_equal(recording.get_traces(), before)
