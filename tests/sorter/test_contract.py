"""What the sorter promises to users of SpikeInterface: no mistake costs data, no setting is without effect."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import small_recording
from spikeinterface.sorters import run_sorter

from si_deepsort.settings import SettingError
from si_deepsort.sorter.adapter import DeepSortSorter

WRONG_SETTINGS = [
    (dict(detect_treshold=5.0), r"detect_treshold: there is no such setting.*detect_threshold"),
    (dict(num_rounds=1.5), "num_rounds: got 1.5, expected a whole number from 0 to 10"),
    (dict(num_rounds=-1), "num_rounds: got -1"),
    (dict(num_rounds=True), "num_rounds: got True"),
    (dict(seed=-1), "seed: got -1"),
    (dict(min_cluster_size=15.5), "min_cluster_size: got 15.5, expected a whole number"),
    (dict(freq_min=float("nan")), "freq_min: got nan"),
    (dict(freq_min="300"), "freq_min: got '300', expected a number"),
    (dict(freq_min=8000.0), "freq_max: .*must be above freq_min"),
    (dict(detect_threshold=-5.0), "detect_threshold: got -5.0"),
    (dict(detect_threshold=5.0, detection="cnn"), "a probability from 0 to 1 with detection='cnn'"),
    (dict(detection=5), "detection: got 5, expected a text"),
    (dict(detection="kilo"), r"detection: got 'kilo', expected one of energy, cnn, gru, locally_exclusive.*model"),
    (dict(classifier="nowhere"), "classifier: got 'nowhere', expected a model"),
    (dict(clustering="kmeans"), "clustering: got 'kmeans', expected one of 'isosplit'"),
    (dict(apply_preprocessing="yes"), "apply_preprocessing: got 'yes', expected True or False"),
    (dict(job_kwargs="x"), "job_kwargs: got 'x', expected a dictionary"),
    (dict(job_kwargs=dict(njobs=2)), "job_kwargs: got 'njobs', expected names among.*n_jobs"),
    (dict(job_kwargs=dict(n_jobs="two")), "job_kwargs: got .*n_jobs"),
    (dict(job_kwargs=dict(chunk_duration="1 hour")), "job_kwargs: got .*chunk_duration"),
    (dict(job_kwargs=dict(pool_engine="cluster")), "job_kwargs: got pool_engine='cluster'"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A saved recording of a few seconds and its true sorting."""
    return small_recording(tmp_path_factory.mktemp("contract") / "recording", duration_s=4.0)


def contents(folder):
    """Every file of a folder with its bytes and the time of its last change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("params, message", WRONG_SETTINGS, ids=str)
def test_wrong_setting_is_refused_before_anything_is_written(scene, tmp_path, params, message):
    with pytest.raises(SettingError, match=message):
        run_sorter("deepsort", scene[0], folder=tmp_path / "out", **params)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("params, message", WRONG_SETTINGS, ids=str)
def test_wrong_setting_leaves_the_earlier_sorting_untouched(scene, tmp_path, params, message):
    out = tmp_path / "out"
    (out / "sorter_output").mkdir(parents=True)
    (out / "sorter_output" / "spikes.npy").write_bytes(b"an earlier sorting")
    before = contents(out)
    with pytest.raises(SettingError, match=message):
        run_sorter("deepsort", scene[0], folder=out, remove_existing_folder=True, **params)
    assert contents(out) == before
    assert list(tmp_path.iterdir()) == [out], "nothing is left beside it"


@pytest.mark.slow
def test_earlier_sorting_is_replaced_by_a_run_with_valid_settings(scene, tmp_path):
    out = tmp_path / "out"
    (out / "earlier").mkdir(parents=True)
    options = dict(clustering="hdbscan", matching=None, cache="none", seed=np.int64(3), freq_min=np.float32(200.0))
    sorting = run_sorter("deepsort", scene[0], folder=out, remove_existing_folder=True, **options)
    assert not (out / "earlier").exists() and list(tmp_path.iterdir()) == [out]
    params = sorting.sorting_info["params"]["sorter_params"]
    assert (params["seed"], params["freq_min"]) == (3, 200.0), "numbers of numpy are numbers"


@pytest.mark.slow
def test_process_killed_before_its_settings_were_checked_loses_nothing(scene, tmp_path, monkeypatch):
    """The earlier folder waits under another name; the next run finds it there."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "earlier.txt").write_text("an earlier sorting", encoding="utf-8")
    DeepSortSorter.initialize_folder(scene[0], out, False, True)
    assert not (out / "earlier.txt").exists()
    with pytest.raises(SettingError):
        run_sorter("deepsort", scene[0], folder=out, remove_existing_folder=True, seed=-1)
    assert (out / "earlier.txt").read_text(encoding="utf-8") == "an earlier sorting"
    assert list(tmp_path.iterdir()) == [out]


def test_recording_that_cannot_be_sorted_leaves_the_earlier_sorting_untouched(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "earlier.txt").write_text("an earlier sorting", encoding="utf-8")
    without_probe = si.NumpyRecording([np.zeros((20_000, 4), "float32")], 20_000.0)
    with pytest.raises(ValueError, match="no probe"):
        run_sorter("deepsort", without_probe, folder=out, remove_existing_folder=True)
    assert (out / "earlier.txt").exists() and list(tmp_path.iterdir()) == [out]
