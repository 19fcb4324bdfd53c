"""The folder of a run: finished steps are read, unfinished ones computed, and no half-written result is one."""

import numpy as np
import pytest
from held_files import held_files_stay, needs_proc
from small_recording import small_recording

from si_deepsort.sorter.adapter import DeepSortSettings
from si_deepsort.sorter.pipeline import sort_recording
from si_deepsort.sorter.run_folder import RunFolder


def never():
    raise AssertionError("a finished step is computed again")


def test_a_step_is_computed_once(tmp_path):
    first = RunFolder(tmp_path / "run").keep("spikes", lambda: np.arange(3))
    np.testing.assert_array_equal(first, [0, 1, 2])
    np.testing.assert_array_equal(RunFolder(tmp_path / "run").keep("spikes", never), [0, 1, 2])


def test_a_step_with_several_results_is_finished_when_all_are_there(tmp_path):
    run = RunFolder(tmp_path)
    run.keep_all(("spikes", "clustered"), lambda: (np.arange(3), np.arange(2)))
    assert [len(result) for result in run.keep_all(("spikes", "clustered"), never)] == [3, 2]
    (run.steps / "clustered.npy").unlink()
    again = run.keep_all(("spikes", "clustered"), lambda: (np.arange(5), np.arange(4)))
    assert [len(result) for result in again] == [5, 4]


def test_a_step_that_fails_leaves_nothing(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run.keep("spikes", lambda: 1 / 0)
    (run.steps / "partial_spikes.npy").write_bytes(b"half of it")
    assert run.keep("spikes", lambda: np.arange(4)).tolist() == [0, 1, 2, 3]
    assert [path.name for path in run.steps.iterdir()] == ["spikes.npy"]


def test_only_the_traces_are_removed(tmp_path):
    run = RunFolder(tmp_path)
    run.keep("spikes", lambda: np.arange(3))
    for folder in (run.traces, run.corrected_traces, run.motion):
        folder.mkdir()
    run.remove_traces()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion", "steps"]


@needs_proc
def test_traces_that_are_still_read_are_told(tmp_path, caplog):
    run = RunFolder(tmp_path)
    run.traces.mkdir()
    np.save(run.traces / "segment0.npy", np.zeros(9))
    with held_files_stay(tmp_path):
        read = np.load(run.traces / "segment0.npy", mmap_mode="r")
        run.remove_traces()
        assert run.traces.exists() and "could not be deleted" in caplog.text
        del read
        run.remove_traces()
    assert not run.traces.exists()


@needs_proc
@pytest.mark.parametrize("settings", [dict(), dict(matching=None)], ids=["matched", "clustered"])
def test_nothing_reads_the_traces_when_they_are_deleted(settings, tmp_path, caplog):
    """As on Windows, where they would stay: gigabytes in each result."""
    recording, _ = small_recording(duration_s=2.0)
    settings = DeepSortSettings(clustering="hdbscan", num_rounds=0, assess=False, **settings)
    with held_files_stay(tmp_path):
        sort_recording(recording, settings, tmp_path, dict(n_jobs=1, progress_bar=False))
    assert not (tmp_path / "traces").exists() and "could not be deleted" not in caplog.text
