"""Any sorting can be judged: good and bad units are told apart, and a wrong recording is refused."""

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

import si_deepsort
from si_deepsort.assessment import Assessment
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe

SETTINGS = GenerationSettings(
    duration_s=12.0,
    num_units=5,
    num_far_units=10,
    amplitude_min_uV=90.0,
    amplitude_max_uV=200.0,
    firing_rate_min=6.0,
    firing_rate_max=12.0,
    positive_fraction=0.0,
    seed=3,
)
GOOD, CUT, MIXED, JUNK = "good", "cut", "mixed", "junk"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A saved recording, its truth, and a sorting with a whole unit, a part of one, a mixture and noise."""
    recording, truth = generate_recording(named_probe("tetrode"), SETTINGS)
    recording = recording.save(folder=tmp_path_factory.mktemp("assess") / "recording")
    trains = [truth.get_unit_spike_train(unit) for unit in truth.unit_ids]
    rng = np.random.default_rng(0)
    units = {
        GOOD: trains[0],
        CUT: trains[1][::4],
        MIXED: np.sort(np.concatenate([trains[2], trains[3]])),
        JUNK: np.sort(rng.integers(0, recording.get_num_frames(), 120)),
    }
    return recording, truth, si.NumpySorting.from_unit_dict([units], recording.get_sampling_frequency())


@pytest.fixture(scope="module")
def assessment(scene):
    recording, _, sorting = scene
    return si_deepsort.assess(sorting, recording)


def test_units_are_told_apart(assessment):
    precision, recall = assessment.units["expected_precision"], assessment.units["expected_recall"]
    assert precision[GOOD] > precision[MIXED] > precision[JUNK]
    assert recall[GOOD] > recall[CUT]
    assert assessment.units.loc[JUNK, "label"] != "good" and assessment.units.loc[GOOD, "label"] == "good"


def test_reasons_name_what_is_wrong(assessment):
    assert "left in the traces" in assessment.units.loc[CUT, "reasons"]
    assert "hardly stand out from noise" in assessment.units.loc[JUNK, "reasons"]


def test_bounds_hold_the_expected_value(assessment):
    for name in ("precision", "recall"):
        low, middle, high = (
            assessment.units[column] for column in (f"{name}_lower", f"expected_{name}", f"{name}_upper")
        )
        assert (0 <= low).all() and (low <= middle).all() and (middle <= high).all() and (high <= 1).all()
    probabilities = assessment.units[[column for column in assessment.units if column.startswith("probability_")]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_spikes_of_noise_are_improbable(scene, assessment):
    _, _, sorting = scene
    units = sorting.to_spike_vector()["unit_index"]
    probability = assessment.spikes["probability"]
    assert len(probability) == len(units) and probability.between(0, 1).all()
    mean = probability.groupby(units).mean()
    assert mean[0] > 0.9 and mean[3] < 0.5


def test_missed_neurons_are_counted(scene, assessment):
    recording, truth, _ = scene
    everything = si_deepsort.assess(truth, recording)
    assert assessment.missed["missed"].sum() > everything.missed["missed"].sum()
    assert (assessment.missed["lower"] <= assessment.missed["upper"]).all()
    assert assessment.missed_by_depth["events_per_s"].sum() > everything.missed_by_depth["events_per_s"].sum()


def test_same_seed_same_result(scene, assessment):
    recording, _, sorting = scene
    again = si_deepsort.assess(sorting, recording.clone())
    assert again.units.equals(assessment.units) and again.spikes.equals(assessment.spikes)


def test_inputs_are_not_changed(scene):
    recording, _, sorting = scene
    before = sorting.to_spike_vector().copy(), list(sorting.get_property_keys())
    si_deepsort.assess(sorting, recording)
    assert np.array_equal(sorting.to_spike_vector(), before[0]) and list(sorting.get_property_keys()) == before[1]


def test_every_spike_is_judged_on_request(scene, assessment):
    recording, _, sorting = scene
    whole = si_deepsort.assess(sorting, recording, every_spike=True)
    assert whole.spikes["is_judged"].all()
    part = si_deepsort.assess(sorting, recording, duration_s=4.0)
    assert 0 < part.spikes["is_judged"].mean() < 1
    unjudged = part.spikes[~part.spikes["is_judged"]]
    units = sorting.to_spike_vector()["unit_index"][unjudged.index]
    np.testing.assert_allclose(unjudged["probability"], part.units["expected_precision"].to_numpy()[units], rtol=1e-6)


@pytest.mark.parametrize("prepare", [spre.bandpass_filter, spre.whiten, spre.common_reference])
def test_earlier_preprocessing_changes_little(scene, assessment, prepare):
    recording, _, sorting = scene
    prepared = prepare(recording.astype("float32"))
    again = si_deepsort.assess(sorting, prepared)
    precision = again.units["expected_precision"]
    assert precision[GOOD] > precision[JUNK] + 0.3
    assert again.units.loc[GOOD, "label"] == "good"


def test_several_segments(scene):
    recording, _, sorting = scene
    half = recording.get_num_frames() // 2
    parts = [(0, half), (half, recording.get_num_frames())]
    recordings = si.append_recordings([recording.frame_slice(*part) for part in parts])
    sortings = si.append_sortings([sorting.frame_slice(*part) for part in parts])
    precision = si_deepsort.assess(sortings, recordings).units["expected_precision"]
    assert precision[GOOD] > precision[JUNK]


def test_curated_sorting_holds_pure_units(scene, assessment):
    curated = assessment.curate(min_precision=0.8)
    assert GOOD in curated.unit_ids and JUNK not in curated.unit_ids
    assert len(curated.get_property("expected_precision")) == len(curated.unit_ids)
    fewer = assessment.curate(0.0, min_spike_probability=0.5)
    assert fewer.count_num_spikes_per_unit()[JUNK] < 60
    with pytest.raises(ValueError, match="min_precision: got 95"):
        assessment.curate(95)


def test_spikeinterface_applies_the_curation(scene, assessment):
    from spikeinterface.curation import apply_curation

    _, _, sorting = scene
    curated = apply_curation(sorting, assessment.to_curation())
    assert list(curated.get_property("quality")) == list(assessment.units["label"])


def test_properties_follow_the_units(scene, assessment):
    _, _, sorting = scene
    two = sorting.select_units([JUNK, GOOD])
    assessment.set_properties(two)
    expected = assessment.units["expected_precision"][[JUNK, GOOD]]
    np.testing.assert_array_equal(two.get_property("expected_precision"), expected)
    with pytest.raises(ValueError, match="were not judged"):
        assessment.set_properties(sorting.rename_units(["a", "b", "c", "d"]))


def test_save_and_load(scene, assessment, tmp_path):
    folder = assessment.save(tmp_path / "saved")
    loaded = Assessment.load(folder)
    assert loaded.summary() == assessment.summary() and list(loaded.units.index) == list(assessment.units.index)
    assert loaded.spikes.equals(assessment.spikes) and loaded.missed.equals(assessment.missed)
    assert loaded.curate(0.8).count_num_spikes_per_unit() == assessment.curate(0.8).count_num_spikes_per_unit()
    with pytest.raises(ValueError, match="overwrite=True"):
        assessment.save(folder)
    with pytest.raises(ValueError, match="holds no"):
        Assessment.load(tmp_path)


def test_summary_and_page_name_the_worst_unit(assessment):
    assert f"Unit {JUNK}" in assessment.summary() and "<table" in assessment._repr_html_()


def test_few_spikes_and_no_units(scene):
    recording, truth, _ = scene
    rate = recording.get_sampling_frequency()
    few = si.NumpySorting.from_unit_dict(
        [{7: truth.get_unit_spike_train(truth.unit_ids[0])[:3], 9: np.zeros(0, "int64")}], rate
    )
    units = si_deepsort.assess(few, recording).units
    assert "only 3 spikes" in units.loc[7, "reasons"]
    assert units["expected_precision"].between(0, 1).all()
    nothing = si_deepsort.assess(few.select_units([]), recording)
    assert len(nothing.units) == 0 and "No units" in nothing.summary()
    assert len(nothing.curate().unit_ids) == 0 and len(nothing.missed) == 3


def test_another_recording_is_refused(scene):
    recording, _, sorting = scene
    with pytest.raises(ValueError, match="sampled at 30000 Hz, the recording at 20000 Hz"):
        si_deepsort.assess(sorting, si.NumpyRecording([recording.get_traces()], 20_000.0))
    with pytest.raises(ValueError, match="has a spike at frame"):
        si_deepsort.assess(sorting, recording.frame_slice(0, 30_000))
    with pytest.raises(ValueError, match="1 segments, the recording 2"):
        si_deepsort.assess(sorting, si.append_recordings([recording, recording]))
    with pytest.raises(ValueError, match="no probe"):
        si_deepsort.assess(sorting, si.NumpyRecording([recording.get_traces()], 30_000.0))
    silent = si.NumpyRecording([np.zeros_like(recording.get_traces())], 30_000.0)
    silent.set_probe(recording.get_probe())
    with pytest.raises(ValueError, match="are silent"):
        si_deepsort.assess(sorting, silent)
    with pytest.raises(ValueError, match="duration_s: got 0"):
        si_deepsort.assess(sorting, recording, duration_s=0)


def test_a_recording_without_the_spikes_is_doubted(scene):
    recording, _, _ = scene
    rng = np.random.default_rng(1)
    frames = {unit: np.sort(rng.integers(0, recording.get_num_frames(), 80)) for unit in range(6)}
    other = si.NumpySorting.from_unit_dict([frames], recording.get_sampling_frequency())
    with pytest.warns(UserWarning, match="Is it the recording that was sorted"):
        si_deepsort.assess(other, recording)


def test_a_recording_that_is_longer_than_the_sorting_is_doubted(scene):
    recording, truth, _ = scene
    half = recording.get_num_frames() // 2
    with pytest.warns(UserWarning, match=r"between 0 and 6 s of 12 s\. Was a part"):
        si_deepsort.assess(truth.frame_slice(0, half), recording)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="All spikes lie")
        si_deepsort.assess(truth, recording)


def test_shifted_spike_times_are_doubted(scene):
    recording, truth, sorting = scene
    shifted = {unit: truth.get_unit_spike_train(unit)[1:-1] + 18 for unit in truth.unit_ids}
    with pytest.warns(UserWarning, match=r"peak about 0\.7 ms before their spike times"):
        si_deepsort.assess(si.NumpySorting.from_unit_dict([shifted], truth.get_sampling_frequency()), recording)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The waveforms of most units")
        si_deepsort.assess(sorting, recording)


def test_paths_and_exchanged_arguments_are_refused(scene):
    recording, _, sorting = scene
    with pytest.raises(TypeError, match=r"sorting: got str, expected a sorting of SpikeInterface\. Open it"):
        si_deepsort.assess("phy_folder", recording)
    with pytest.raises(TypeError, match=r"recording: got .*Path"):
        si_deepsort.assess(sorting, Path("recording"))
    with pytest.raises(TypeError, match="Were the arguments exchanged"):
        si_deepsort.assess(recording, sorting)


@pytest.mark.slow
def test_a_thousand_units_take_seconds():
    rng = np.random.default_rng(0)
    recording = si.NumpyRecording([rng.standard_normal((5 * 30_000, 128)).astype("float32")], 30_000.0)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(128), 20.0 * np.arange(128)]))
    frames = {f"u{unit}": np.sort(rng.integers(0, 5 * 30_000, 25)) for unit in range(1000)}
    sorting = si.NumpySorting.from_unit_dict([frames], 30_000.0)
    start = time.process_time()
    with pytest.warns(UserWarning, match="hardly stand out"):
        units = si_deepsort.assess(sorting, recording).units
    assert len(units) == 1000 and time.process_time() - start < 60


def test_many_units_of_chance_times_are_not_good():
    """Their refined averages fit the noise, so that each spike fits the average that it is part of."""
    rng = np.random.default_rng(0)
    recording = si.NumpyRecording([rng.standard_normal((5 * 30_000, 8)).astype("float32")], 30_000.0)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(8), 20.0 * np.arange(8)]))
    frames = {f"u{unit}": np.sort(rng.integers(0, 5 * 30_000, 25)) for unit in range(300)}
    with pytest.warns(UserWarning, match="hardly stand out"):
        units = si_deepsort.assess(si.NumpySorting.from_unit_dict([frames], 30_000.0), recording).units
    assert not units["label"].isin(["good", "fragment"]).any()
    assert (units["expected_precision"] < 0.8).all()
    assert units["reasons"].str.contains("resemble the mean of the others").all()
