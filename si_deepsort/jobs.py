"""
Many sortings at once: SpikeInterface's `run_sorter_jobs` for workers that never imported this package.

Worker processes find the sorter because unpickling its name imports the package (`register.SorterName`). Slurm jobs
get the name as text, so here they are scripts of this module: `python -m si_deepsort.jobs job.json`.
"""

import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import spikeinterface.core as si
from spikeinterface.core import BaseSorting
from spikeinterface.core.core_tools import check_json
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters import run_sorter_jobs as run_in_spikeinterface

from .register import DEEPSORT

logger = logging.getLogger(__name__)

# Options of sbatch if the user gives none.
SLURM_OPTIONS = {"cpus-per-task": 1, "mem": "4G"}
ENGINES = ("loop", "joblib", "processpoolexecutor", "dask", "slurm")
# Engines with which SpikeInterface hands back the sortings themselves.
RETURNING_ENGINES = ("loop", "joblib", "processpoolexecutor")


def run_sorter_jobs(
    job_list: list[dict[str, Any]],
    engine: str = "loop",
    engine_kwargs: dict[str, Any] | None = None,
    return_output: bool = False,
) -> list[BaseSorting] | None:
    """
    Run several sortings, as `spikeinterface.sorters.run_sorter_jobs`.

    Parameters
    ----------
    job_list : list of dict
        Keyword arguments of `run_sorter`; "deepsort" may be a plain string. The dictionaries are not changed.
    engine : "loop" | "joblib" | "processpoolexecutor" | "dask" | "slurm", default: "loop"
        What runs the jobs.
    engine_kwargs : dict | None, default: None
        Options of the engine. joblib takes `n_jobs` and `backend`; processpoolexecutor takes `max_workers` and
        `mp_context`, which may be a name ("spawn"); dask needs `client`; slurm takes `tmp_script_folder`, where job
        files and logs are kept, and `sbatch_args`.
    return_output : bool, default: False
        Return the sortings (loop, joblib, processpoolexecutor).

    Returns
    -------
    list of BaseSorting | None
        The sortings in the order of the jobs if `return_output`. Otherwise None, as in SpikeInterface: read each by
        `spikeinterface.sorters.read_sorter_folder(job["folder"])`, with slurm when the jobs have ended.

    Raises
    ------
    ValueError
        If the engine is unknown, cannot return the sortings, or is dask without a client.
    """
    _check_engine(engine, engine_kwargs or {}, return_output)
    jobs = [{**job, "sorter_name": _importing_name(job["sorter_name"])} for job in job_list]
    options = dict(engine_kwargs or {})
    if engine == "slurm":
        submit_slurm_jobs(jobs, options)
        return None
    if isinstance(options.get("mp_context"), str):
        # SpikeInterface 0.105.3 documents a name but hands it to concurrent.futures, which wants the object.
        options["mp_context"] = get_context(options["mp_context"])
    sortings = run_in_spikeinterface(jobs, engine=engine, engine_kwargs=options, return_output=return_output)
    if not return_output:
        logger.info(
            "%d sortings have ended. Read each by read_sorter_folder(folder), or pass return_output=True.", len(jobs)
        )
    return sortings


def _check_engine(engine: str, options: dict[str, Any], return_output: bool) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}, expected one of {', '.join(ENGINES)}.")
    if return_output and engine not in RETURNING_ENGINES:
        raise ValueError(
            f"engine={engine!r} cannot return the sortings, only {', '.join(RETURNING_ENGINES)} can. Leave "
            "return_output out, and read each result by read_sorter_folder(folder) when the jobs have ended."
        )
    if engine == "dask" and options.get("client") is None:
        raise ValueError(
            "engine='dask' needs a client: engine_kwargs=dict(client=dask.distributed.Client(...)). A local one is "
            "made by Client(n_workers=2, threads_per_worker=1)."
        )


def submit_slurm_jobs(jobs: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """Write a file for each job, which holds the whole lazy recording, and submit it with sbatch."""
    folder = Path(options.get("tmp_script_folder") or tempfile.mkdtemp(prefix="si_deepsort_slurm_"))
    folder.mkdir(parents=True, exist_ok=True)
    for number, job in enumerate(jobs):
        job_file = folder.absolute() / f"job_{number}.json"
        write_job(job, job_file)
        script = job_file.with_suffix(".sh")
        command = shlex.join([sys.executable, "-m", "si_deepsort.jobs", str(job_file)])
        script.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
        os.chmod(script, 0o700)
        arguments = {"output": folder / f"job_{number}.log", **SLURM_OPTIONS, **options.get("sbatch_args", {})}
        sbatch = ["sbatch", *(f"--{name}={value}" for name, value in arguments.items()), str(script)]
        try:
            done = subprocess.run(sbatch, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ValueError("sbatch was not found: engine='slurm' needs a machine that submits to Slurm.") from error
        if done.returncode != 0:
            raise OSError(
                f"sbatch refused job {number}: {done.stderr.strip() or done.stdout.strip()}. Options of sbatch are "
                "given by engine_kwargs=dict(sbatch_args={...}); jobs before this one are submitted."
            )


def write_job(job: dict[str, Any], job_file: Path) -> None:
    """
    Write the arguments of `run_sorter` as JSON.

    Raises
    ------
    ValueError
        If the recording exists in memory only.
    """
    recording = job["recording"]
    if not recording.check_serializability("json"):
        raise ValueError("The recording cannot be written to a job file. Save it first: recording.save(folder=...).")
    others = {name: str(value) if isinstance(value, Path) else value for name, value in job.items()}
    others["recording"] = recording.to_dict(recursive=True)
    others["folder"] = str(Path(job["folder"]).absolute())
    job_file.write_text(json.dumps(check_json(others), indent=1), encoding="utf-8")


def run_job(job_file: str | Path) -> None:
    """Run the sorting of a job file."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    job["recording"] = si.load(job["recording"])
    run_sorter(**job)


def _importing_name(sorter_name: str) -> str:
    return DEEPSORT if sorter_name == str(DEEPSORT) else sorter_name


if __name__ == "__main__":
    run_job(sys.argv[1])
