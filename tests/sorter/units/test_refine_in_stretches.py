"""What is found out about units in the stretches of a long recording holds for all of their spikes."""

import numpy as np
import pytest
from small_recording import add_spikes, as_recording, unit_templates
from unit_scenes import spikes_of

from si_deepsort.sorter.units.averages import average_units
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.refine import Refined, RefinementValues, join_parts
from si_deepsort.sorter.units.refine_in_stretches import refine_in_stretches

VALUES = RefinementValues(
    nbefore=20,
    nafter=40,
    fewest_spikes=10,
    merge_distance=3.75,
    merge_separation=2.7,
    match_threshold=18.0,
    amplitude_variance=0.02,
    seed=0,
)


def only_join(traces, spikes, background, values):
    averages = average_units(traces, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=0)
    return join_parts(traces, Refined(spikes, averages, []), values)


@pytest.mark.parametrize("stretches", [None, [(0, 0, 150_000), (0, 250_000, 400_000)]])
def test_a_spike_that_both_parts_of_a_neuron_found_counts_once_everywhere(stretches):
    rng = np.random.default_rng(1)
    traces = rng.standard_normal((400_000, 6)).astype("float32")
    templates, nbefore = unit_templates(1, 6, amplitude_uV=30.0)
    starts = np.arange(1000, 390_000, 2600) + rng.integers(0, 1000, 150)
    large, small = (starts + 160 * part for part in range(2))
    add_spikes(traces, [large, small], [templates[0], 0.45 * templates[0]], nbefore)
    parts = [traces] if stretches is None else [traces[first:last] for _, first, last in stretches]
    recording = as_recording(parts)
    background = measure_background(recording, num_samples=60, seed=0)
    spikes = spikes_of([large, np.sort(np.concatenate([small, large[::10] + 3]))])
    _, found = refine_in_stretches(only_join, recording, spikes, stretches, background, VALUES)
    np.testing.assert_array_equal(found["sample_index"], np.sort(np.concatenate([large, small])))
    assert set(found["unit_index"]) == {0}
