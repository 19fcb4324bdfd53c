"""A long recording on a dask cluster: the same spikes as on one machine, also when a worker is killed."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from small_recording import small_recording, unit_templates, white_recording_of
from spikeinterface.core.node_pipeline import run_node_pipeline
from spikeinterface.sorters import run_sorter

from si_deepsort.sorter import cluster_stream
from si_deepsort.sorter.cluster_stream import run_on_cluster, run_task
from si_deepsort.sorter.matching.match import PursuitMatching, as_si_templates
from si_deepsort.sorter.reproducible import whole_chunks
from si_deepsort.sorter.settings import DeepSortSettings

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return small_recording(tmp_path_factory.mktemp("cluster") / "recording", duration_s=6.3)[0]


@pytest.fixture(scope="module")
def cluster():
    """Two processes that have never imported the package."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture
def matching(recording):
    """White traces and a node that matches in them."""
    white = white_recording_of(recording)
    templates, nbefore = unit_templates(3, 4, amplitude_uV=15.0)
    wrapped = as_si_templates(white, templates.astype("float32"), nbefore)
    return white, PursuitMatching(white, wrapped, thresholds=np.full(3, 18.0))


def test_chunks_cover_the_recording(recording):
    chunks = whole_chunks(recording)
    assert [start for _, start, _ in chunks] == [20_000 * number for number in range(7)]
    assert chunks[-1][2] == recording.get_num_frames()


def test_another_version_is_refused(matching):
    with pytest.raises(RuntimeError, match=r"0\.0\.0 where the sorting was started"):
        run_task([(0, 0, 100)], recording=matching[0], node=matching[1], version="0.0.0")


def test_a_scheduler_that_is_not_there_is_told(matching, monkeypatch):
    monkeypatch.setattr(cluster_stream, "TIMEOUT", "1s")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
        run_on_cluster(*matching, [(0, 0, 100)], scheduler="tcp://127.0.0.1:1", job_name="match")


@pytest.mark.slow
def test_a_killed_worker_loses_no_chunk(cluster, matching):
    white, node = matching
    expected = run_node_pipeline(white, [node], dict(n_jobs=1, chunk_duration="1s", progress_bar=False))
    killed = []

    def kill_a_busy_worker():
        with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
            processes = client.run(os.getpid)
            for _ in range(600):
                busy = [worker for worker, tasks in client.processing().items() if tasks]
                if busy:
                    killed.append(processes[busy[0]])
                    os.kill(killed[0], signal.SIGKILL)
                    return
                time.sleep(0.05)

    killer = threading.Thread(target=kill_a_busy_worker)
    killer.start()
    found = run_on_cluster(
        white, node, whole_chunks(white), scheduler=cluster.scheduler_address, job_name="match", chunks_per_task=1
    )
    killer.join()
    assert killed
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_sorting_on_a_cluster_gives_the_same_spikes(cluster, recording, tmp_path):
    options = dict(num_rounds=1, motion_correction=None)
    here = run_sorter("deepsort", recording, folder=tmp_path / "here", **options)
    address = cluster.scheduler_address
    there = run_sorter("deepsort", recording, folder=tmp_path / "there", dask_scheduler=address, **options)
    assert len(here.to_spike_vector()) > 50
    np.testing.assert_array_equal(there.to_spike_vector(), here.to_spike_vector())


@pytest.mark.slow
def test_workers_that_cannot_read_the_recording_are_told_of(cluster, matching, recording):
    """The files are there when the sorting begins, but not for the workers."""
    white, node = matching
    folder = recording._kwargs["folder_path"]
    hidden = folder + "_hidden"
    os.rename(folder, hidden)
    try:
        with pytest.raises(
            RuntimeError, match=r"failed: [A-Z]\w+.*must see the recording under the same path.*resume_sorter"
        ):
            run_on_cluster(white, node, [(0, 0, 100)], scheduler=cluster.scheduler_address, job_name="match")
    finally:
        os.rename(hidden, folder)


def test_the_address_is_a_setting():
    assert DeepSortSettings(dask_scheduler="tcp://host:8786").dask_scheduler == "tcp://host:8786"
