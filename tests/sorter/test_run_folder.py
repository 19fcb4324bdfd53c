"""The folder of a run: finished steps are read, unfinished ones computed, and no half-written result is one."""

import numpy as np
import pytest

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
