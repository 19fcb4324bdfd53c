"""Refinements: one unit cut in two becomes one, small units go, units are numbered 0, 1, ..., inputs stay."""

import numpy as np
import pytest
from small_recording import add_spikes, as_recording, unit_templates
from unit_scenes import spikes_of, white_scene

from si_deepsort.sorter.units.averages import average_units
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.dropped import MERGED
from si_deepsort.sorter.units.refine import (
    Refined,
    RefinementValues,
    join_parts,
    refine_along_drift,
    refine_before_last_matching,
    refine_clusters,
    refine_matched,
    refine_without_matching,
)
from si_deepsort.spike_vectors import in_order, make_spike_vector

REFINEMENTS = [
    refine_clusters,
    refine_without_matching,
    refine_before_last_matching,
    refine_matched,
    refine_along_drift,
]
FEWEST = 20


@pytest.fixture(scope="module")
def scene():
    """White traces, their background, spikes of three units, and the values of refinements."""
    traces, spikes, templates, nbefore = white_scene()
    recording = as_recording(traces)
    values = RefinementValues(
        nbefore=nbefore,
        nafter=templates.shape[1] - nbefore,
        fewest_spikes=FEWEST,
        merge_distance=8.0,
        merge_separation=2.7,
        match_threshold=18.0,
        amplitude_variance=0.02,
        seed=0,
    )
    background = measure_background(recording, num_samples=templates.shape[1], seed=0)
    return recording, background, spikes, values


def refined(refine, scene, spikes):
    recording, background, _, values = scene
    before = spikes.copy()
    units = refine(recording, spikes, background, values)
    found, averages = units.spikes, units.averages
    assert all(unit.num_spikes <= len(spikes) and unit.reason for unit in units.dropped)
    np.testing.assert_array_equal(spikes, before)
    np.testing.assert_array_equal(found, in_order(found))
    assert sorted(set(found["unit_index"])) == list(range(len(averages.values)))
    return found, averages


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_units_stay_and_a_unit_that_was_cut_in_two_is_one(refine, scene):
    spikes = scene[2].copy()
    num_spikes = np.bincount(spikes["unit_index"])
    spikes["unit_index"][(spikes["unit_index"] == 0) & (np.arange(len(spikes)) % 3 == 0)] = 3
    found, averages = refined(refine, scene, spikes)
    assert len(averages.values) == 3
    dropped = refine(*scene[:1], spikes, scene[1], scene[3]).dropped
    assert [(unit.num_spikes, unit.reason) for unit in dropped] == [(np.sum(spikes["unit_index"] == 3), MERGED)]
    # Satellites lose a few spikes that follow larger units by chance.
    np.testing.assert_allclose(np.sort(np.bincount(found["unit_index"])), np.sort(num_spikes), rtol=0.1)


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_units_with_few_spikes_are_dropped(refine, scene):
    spikes = scene[2]
    is_few = (spikes["unit_index"] == 1) & (np.cumsum(spikes["unit_index"] == 1) >= FEWEST)
    _, averages = refined(refine, scene, in_order(spikes[~is_few]))
    assert len(averages.values) == 2


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_spike_times_are_moved_to_the_largest_peak(refine, scene):
    spikes = scene[2].copy()
    spikes["sample_index"] -= np.array([0, 7, -4])[spikes["unit_index"]]
    found, _ = refined(refine, scene, in_order(spikes))
    expected, _ = refined(refine, scene, scene[2])
    late, early = (np.median(np.sort(one["sample_index"])) for one in (found, expected))
    assert abs(late - early) <= 1
    shared = np.intersect1d(found["sample_index"], expected["sample_index"])
    assert len(shared) > 0.9 * len(expected)


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_no_spikes_are_no_units(refine, scene):
    found, averages = refined(refine, scene, make_spike_vector([], [], []))
    assert len(found) == len(averages.values) == 0


def test_a_collision_of_two_units_is_dropped(scene):
    recording, _, spikes, _ = scene
    trains = [spikes["sample_index"][spikes["unit_index"] == unit] for unit in range(3)]
    traces = recording.get_traces().copy()
    _, _, templates, nbefore = white_scene()
    together = np.arange(400, 99_000, 400)
    together = together[[np.abs(np.concatenate(trains) - frame).min() > 100 for frame in together]]
    for frame in together:
        traces[frame - nbefore : frame - nbefore + templates.shape[1]] += templates[0] + templates[1]
    labelled = spikes_of([*trains, together])
    assert len(together) > FEWEST
    _, averages = refined(refine_clusters, (as_recording(traces), *scene[1:]), labelled)
    assert len(averages.values) == 3


def test_large_and_small_spikes_of_bursts_become_one_unit_that_fires_once(scene):
    _, _, _, values = scene
    rng = np.random.default_rng(1)
    traces = rng.standard_normal((400_000, 6)).astype("float32")
    templates, nbefore = unit_templates(1, 6, amplitude_uV=30.0)
    starts = np.arange(1000, 390_000, 2600) + rng.integers(0, 1000, 150)
    large, small = (np.sort(starts + 160 * part) for part in range(2))
    add_spikes(traces, [large, small], [templates[0], 0.45 * templates[0]], nbefore)
    recording = as_recording(traces)
    background = measure_background(recording, num_samples=templates.shape[1], seed=0)
    # Each tenth large spike is found as a small one as well.
    spikes = spikes_of([large, np.sort(np.concatenate([small, large[::10] + 3]))])
    averages = average_units(
        recording, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=values.seed
    )
    units = join_parts(recording, Refined(spikes, averages, []), values)
    np.testing.assert_array_equal(units.spikes["sample_index"], np.sort(np.concatenate([large, small])))
    assert len(units.averages.values) == 1 and [unit.reason for unit in units.dropped] == [MERGED]


@pytest.mark.parametrize("is_one", [True, False])
def test_parts_of_a_neuron_that_changes_slowly_join_and_neurons_that_take_turns_do_not(scene, is_one):
    _, _, _, values = scene
    rng = np.random.default_rng(1)
    traces = rng.standard_normal((400_000, 6)).astype("float32")
    templates, nbefore = unit_templates(1, 6, amplitude_uV=30.0)
    times = np.arange(1000, 390_000, 1000) + rng.integers(0, 500, 389)
    phase = np.linspace(0, 3 * np.pi, len(times))
    amplitudes = 0.75 + 0.25 * np.cos(phase)
    if not is_one:
        amplitudes = np.where(rng.random(len(times)) < amplitudes - 0.25, 1.0, 0.5)
    noisy = amplitudes + rng.normal(size=len(times)) / np.linalg.norm(templates[0])
    for time, amplitude in zip(times, amplitudes, strict=True):
        add_spikes(traces, [np.array([time])], [amplitude * templates[0]], nbefore)
    recording = as_recording(traces)
    background = measure_background(recording, num_samples=templates.shape[1], seed=0)
    spikes = spikes_of([times[noisy > 0.75], times[noisy <= 0.75]])
    averages = average_units(
        recording, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=values.seed
    )
    units = join_parts(recording, Refined(spikes, averages, []), values)
    assert len(units.averages.values) == (1 if is_one else 2)
    np.testing.assert_array_equal(units.spikes["sample_index"], times)
