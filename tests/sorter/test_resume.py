"""A sorting that was killed or interrupted goes on from its last finished step and gives the same units."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_recording import small_recording
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.sorter import pipeline, prepare
from si_deepsort.sorter.adapter import VERSION_FILE
from si_deepsort.sorter.resume import is_finished, sorting_settings
from si_deepsort.sorter.settings import DeepSortSettings

QUICK = dict(clustering="hdbscan", num_rounds=1)
# A process that stops for good in its second matching, as a long recording would.
HANGING_SORT = """
import signal, sys, time
import si_deepsort, spikeinterface.core as si
from si_deepsort.sorter import rounds
from spikeinterface.sorters import run_sorter
# Ignored where the tests run in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)
match_templates, calls = rounds.match_templates, []
def slow(*args, **options):
    calls.append(1)
    if len(calls) == 2:
        time.sleep(600)
    return match_templates(*args, **options)
rounds.match_templates = slow
run_sorter("deepsort", si.load(sys.argv[1]), folder=sys.argv[2], clustering="hdbscan", num_rounds=1)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder with a saved recording, and the sorting that an undisturbed run gives."""
    folder = tmp_path_factory.mktemp("resume")
    recording, _ = small_recording(folder / "recording", duration_s=5.0)
    return folder, recording, run_sorter("deepsort", recording, folder=folder / "undisturbed", **QUICK)


def assert_same(first, second):
    np.testing.assert_array_equal(first.to_spike_vector(), second.to_spike_vector())


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "interrupted"])
def test_killed_sorting_goes_on(scene, tmp_path, is_killed, monkeypatch):
    folder, _, undisturbed = scene
    out = tmp_path / "out"
    command = [sys.executable, "-c", HANGING_SORT, str(folder / "recording"), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not (out / "sorter_output" / "steps" / "matched_clusters.npy").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        if is_killed:
            process.kill()
        else:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert not is_finished(out)
    finished = {step: step.stat().st_mtime_ns for step in (out / "sorter_output" / "steps").glob("*.npy")}
    monkeypatch.setattr(prepare, "find_peaks", lambda *_, **__: 1 / 0)
    assert_same(si_deepsort.resume_sorter(out), undisturbed)
    assert len(finished) >= 3
    assert all(step.stat().st_mtime_ns == at for step, at in finished.items()), "finished steps are only read"
    assert is_finished(out)


@pytest.mark.slow
def test_failed_sorting_goes_on_with_its_own_settings_and_other_workers(scene, tmp_path, monkeypatch):
    _, recording, undisturbed = scene
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "make_sorting", lambda *_, **__: 1 / 0)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            run_sorter("deepsort", recording, folder=tmp_path / "out", **QUICK)
    with pytest.raises(ValueError, match=r"job_kwargs.*'workers'"):
        si_deepsort.resume_sorter(tmp_path / "out", job_kwargs=dict(workers=2))
    job_kwargs = dict(n_jobs=2, pool_engine="thread")
    assert_same(si_deepsort.resume_sorter(tmp_path / "out", job_kwargs=job_kwargs), undisturbed)
    assert sorting_settings(tmp_path / "out")["job_kwargs"] == job_kwargs, "the folder tells how it was finished"


@pytest.mark.slow
def test_finished_sorting_is_read_and_not_computed(scene, monkeypatch):
    folder, _, undisturbed = scene
    monkeypatch.setattr(pipeline, "sort_recording", lambda *_, **__: 1 / 0)
    assert_same(si_deepsort.resume_sorter(folder / "undisturbed"), undisturbed)


@pytest.mark.slow
def test_half_written_results_are_computed_again(scene, tmp_path):
    _, recording, undisturbed = scene
    sorting = run_sorter("deepsort", recording, folder=tmp_path / "out", **QUICK)
    steps = tmp_path / "out" / "sorter_output" / "steps"
    assert not list(steps.glob("partial*"))
    (steps / "matched.npy").unlink()
    (steps / "partial_matched.npy").write_bytes(b"half of it")
    (tmp_path / "out" / "spikeinterface_log.json").unlink()
    assert_same(si_deepsort.resume_sorter(tmp_path / "out"), undisturbed)
    assert_same(sorting, undisturbed)


@pytest.mark.slow
def test_second_round_knows_what_the_first_looked_at(scene, tmp_path):
    out = tmp_path / "out"
    sorting = run_sorter("deepsort", scene[1], folder=out, clustering="hdbscan", num_rounds=2)
    for step in ("clusters_2", "matched_clusters_2", "matched"):
        (out / "sorter_output" / "steps" / f"{step}.npy").unlink()
    (out / "spikeinterface_log.json").unlink()
    assert_same(si_deepsort.resume_sorter(out), sorting)


def test_folders_that_hold_no_sorting_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no sorting to go on with.*remove_existing_folder=True"):
        si_deepsort.resume_sorter(tmp_path)
    for content, message in (
        (dict(sorter_name="lupin", sorter_params={}), "made by lupin"),
        (dict(sorter_params={}), r"spikeinterface_params.json is damaged \(KeyError: 'sorter_name'\)"),
        ([], "is damaged"),
    ):
        (tmp_path / "spikeinterface_params.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            si_deepsort.resume_sorter(tmp_path)
    (tmp_path / "spikeinterface_params.json").write_text('{"sorter_na', encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        si_deepsort.resume_sorter(tmp_path)


@pytest.fixture
def older(scene, tmp_path):
    """A finished run as version 0.1.0 left it: no version, a setting missing."""
    folder = tmp_path / "older"
    shutil.copytree(scene[0] / "undisturbed", folder)
    (folder / VERSION_FILE).unlink()
    params_file = folder / "spikeinterface_params.json"
    params = json.loads(params_file.read_text(encoding="utf-8"))
    del params["sorter_params"]["min_spike_size"]
    params_file.write_text(json.dumps(params), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_finished_run_of_an_older_version_is_read(older, scene):
    assert_same(si_deepsort.resume_sorter(older), scene[2])
    assert sorting_settings(older)["min_spike_size"] == DeepSortSettings().min_spike_size


@pytest.mark.slow
@pytest.mark.parametrize("log", [None, '{"error": '], ids=["missing", "half written"])
def test_interrupted_run_of_an_older_version_is_refused_with_the_remedy(older, log):
    (older / "spikeinterface_log.json").unlink()
    if log is not None:
        (older / "spikeinterface_log.json").write_text(log, encoding="utf-8")
    with pytest.raises(ValueError, match=r"begun by si_deepsort 0.1.0 or earlier.*Install.*Begin anew"):
        si_deepsort.resume_sorter(older)
    (older / VERSION_FILE).write_text("9.9.9", encoding="utf-8")
    with pytest.raises(ValueError, match=r"begun by si_deepsort 9.9.9"):
        si_deepsort.resume_sorter(older)
