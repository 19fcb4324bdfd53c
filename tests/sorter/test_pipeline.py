"""The whole sorter on small recordings: times, units, seeds, segments, shanks, and every choice of a method."""

import errno
import logging
import math

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, as_recording, line_probe, small_recording, small_traces
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

import si_deepsort
from si_deepsort.sorter import judge, prepare, rounds
from si_deepsort.sorter.adapter import DeepSortSettings
from si_deepsort.sorter.pipeline import smallest_cluster, sort_recording
from si_deepsort.sorter.units.spike_features import FEWEST_COMPARED_SPIKES

# Isosplit is compiled anew in each process; where clustering does not matter, another method is quicker.
QUICK = dict(clustering="hdbscan", num_rounds=0)


def sort(recording, folder, **params):
    return run_sorter("deepsort", recording, folder=folder, **{**QUICK, **params})


def trains_of(sorting):
    return [
        sorting.get_unit_spike_train(unit, segment).tolist()
        for unit in sorting.unit_ids
        for segment in range(sorting.get_num_segments())
    ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A saved recording and its true sorting."""
    return small_recording(tmp_path_factory.mktemp("scene") / "recording")


def test_a_sorting_whose_units_cannot_be_judged_is_not_lost(scene, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise FloatingPointError("no units to compare")

    sorted_before = sort(scene[0], tmp_path / "before")
    monkeypatch.setattr(judge, "assess_white", fail)
    with pytest.warns(UserWarning, match="sorting is complete.*no units to compare.*si_deepsort.assess"):
        sorting = sort(scene[0], tmp_path / "out")
    assert trains_of(sorting) == trains_of(sorted_before)
    assert sorting.get_property("expected_precision") is None


def test_residual_peaks_are_described_by_principal_components(scene, tmp_path, monkeypatch):
    """What the codes of the autoencoder did not tell apart may stand out in another description."""
    described, cluster = [], rounds.cluster_peaks

    def watched(traces, whitening, peaks, values):
        described.append(values.embedding)
        return cluster(traces, whitening, peaks, values)

    monkeypatch.setattr(rounds, "cluster_peaks", watched)
    sort(scene[0], tmp_path / "out", embedding="autoencoder", num_rounds=1)
    assert described == ["pca"]


def test_default_sorting_finds_the_units_at_their_times(scene, tmp_path):
    recording, truth = scene
    sorting = run_sorter("deepsort", recording, folder=tmp_path / "out")
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    assert comparison.get_performance()["accuracy"].min() > 0.9
    assert len(sorting.unit_ids) == len(truth.unit_ids)
    for unit in truth.unit_ids:
        match = comparison.best_match_12[unit]
        expected, found = truth.get_unit_spike_train(unit), sorting.get_unit_spike_train(match)
        nearest = found[np.abs(found[None] - expected[:, None]).argmin(axis=1)]
        assert abs(np.median(nearest - expected)) <= 1, "the time of a spike is that of its peak"


def test_result_opens_without_the_package_and_knows_its_settings(scene, tmp_path):
    sorting = sort(scene[0], tmp_path / "out", seed=3)
    plain = si.load(tmp_path / "out" / "sorter_output" / "sorting")
    assert trains_of(plain) == trains_of(sorting)
    assert {"snr", "main_channel_id"} <= set(sorting.get_property_keys())
    assert sorting.sorting_info["params"]["sorter_params"]["seed"] == 3
    assert not (tmp_path / "out" / "sorter_output" / "traces").exists(), "the cache is deleted at the end"


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["folder", "none"])
def test_long_recordings_are_learnt_from_stretches_and_sorted_whole(scene, tmp_path, monkeypatch, cache):
    recording, truth = scene
    looked_at = []
    matching = rounds.match_templates

    def seen(white, *args, **options):
        spikes = matching(white, *args, **options)
        looked_at.append((white.get_total_duration() == recording.get_total_duration(), len(spikes)))
        return spikes

    monkeypatch.setattr(rounds, "match_templates", seen)
    monkeypatch.setattr(rounds, "MOST_CLUSTERED_S", 0.4 * recording.get_total_duration())
    monkeypatch.setattr(prepare, "MOST_LEARNT_S", 0.7 * recording.get_total_duration())
    sorting = sort(recording, tmp_path / "out", num_rounds=2, min_cluster_size=5, cache=cache)
    assert compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"].min() > 0.9
    assert [is_whole for is_whole, _ in looked_at] == [False] * 3 + [True]
    few, many, _, whole = (num_spikes for _, num_spikes in looked_at)
    assert few < 0.7 * many
    assert many < 0.8 * whole


@pytest.mark.slow
def test_parts_of_a_long_recording_are_matched_once(scene, tmp_path, monkeypatch):
    """A run that stops in the last matching goes on with the part in which it stopped."""
    recording, _ = scene
    monkeypatch.setattr(prepare, "MOST_LEARNT_S", 0.5 * recording.get_total_duration())
    undisturbed = sort(recording, tmp_path / "undisturbed", min_cluster_size=5)
    monkeypatch.setattr(rounds, "PART_CHUNKS", 2)
    matching, matched = rounds.match_templates, []

    def stopped(*args, chunks, **options):
        if len(matched) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        matched.append(chunks)
        return matching(*args, chunks=chunks, **options)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "match_templates", stopped)
        with pytest.raises(SpikeSortingError, match="No space left"):
            sort(recording, tmp_path / "out", min_cluster_size=5)
    again = []
    monkeypatch.setattr(
        rounds,
        "match_templates",
        lambda *args, chunks, **kw: again.append(chunks) or matching(*args, chunks=chunks, **kw),
    )
    resumed = si_deepsort.resume_sorter(tmp_path / "out")
    assert trains_of(resumed) == trains_of(undisturbed)
    assert len(matched) == 2 and not [chunks for chunks in again if chunks in matched]
    assert sum(map(len, matched + again)) == math.ceil(recording.get_total_duration())


@pytest.mark.slow
def test_units_too_small_to_be_told_apart_are_dropped(scene, tmp_path):
    folder = tmp_path / "out"
    assert len(sort(scene[0], folder, min_spike_size=0.0).unit_ids) == 3
    assert len(sort(scene[0], folder, min_spike_size=1e4, remove_existing_folder=True).unit_ids) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        dict(matching=None),
        dict(clustering="dbscan"),
        dict(detection="locally_exclusive"),
        dict(whitening_order=0, common_reference=False),
    ],
    ids=str,
)
def test_every_choice_finds_units(scene, tmp_path, params):
    recording, truth = scene
    sorting = sort(recording, tmp_path / "out", **params)
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert np.mean(accuracy) > 0.6


@pytest.mark.slow
def test_clusters_of_one_unit_hold_no_spike_twice(scene, tmp_path):
    recording, truth = scene
    sorting = sort(recording, tmp_path / "out", matching=None)
    assert len(sorting.unit_ids) <= len(truth.unit_ids) + 1
    for unit in sorting.unit_ids:
        train = sorting.get_unit_spike_train(unit, 0)
        assert np.diff(train).min() > 0.0005 * recording.get_sampling_frequency()


@pytest.mark.slow
def test_preprocessed_recording_is_left_alone(scene, tmp_path):
    from si_deepsort.preprocessing.band_pass import band_pass

    recording, truth = scene
    sorting = sort(band_pass(recording, freq_min=150.0, freq_max=7000.0), tmp_path / "out", apply_preprocessing=False)
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.min() > 0.9


@pytest.mark.slow
def test_segments_share_units_and_keep_their_times(tmp_path):
    first, trains = small_traces(seed=0)
    second, others = small_traces(seed=1, duration_s=4.0)
    recording = as_recording([first, second], tmp_path / "recording")
    truth = si.NumpySorting.from_unit_dict(
        [dict(enumerate(trains)), dict(enumerate(others))], sampling_frequency=SAMPLING_FREQUENCY
    )
    sorting = sort(recording, tmp_path / "out")
    assert sorting.get_num_segments() == 2
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.min() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("min_spike_size", [None, 1e4], ids=["units", "no units"])
def test_a_silent_last_segment_gives_a_result_that_can_be_compared_saved_and_loaded(tmp_path, min_spike_size):
    first, trains = small_traces(seed=0)
    silent, _ = small_traces(num_units=0, seed=1, duration_s=2.0)
    recording = as_recording([first, silent], tmp_path / "recording")
    sorting = sort(
        recording, tmp_path / "out", **({} if min_spike_size is None else dict(min_spike_size=min_spike_size))
    )
    loaded = si.load(tmp_path / "out" / "sorter_output" / "sorting")
    assert sorting.get_num_segments() == loaded.get_num_segments() == 2
    assert sorting.unit_ids.dtype.kind == "i"
    assert (len(sorting.unit_ids) == len(trains)) == (min_spike_size is None)
    truth = si.NumpySorting.from_unit_dict(
        [dict(enumerate(trains)), {u: np.array([5]) for u in range(3)}], SAMPLING_FREQUENCY
    )
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.min() > 0.85 if min_spike_size is None else accuracy.max() == 0
    si.create_sorting_analyzer(sorting, recording)
    sorting.save(folder=tmp_path / "copy")


@pytest.mark.slow
def test_shanks_do_not_mix(tmp_path):
    """Contacts 15 um apart, but on two shanks: each finds its own units."""
    left, trains = small_traces(num_units=2, seed=0)
    right, others = small_traces(num_units=2, seed=5)
    recording = as_recording(np.concatenate([left, right], axis=1), probe=False)
    probe = line_probe(8)
    probe.contact_positions[4:] = probe.contact_positions[:4] + np.array([15.0, 0.0])
    probe.set_shank_ids(["0"] * 4 + ["1"] * 4)
    recording.set_probe(probe)
    sorting = sort(recording.save(folder=tmp_path / "recording"), tmp_path / "out")
    truth = si.NumpySorting.from_unit_dict([dict(enumerate([*trains, *others]))], SAMPLING_FREQUENCY)
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.min() > 0.85 and len(sorting.unit_ids) == 4


@pytest.mark.slow
def test_counts_and_microvolts_give_the_same_units(scene, tmp_path):
    recording, _ = scene
    counts = si.NumpyRecording([np.round(recording.get_traces() / 0.05).astype("int16") + 2050], SAMPLING_FREQUENCY)
    counts.set_probe(recording.get_probe())
    counts.set_channel_gains(0.05)
    counts.set_channel_offsets(-2050 * 0.05)
    counts = counts.save(folder=tmp_path / "counts")
    first, second = (sort(r, tmp_path / n) for r, n in ((recording, "uV"), (counts, "c")))
    agreement = compare_sorter_to_ground_truth(first, second, exhaustive_gt=True).get_performance()["accuracy"]
    assert agreement.min() > 0.97


def test_steps_are_logged(scene, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="si_deepsort"):
        sort_recording(scene[0], DeepSortSettings(**QUICK), tmp_path, dict(n_jobs=1))
    assert "units" in caplog.text


def test_the_log_says_which_rates_cannot_be_found(scene, tmp_path, caplog):
    recording, _ = scene
    settings = DeepSortSettings(**QUICK, min_cluster_size=20, min_firing_rate=0.0)
    with caplog.at_level(logging.INFO, logger="si_deepsort"):
        sort_recording(recording, settings, tmp_path, dict(n_jobs=1))
    rate_hz = 20 / recording.get_total_duration()
    assert f"fire less than {rate_hz:.2g} Hz cannot be found" in caplog.text


def test_the_smallest_cluster_grows_with_the_duration():
    durations_s = np.linspace(1.0, 200.0, 500)
    sizes = np.array([smallest_cluster(duration_s) for duration_s in durations_s])
    assert np.all(np.diff(sizes) >= 0)
    assert sizes[0] == FEWEST_COMPARED_SPIKES
    assert np.all(sizes[durations_s >= 60.0] == 15)
