"""Several sortings at once, in workers that never imported the package."""

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from small_recording import small_recording
from spikeinterface.sorters import read_sorter_folder
from spikeinterface.sorters import run_sorter_jobs as run_in_spikeinterface

import si_deepsort
from si_deepsort.jobs import run_job, write_job

# Nothing is clustered: the point is that workers find the sorter, and start quickly.
QUICK = dict(clustering="hdbscan", matching=None, cache="none")
needs_shell = pytest.mark.skipif(os.name == "nt", reason="the stand-in for sbatch is a shell script")
HOOK = Path(__file__).parent.parent / "examples" / "container"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A saved recording of a few seconds."""
    return small_recording(tmp_path_factory.mktemp("jobs") / "recording", duration_s=2.0)[0]


def make_jobs(recording, folder, name="deepsort", count=2):
    return [dict(sorter_name=name, recording=recording, folder=folder / f"out{i}", **QUICK) for i in range(count)]


def assert_sorted(folder, count=2):
    for number in range(count):
        assert len(read_sorter_folder(folder / f"out{number}").unit_ids) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine, options",
    [
        ("loop", {}),
        ("joblib", dict(n_jobs=2, backend="loky")),
        ("processpoolexecutor", dict(max_workers=2, mp_context="fork")),
        ("processpoolexecutor", dict(max_workers=2, mp_context="spawn")),
    ],
    ids=["loop", "loky", "fork", "spawn"],
)
def test_plain_name_works_on_every_engine(recording, tmp_path, engine, options):
    if options.get("mp_context") == "fork" and sys.platform in ("win32", "darwin"):
        pytest.skip("processes cannot be forked here")
    jobs = make_jobs(recording, tmp_path)
    before = [dict(job) for job in jobs]
    sortings = si_deepsort.run_sorter_jobs(jobs, engine=engine, engine_kwargs=options, return_output=True)
    assert jobs == before, "the jobs of the caller are left alone"
    assert len(sortings) == 2 and all(len(sorting.unit_ids) >= 1 for sorting in sortings)
    assert_sorted(tmp_path)


@pytest.mark.slow
def test_dask(recording, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert not any(client.run(lambda: "si_deepsort" in __import__("sys").modules).values())
        si_deepsort.run_sorter_jobs(make_jobs(recording, tmp_path), engine="dask", engine_kwargs=dict(client=client))
    assert_sorted(tmp_path)


@pytest.mark.slow
def test_spikeinterfaces_own_function_takes_our_name(recording, tmp_path):
    jobs = make_jobs(recording, tmp_path, name=si_deepsort.DEEPSORT, count=1)
    run_in_spikeinterface(jobs, engine="processpoolexecutor", engine_kwargs=dict(mp_context=get_context("spawn")))
    assert_sorted(tmp_path, count=1)


@needs_shell
@pytest.mark.slow
def test_slurm_job_files_run_in_a_fresh_process_even_for_lazy_recordings(recording, tmp_path, monkeypatch):
    """A stand-in for sbatch runs the script at once."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    sbatch = bin_folder / "sbatch"
    sbatch.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nfor script; do :; done\nexec "$script"\n', encoding="utf-8"
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    lazy = spre.bandpass_filter(recording, freq_min=200.0, freq_max=6000.0)
    options = dict(tmp_script_folder=tmp_path / "scripts", sbatch_args={"mem": "2G", "time": "01:00:00"})
    jobs = make_jobs(lazy, tmp_path, count=1)
    assert si_deepsort.run_sorter_jobs(jobs, engine="slurm", engine_kwargs=options) is None
    assert_sorted(tmp_path, count=1)
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8")
    assert "--mem=2G" in arguments and "--time=01:00:00" in arguments and "--cpus-per-task=1" in arguments


@needs_shell
def test_slurm_refusal_is_reported(recording, tmp_path, monkeypatch):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n", encoding="utf-8")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OSError, match="no such partition"):
        si_deepsort.run_sorter_jobs(make_jobs(recording, tmp_path), engine="slurm")


def test_missing_sbatch_and_unwritable_recordings_are_reported(recording, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="sbatch was not found"):
        si_deepsort.run_sorter_jobs(make_jobs(recording, tmp_path), engine="slurm")
    in_memory = si.NumpyRecording([np.zeros((100, 4), "float32")], 20_000.0)
    with pytest.raises(ValueError, match="Save it first"):
        write_job(make_jobs(in_memory, tmp_path)[0], tmp_path / "job.json")


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(engine="slurm", return_output=True), "engine='slurm' cannot return.*read_sorter_folder"),
        (dict(engine="dask", return_output=True), "engine='dask' cannot return.*read_sorter_folder"),
        (dict(engine="dask"), r"engine='dask' needs a client: engine_kwargs=dict\(client="),
        (dict(engine="threads"), "engine='threads', expected one of loop, joblib"),
    ],
    ids=str,
)
def test_wrong_engines_are_refused_before_anything_runs(recording, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        si_deepsort.run_sorter_jobs(make_jobs(recording, tmp_path), **options)
    assert not (tmp_path / "out0").exists()


def test_without_output_it_is_said_how_to_read_the_sortings(recording, tmp_path, caplog):
    with caplog.at_level("INFO", logger="si_deepsort"):
        assert si_deepsort.run_sorter_jobs(make_jobs(recording, tmp_path, count=1)) is None
    assert "read_sorter_folder(folder), or pass return_output=True" in caplog.text


def test_job_file_runs(recording, tmp_path):
    write_job(make_jobs(recording, tmp_path)[0], tmp_path / "job.json")
    run_job(tmp_path / "job.json")
    assert_sorted(tmp_path, count=1)


@pytest.mark.slow
def test_hook_of_the_container_image_registers_the_sorter_on_first_use():
    code = (
        f"import site, sys; site.addsitedir({str(HOOK)!r}); "
        "assert 'spikeinterface' not in sys.modules; "
        "from spikeinterface.sorters import sorter_dict; print('deepsort' in sorter_dict)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
