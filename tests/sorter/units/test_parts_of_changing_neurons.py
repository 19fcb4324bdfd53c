"""Parts of a changing neuron are found in white traces, whatever lag their spike times have, over several segments."""

import numpy as np
import pytest
from small_recording import SAMPLING_FREQUENCY, line_probe
from spikeinterface.core import NumpyRecording

from si_deepsort.sorter.units.averages import average_units
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.changes import _join, parts_of_changing_neurons
from si_deepsort.spike_vectors import in_order, make_spike_vector, relabelled, trains_of

NBEFORE, NAFTER, NUM_CHANNELS = 25, 35, 6
# Frames of the segments, and between two changes of the neuron.
SEGMENTS, PERIOD = (160_000, 120_000), 20_000


def scene(lags, is_slow, seed=0):
    """
    White traces, and the spikes of a neuron whose size moves between two values.

    Where it is large the spikes are those of unit 0, elsewhere of unit 1 (or of units 1 and 2, at other times); the
    spike times of each unit come later than the true ones by its lag.
    """
    rng = np.random.default_rng(seed)
    samples = np.arange(-NBEFORE, NAFTER)
    shape = -np.exp(-((samples / 4) ** 2)) + 0.4 * np.exp(-(((samples - 12) / 8) ** 2))
    waveform = 16 * shape[:, None] * np.exp(-np.abs(np.arange(NUM_CHANNELS) - 2) / 1.2)
    traces, frames, units, segments = [], [], [], []
    for segment, length in enumerate(SEGMENTS):
        own = rng.standard_normal((length, NUM_CHANNELS)).astype("float32")
        times = np.arange(500, length - 500, 700) + rng.integers(-150, 150, len(range(500, length - 500, 700)))
        phase = np.sin(2 * np.pi * times / PERIOD)
        change = phase if is_slow else np.sign(phase)
        for time, size in zip(times, 1 + 0.35 * change, strict=True):
            own[time - NBEFORE : time + NAFTER] += size * waveform
        unit = np.where(phase > 0, 0, 1)
        if len(lags) == 3:
            unit[(unit == 1) & (times % (2 * PERIOD) > PERIOD)] = 2
        traces.append(own)
        frames.append(times), units.append(unit), segments.append(np.full(len(times), segment))
    recording = NumpyRecording(traces, SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(NUM_CHANNELS))
    true = make_spike_vector(*(np.concatenate(part) for part in (frames, units, segments)))
    return recording, true, in_order(relabelled(true, np.arange(len(lags)), np.array(lags)))


def found_parts(recording, spikes):
    background = measure_background(recording, num_samples=NBEFORE + NAFTER, seed=0)
    averages = average_units(recording, spikes, background, nbefore=NBEFORE, nafter=NAFTER, seed=0)
    return parts_of_changing_neurons(recording, spikes, averages.templates(), merge_separation=2.7, seed=0)


@pytest.mark.parametrize("lags", [(0, 0), (0, 4), (-3, 2), (5, -2), (0, 3, -2)])
def test_parts_of_a_neuron_join_at_its_true_times(lags):
    recording, true, spikes = scene(lags, is_slow=True)
    representative, shift = found_parts(recording, spikes)
    assert len(set(representative)) == 1, representative
    joined = in_order(relabelled(spikes, representative, shift))
    # The times are those of the largest unit, which keeps its own lag.
    errors = joined["sample_index"] - true["sample_index"] - lags[representative[0]]
    np.testing.assert_array_equal(joined["segment_index"], true["segment_index"])
    assert np.abs(errors).max() <= 1


@pytest.mark.parametrize("lags", [(0, 0), (-3, 2)])
def test_two_neurons_that_take_turns_stay_two(lags):
    recording, _, spikes = scene(lags, is_slow=False)
    representative, shift = found_parts(recording, spikes)
    assert representative.tolist() == [0, 1] and not shift.any()


def test_units_without_spikes_and_with_one_spike_join_nothing():
    recording, _, spikes = scene((0, 0), is_slow=True)
    own = np.flatnonzero(spikes["unit_index"] == 1)
    one = np.delete(spikes, own[1:])
    assert found_parts(recording, one)[0].tolist() == [0, 1]
    # Unit 2 has no spikes; a unit after it has one, so that the templates have a row for it.
    last = spikes[-1:].copy()
    last["unit_index"] = 3
    representative, _ = found_parts(recording, np.concatenate([spikes, last]))
    assert representative[2:].tolist() == [2, 3]


def test_lags_add_up_along_the_links():
    rng = np.random.default_rng(0)
    frames = 3000 * np.arange(300) + rng.integers(0, 1000, 300)
    owners, true_lags = rng.choice(3, 300, p=[0.5, 0.3, 0.2]), np.array([0, 4, 9])
    spikes = in_order(make_spike_vector(frames + true_lags[owners], owners, np.repeat([0, 1], 150)))
    lags = true_lags[None] - true_lags[:, None]
    representative, shift = _join([(0, 1), (1, 2)], lags, trains_of(spikes, 3), 30_000.0)
    assert representative.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(shift, -true_lags)
