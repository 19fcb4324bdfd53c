"""
Many sortings at once: SpikeInterface's `run_sorter_jobs` for workers that never imported this package.

Worker processes find the sorter because its name imports us where it is unpickled (`register.SorterName`). Slurm jobs
get the name as text, so here they are scripts of this module: `python -m si_deepsort.jobs job.json`.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import spikeinterface.core as si
from spikeinterface.core.core_tools import check_json
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters import run_sorter_jobs as run_in_spikeinterface

from .register import DEEPSORT

SLURM_OPTIONS = {"cpus-per-task": 1, "mem": "4G"}


def run_sorter_jobs(job_list: list[dict], engine: str = "loop", engine_kwargs: dict | None = None, return_output=False):
    """
    Run several sortings, as `spikeinterface.sorters.run_sorter_jobs`.

    Parameters
    ----------
    job_list : list of dict
        Keyword arguments of `run_sorter`; "deepsort" may be a plain string. The dictionaries are left as they are.
    engine : "loop" | "joblib" | "processpoolexecutor" | "dask" | "slurm", default: "loop"
    engine_kwargs : dict | None, default: None
        Of the engine. `mp_context` of processpoolexecutor may be a name ("spawn"); slurm takes `tmp_script_folder`,
        where job files and logs are kept, and `sbatch_args`.
    return_output : bool, default: False
        Return the sortings (loop, joblib, processpoolexecutor).

    Returns
    -------
    list of BaseSorting | None
        With slurm None at once: read the folders with `read_sorter_folder` when the jobs have ended.
    """
    jobs = [{**job, "sorter_name": _importing_name(job["sorter_name"])} for job in job_list]
    options = dict(engine_kwargs or {})
    if engine == "slurm":
        if return_output:
            raise ValueError("engine='slurm' returns at once; read results with read_sorter_folder(folder) later.")
        return submit_slurm_jobs(jobs, options)
    if isinstance(options.get("mp_context"), str):
        # SpikeInterface 0.105.3 documents a name but hands it to concurrent.futures, which wants the object.
        from multiprocessing import get_context

        options["mp_context"] = get_context(options["mp_context"])
    return run_in_spikeinterface(jobs, engine=engine, engine_kwargs=options, return_output=return_output)


def submit_slurm_jobs(jobs: list[dict], options: dict) -> None:
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
        done = subprocess.run(sbatch, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"sbatch refused job {number}: {done.stderr.strip() or done.stdout.strip()}")


def write_job(job: dict, job_file: Path) -> None:
    """
    Keep the arguments of `run_sorter` as JSON.

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


def _importing_name(sorter_name):
    return DEEPSORT if sorter_name == str(DEEPSORT) else sorter_name


if __name__ == "__main__":
    run_job(sys.argv[1])
