"""
Every setting of the sorter changes something, at the step that its description names and not before.

Whole sortings of a small recording are compared; each takes less than a second. A setting without an entry here fails.
"""

from dataclasses import dataclass, field, fields

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, add_spikes, as_recording, small_traces, spike_trains, unit_templates
from spikeinterface.sorters import run_sorter

from si_deepsort.sorter.front_end import cache as traces_cache
from si_deepsort.sorter.settings import DeepSortSettings

QUICK = dict(clustering="hdbscan", num_rounds=0, motion_correction=None)
# Results in the order of the flow.
PEAKS, CLUSTERS, MATCHED, SPIKES = range(4)


@dataclass(frozen=True)
class Effect:
    """A value of a setting, the first result that it changes, and what is true of the results if that can be said."""

    value: object
    first: int
    base: dict = field(default_factory=dict)
    law: object = None


def num_units(results):
    return len(np.unique(results["sorting"]["unit_index"]))


def most_kept(results, most_per_channel):
    """Peaks that are left if each channel keeps so many at most."""
    return np.minimum(np.bincount(results["peaks"]["channel_index"]), most_per_channel).sum()


EFFECTS = dict(
    apply_preprocessing=Effect(False, PEAKS),
    freq_min=Effect(500.0, PEAKS),
    freq_max=Effect(3000.0, PEAKS),
    whitening_order=Effect(0, PEAKS),
    whitening_radius_um=Effect(0.0, PEAKS),
    detection=Effect("locally_exclusive", PEAKS),
    detect_threshold=Effect(0.99, PEAKS, law=lambda before, after: len(after["peaks"]) < len(before["peaks"])),
    detect_radius_um=Effect(0.0, PEAKS, law=lambda before, after: len(after["peaks"]) > len(before["peaks"])),
    embedding=Effect("autoencoder", CLUSTERS),
    embedding_radius_um=Effect(10.0, CLUSTERS),
    clustering=Effect("dbscan", CLUSTERS),
    min_cluster_size=Effect(170, CLUSTERS, law=lambda before, after: num_units(after) < num_units(before)),
    max_peaks_per_channel=Effect(
        100,
        CLUSTERS,
        law=lambda before, after: len(after["clusters"]) <= most_kept(before, 100) < len(before["clusters"]),
    ),
    merge_distance=Effect(0.0, MATCHED, law=lambda before, after: num_units(after) >= num_units(before)),
    merge_separation=Effect(
        1000.0,
        MATCHED,
        base=dict(num_rounds=1, amplitude_variance=1e-3),
        law=lambda before, after: num_units(after) < num_units(before),
    ),
    matching=Effect(None, MATCHED, law=lambda before, after: "matched_clusters" not in after),
    match_threshold=Effect(1e5, MATCHED, law=lambda before, after: len(after["sorting"]) == 0),
    amplitude_variance=Effect(0.2, MATCHED),
    num_rounds=Effect(1, MATCHED, law=lambda before, after: "matched" in after and "matched" not in before),
    ms_before=Effect(0.5, MATCHED),
    ms_after=Effect(0.8, MATCHED),
    min_firing_rate=Effect(1e3, SPIKES, law=lambda before, after: num_units(before) > num_units(after) == 0),
    min_amplitude=Effect(1e3, SPIKES, law=lambda before, after: num_units(before) > num_units(after) == 0),
    min_spike_size=Effect(1e4, SPIKES, law=lambda before, after: num_units(before) > num_units(after) == 0),
    seed=Effect(1, PEAKS),
)
# Settings whose effect needs a recording or an observation of its own, each with a test below; that of a dask scheduler
# is in test_cluster_stream.py, that of a device in test_device.py, and that of drop_fragments in test_judge.py.
TESTED_BELOW = {
    "assess",
    "cache",
    "common_reference",
    "drop_fragments",
    "motion_correction",
    "classifier",
    "job_kwargs",
    "dask_scheduler",
    "device",
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Six channels; units that fire 30 times a second; the last one is a smaller copy of the first."""
    rng = np.random.default_rng(0)
    traces = (8 * rng.standard_normal((round(6 * SAMPLING_FREQUENCY), 6))).astype("float32")
    templates, nbefore = unit_templates(4, 6)
    templates = np.concatenate([templates, 0.7 * templates[:1]])
    add_spikes(traces, spike_trains(5, len(traces), rng, rate_hz=30.0), templates, nbefore)
    return as_recording(traces, tmp_path_factory.mktemp("effects") / "recording")


@pytest.fixture(scope="module")
def results_by_base():
    """Results without the change, by the other settings."""
    return {}


def sort(recording, folder, **params):
    """Arrays of all steps, and the spike vector of the sorting that they end in."""
    sorting = run_sorter("deepsort", recording, folder=folder, **{**QUICK, **params})
    results = {file.stem: np.load(file) for file in (folder / "sorter_output" / "steps").glob("*.npy")}
    return {**results, "sorting": sorting.to_spike_vector()}


def step_of(name):
    """Position of a result in the flow."""
    return {"peaks": PEAKS, "clusters": CLUSTERS, "sorting": SPIKES}.get(name, MATCHED)


def first_change(before, after):
    """Position in the flow of the first result that differs, or None."""
    names = set(before) | set(after)
    same = {name for name in set(before) & set(after) if np.array_equal(before[name], after[name])}
    return min(map(step_of, names - same), default=None)


def test_every_setting_has_an_entry():
    assert {record.name for record in fields(DeepSortSettings)} == set(EFFECTS) | TESTED_BELOW


@pytest.mark.slow
@pytest.mark.parametrize("name", EFFECTS)
def test_setting_has_an_effect_at_its_step(recording, results_by_base, tmp_path, name):
    effect = EFFECTS[name]
    key = str(effect.base)
    if key not in results_by_base:
        results_by_base[key] = sort(recording, tmp_path / "before", **effect.base)
    before = results_by_base[key]
    after = sort(recording, tmp_path / "after", **{**effect.base, name: effect.value})
    assert first_change(before, after) == effect.first, f"{name} changed nothing, or another step than it should"
    assert effect.law is None or effect.law(before, after)


@pytest.mark.slow
def test_common_reference_acts_on_shanks_with_many_channels(tmp_path):
    recording = as_recording(small_traces(num_channels=32, duration_s=2.0)[0], tmp_path / "recording")
    results = [sort(recording, tmp_path / str(choice), common_reference=choice) for choice in (True, False)]
    assert first_change(*results) == PEAKS


@pytest.mark.parametrize("preset", ["auto", pytest.param("rigid_fast", marks=pytest.mark.slow)])
def test_motion_correction_estimates_motion(recording, tmp_path, preset):
    sort(recording, tmp_path / "without", motion_correction=None)
    sort(recording, tmp_path / "with", motion_correction=preset)
    kept = [(tmp_path / name / "sorter_output" / "motion").exists() for name in ("without", "with")]
    assert kept == [False, True]


@pytest.mark.slow
def test_assess_sets_properties_and_changes_no_spike(recording, tmp_path):
    sortings = [
        run_sorter("deepsort", recording, folder=tmp_path / str(choice), assess=choice, drop_fragments=False, **QUICK)
        for choice in (True, False)
    ]
    assert np.array_equal(*(sorting.to_spike_vector() for sorting in sortings))
    assert len(sortings[0].get_property("expected_precision")) == len(sortings[0].unit_ids) > 0
    assert sortings[1].get_property("expected_precision") is None
    files = [tmp_path / str(choice) / "sorter_output" / "assessment.csv" for choice in (True, False)]
    assert [file.exists() for file in files] == [True, False]


@pytest.mark.slow
def test_classifier_gives_spikes_to_its_units(tmp_path):
    from small_units import make_recording

    from si_deepsort.training.classification.train import ClassifierTrainingSettings, train_classifier

    labelled, truth = make_recording()
    quick = ClassifierTrainingSettings(num_epochs=3, batch_size=32, progress_bar=False, device="cpu")
    train_classifier(labelled, truth, folder=tmp_path / "model", settings=quick)
    saved = labelled.save(folder=tmp_path / "recording")
    options = dict(classifier=tmp_path / "model", apply_preprocessing=False)
    sorting = run_sorter("deepsort", saved, folder=tmp_path / "out", **QUICK, **options)
    assert set(truth.unit_ids) & set(sorting.unit_ids)
    assert set(sorting.get_annotation("models")) == {"detection", "classifier"}


@pytest.mark.slow
def test_no_unit_is_judged_before_a_classifier_assigns_its_spikes(tmp_path, monkeypatch):
    """Fragments would be left out together with spikes that the classifier knows, and their ids would be old ones."""
    from small_units import make_recording

    from si_deepsort.sorter import judge
    from si_deepsort.training.classification.train import ClassifierTrainingSettings, train_classifier

    labelled, truth = make_recording()
    quick = ClassifierTrainingSettings(num_epochs=3, batch_size=32, progress_bar=False, device="cpu")
    train_classifier(labelled, truth, folder=tmp_path / "model", settings=quick)
    monkeypatch.setattr(judge, "few_of_their_spikes", lambda assessment, _: np.ones(len(assessment.units), dtype=bool))
    options = dict(classifier=tmp_path / "model", matching=None, assess=True)
    saved = labelled.save(folder=tmp_path / "recording")
    sorting = run_sorter("deepsort", saved, folder=tmp_path / "out", **(QUICK | options))
    assert set(truth.unit_ids) & set(sorting.unit_ids)
    assert not (tmp_path / "out" / "sorter_output" / "assessment.csv").exists()
    assert "reason" in sorting.get_annotation("dropped_units")


@pytest.mark.slow
def test_job_kwargs_reach_spikeinterface(recording, tmp_path, monkeypatch):
    from spikeinterface.core.job_tools import TimeSeriesChunkExecutor

    seen = []
    run = TimeSeriesChunkExecutor.run

    def spied(executor, *args, **kwargs):
        seen.append(executor.chunk_size)
        return run(executor, *args, **kwargs)

    monkeypatch.setattr(TimeSeriesChunkExecutor, "run", spied)
    sort(recording, tmp_path / "out", job_kwargs=dict(chunk_duration="700ms", progress_bar=True))
    assert round(0.7 * SAMPLING_FREQUENCY) in seen


@pytest.mark.slow
@pytest.mark.parametrize("cache, saves", [("folder", ["folder"]), ("memory", ["memory"]), ("none", [])])
def test_cache_says_where_traces_are_kept(recording, tmp_path, monkeypatch, cache, saves):
    seen = []
    save, write = si.BaseRecording.save, traces_cache._write_traces

    def spied_save(self, *args, **kwargs):
        seen.append(kwargs["format"])
        return save(self, *args, **kwargs)

    def spied_write(*args, **kwargs):
        seen.append("folder")
        return write(*args, **kwargs)

    monkeypatch.setattr(si.BaseRecording, "save", spied_save)
    monkeypatch.setattr(traces_cache, "_write_traces", spied_write)
    sort(recording, tmp_path / "out", cache=cache)
    assert seen == saves
