"""Templates and spike trains of a few units, for tests of steps that compare units."""

import numpy as np
from small_recording import add_spikes, spike_trains, unit_templates

from si_deepsort.sorter.units.templates import UnitTemplates
from si_deepsort.spike_vectors import make_spike_vector

NUM_CHANNELS = 6
SAMPLING_FREQUENCY = 20_000.0
NUM_BEFORE = 28


def padded_templates(num_units, amplitude=20.0):
    """Templates with room to be moved, (num_units, num_samples, NUM_CHANNELS)."""
    values, _ = unit_templates(num_units, NUM_CHANNELS, amplitude_uV=amplitude)
    return np.pad(values, ((0, 0), (8, 8), (0, 0)))


def as_templates(values, num_spikes=500):
    """Arrays as `UnitTemplates`; num_spikes is one number, or one for each unit."""
    counts = np.full(len(values), num_spikes)
    return UnitTemplates(np.asarray(values, "float32"), NUM_BEFORE, counts, np.full(NUM_CHANNELS, 15.0))


def spikes_of(trains):
    """The spike vector of one segment in which unit k fires at the frames trains[k]."""
    units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return make_spike_vector(np.concatenate(trains), units, np.zeros(len(units), int))


def independent_spikes(num_units, num_spikes=500, seed=0):
    """Spikes of units that know nothing of each other, in 30 s."""
    rng = np.random.default_rng(seed)
    return spikes_of([*rng.integers(0, 600_000, (num_units, num_spikes)), np.zeros(0, int)])


def white_scene(num_units=3, seed=0):
    """Noise of variance 1 with spikes: traces, spikes, templates, nbefore."""
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((100_000, NUM_CHANNELS)).astype("float32")
    templates, nbefore = unit_templates(num_units, NUM_CHANNELS, amplitude_uV=12.0)
    trains = spike_trains(num_units, len(traces), rng, rate_hz=30.0)
    add_spikes(traces, trains, templates, nbefore)
    return traces, spikes_of(trains), templates, nbefore
