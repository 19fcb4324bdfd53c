"""The same seed gives the same spikes, whatever computes them: threads, workers, chunks, caches, resumed runs."""

import subprocess
import sys

import numpy as np
import pytest
from small_recording import small_recording
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError
from threadpoolctl import threadpool_limits

import si_deepsort
from si_deepsort.sorter.reproducible import fixed_chunks
from si_deepsort.threads import num_threads

# No multiple of a chunk, in s.
DURATION_S = 5.3
# How the work may be split up.
WORKERS = [dict(n_jobs=1), dict(n_jobs=2, pool_engine="process"), dict(n_jobs=2, pool_engine="thread")]
DURATIONS = ["500ms", "1s", "2s"]
CACHES = ["folder", "memory", "none"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A recording, and the folder and the spikes of its sorting with all defaults."""
    folder = tmp_path_factory.mktemp("same")
    recording, _ = small_recording(folder / "recording", duration_s=DURATION_S)
    return recording, folder / "default", spikes_of(recording, folder / "default")


def spikes_of(recording, folder, *, threads=1, cache="folder", **job_kwargs):
    with threadpool_limits(threads):
        sorting = run_sorter("deepsort", recording, folder=folder, cache=cache, num_rounds=1, job_kwargs=job_kwargs)
    return sorting.to_spike_vector()


# Two threads of a process whose sortings overlap; in a process of its own, because tests run with one thread.
OVERLAPPING = """
import threading
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from si_deepsort.sorter.reproducible import one_thread

def numbers():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

def sort(started, may_end):
    with one_thread():
        started.set()
        assert may_end.wait(30)
        assert torch.get_num_threads() == 1

torch.set_num_threads(2)
threadpool_limits(2)
with threadpool_limits(None):
    pass
assert numbers() == {2}, numbers()
for order in ([0, 1], [1, 0]):
    events = [(threading.Event(), threading.Event()) for _ in order]
    threads = [threading.Thread(target=sort, args=pair) for pair in events]
    for thread, (started, _) in zip(threads, events):
        thread.start()
        assert started.wait(30)
    for number in order:
        assert numbers() == {1}, numbers()
        events[number][1].set()
        threads[number].join(30)
    assert numbers() == {2}, numbers()
try:
    with one_thread():
        1 / 0
except ZeroDivisionError:
    assert numbers() == {2} and torch.get_num_threads() == 2, numbers()
"""


def test_limit_holds_for_all_threads_until_the_last_one_ends():
    subprocess.run([sys.executable, "-c", OVERLAPPING], check=True, timeout=120)


@pytest.mark.parametrize("length", [dict(chunk_duration="3s"), dict(chunk_size=10), dict(total_memory="1M"), {}])
def test_chunks_of_detection_and_matching_are_fixed(length):
    asked = dict(n_jobs=2, **length)
    assert fixed_chunks(asked) == dict(n_jobs=2, chunk_duration="1s")
    assert asked == dict(n_jobs=2, **length), "the user's options are left as they are"


@pytest.mark.parametrize(
    "options",
    [
        dict(threads=2, cache="none", chunk_duration="500ms"),
        dict(threads=2, cache="memory", chunk_duration="2s", n_jobs=2, pool_engine="process"),
        dict(n_jobs=2),
    ],
    ids=["threads, chunks, no cache", "processes, chunks, memory", "workers alone"],
)
def test_spikes_are_the_same(scene, tmp_path, options):
    recording, _, expected = scene
    assert len(expected) > 50
    np.testing.assert_array_equal(spikes_of(recording, tmp_path / "out", **options), expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", range(3), ids=["1 worker", "2 processes", "2 threads"])
@pytest.mark.parametrize("cache", range(3), ids=CACHES)
def test_spikes_are_the_same_in_all_combinations_of_two(scene, tmp_path, cache, workers):
    """Workers, caches and chunks are combined as in a Latin square: each two of their values meet once."""
    recording, _, expected = scene
    options = dict(cache=CACHES[cache], chunk_duration=DURATIONS[(cache + workers) % 3], **WORKERS[workers])
    found = spikes_of(recording, tmp_path / "out", threads=1 + (3 * cache + workers) % 2, **options)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_spikes_are_the_same_after_each_interruption(scene):
    _, folder, expected = scene
    steps = sorted((folder / "sorter_output" / "steps").glob("*.npy"), key=lambda step: step.stat().st_mtime_ns)
    assert len(steps) >= 5
    # From the last step backwards, so that each run goes on from one step fewer.
    for step in reversed(steps):
        step.unlink()
        (folder / "spikeinterface_log.json").unlink()
        np.testing.assert_array_equal(
            si_deepsort.resume_sorter(folder).to_spike_vector(), expected, err_msg=f"before {step.stem}"
        )


@pytest.mark.parametrize("asked, engine", [({}, "thread"), (dict(pool_engine="process"), "process")])
def test_threads_do_the_work_unless_a_run_asks_for_processes(tmp_path, monkeypatch, asked, engine):
    from si_deepsort.sorter import pipeline

    seen = []

    def spied(recording, settings, folder, job_kwargs, *others):
        seen.append((job_kwargs["pool_engine"], num_threads()))
        raise InterruptedError("seen enough")

    monkeypatch.setattr(pipeline, "sort_recording", spied)
    recording, _ = small_recording(tmp_path / "recording", duration_s=1.0)
    with pytest.raises(SpikeSortingError, match="seen enough"):
        run_sorter("deepsort", recording, folder=tmp_path / "out", job_kwargs=dict(n_jobs=2, **asked))
    assert seen == [(engine, 2)]


def test_first_run_says_that_it_compiles(tmp_path, monkeypatch, caplog):
    from si_deepsort.sorter.adapter import _tell_of_compilation
    from si_deepsort.sorter.matching import kernels

    class Stats:
        cache_path = str(tmp_path)

    class Function:
        __name__, stats = "find_spikes", Stats

    monkeypatch.setattr(kernels, "find_spikes", Function())
    _tell_of_compilation()
    assert "first run after installing" in caplog.text
    caplog.clear()
    (tmp_path / "kernels.find_spikes-1.py311.nbi").touch()
    _tell_of_compilation()
    assert not caplog.text
