"""
A matrix of cases (recordings x seeds x sorters) as independent jobs: on this machine, on dask, on Slurm; resumable.

A results folder holds `study.json` and one folder per case. Starting again runs what is missing or has failed.
"""

import json
import shlex
import subprocess
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from . import peers
from .case import finished_result, run_case
from .recordings import RECIPES, recording_names

if TYPE_CHECKING:
    from distributed import Client

# Version of the files of a results folder.
FORMAT_VERSION = 1
# Recordings that run in minutes, and those of the main table.
QUICK_RECORDINGS = ("tetrode", "linear32", "neuropixels1")
MAIN_RECORDINGS = (*QUICK_RECORDINGS, "neuropixels2", "neuropixels2_drift", "dense", "small", "hybrid")
ENGINES = ("loop", "dask", "slurm")


def plan_cases(
    recordings: Sequence[str],
    sorters: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    duration_s: float = 60.0,
    n_jobs: int = 1,
    warm_up: bool = True,
    params: dict[str, dict[str, Any]] | None = None,
) -> list[dict]:
    """
    The cases of a matrix.

    Parameters
    ----------
    recordings : sequence of str
        Names of benchmark recordings (`recording_names()`), or folders with a recording and its true sorting (see
        `load_ground_truth`), which have no seed and keep their duration.
    sorters : sequence of str
    seeds : sequence of int, default: (0,)
    duration_s : float, default: 60.0
        In s.
    n_jobs : int, default: 1
        Processes that a sorter may use.
    warm_up : bool, default: True
        Whether each sorter runs on a few seconds first, so that compilation is not counted.
    params : dict of dict | None, default: None
        Parameters by sorter, beside the defaults.

    Returns
    -------
    list of dict

    Raises
    ------
    ValueError
        If a name is unknown, or one of the lists is empty.
    """
    for what, given in (("recording", recordings), ("sorter", sorters), ("seed", seeds)):
        if len(given) == 0:
            raise ValueError(f"No {what} was given, expected at least one.")
    for sorter in sorters:
        peers.check_sorter_name(sorter)
    cases = []
    for name in recordings:
        for source in _sources(name, seeds, duration_s):
            drift = source["name"] in RECIPES and RECIPES[source["name"]].drift_um > 0
            for sorter in sorters:
                sorter_params = {**peers.default_params(sorter, drift=drift), **(params or {}).get(sorter, {})}
                cases.append(
                    dict(recording=source, sorter=sorter, params=sorter_params, n_jobs=n_jobs, warm_up=warm_up)
                )
    return cases


def run_cases(
    cases: list[dict],
    folder: str | Path,
    *,
    engine: str = "loop",
    num_workers: int = 1,
    client: "Client | None" = None,
    sbatch_options: dict | None = None,
    timeout_s: float | None = None,
    progress_bar: bool = True,
) -> list[dict]:
    """
    Run cases, each in a process of its own, but for those that are done already.

    Parameters
    ----------
    cases : list of dict
        From `plan_cases`.
    folder : str | Path
        Results folder, new or of an earlier run.
    engine : "loop" | "dask" | "slurm", default: "loop"
        "slurm" submits a job per case and returns at once; call again, or `read_results`, when they have ended.
    num_workers : int, default: 1
        Cases at a time, for "loop".
    client : distributed.Client | None, default: None
        For "dask". None starts a local cluster.
    sbatch_options : dict | None, default: None
        Options of sbatch by name without dashes, for "slurm", e.g. {"mem": "16G"}.
    timeout_s : float | None, default: None
        A case that takes longer has failed.
    progress_bar : bool, default: True

    Returns
    -------
    list of dict
        Results in the order of the cases; those that have not ended are left out.

    Raises
    ------
    ValueError
        If the folder is of another version of the format, the engine is unknown, or two cases differ in nothing but
        their parameters.
    """
    if engine not in ENGINES:
        raise ValueError(f"Unknown engine '{engine}', expected one of {ENGINES}.")
    _check_places(cases)
    folder = open_study(folder)
    case_folders = [write_case(case, folder) for case in cases]
    open_folders = [case_folder for case_folder in case_folders if finished_result(case_folder) is None]
    if engine == "slurm":
        _submit_to_slurm(open_folders, sbatch_options or {})
        return read_results(folder, cases)
    for case_folder in open_folders:
        (case_folder / "result.json").unlink(missing_ok=True)
    iterate = _run_on_dask if engine == "dask" else _run_here
    results = iterate(open_folders, num_workers, client, timeout_s)
    _show_progress(results, len(open_folders), len(case_folders) - len(open_folders), progress_bar)
    return read_results(folder, cases)


def _check_places(cases):
    """Complain about different cases of one recording and sorter: only the last would be kept."""
    places = {(recording_key(case["recording"]), case["sorter"]) for case in cases}
    if len(places) < len({json.dumps(case, sort_keys=True) for case in cases}):
        raise ValueError(
            "Two cases have the same recording and sorter, and would be kept in the same place: run what differs only "
            "in parameters in another folder."
        )


def open_study(folder: str | Path) -> Path:
    """
    A results folder, made if it does not exist.

    Raises
    ------
    ValueError
        If it was made by a version that stores results differently.
    """
    folder = Path(folder).absolute()
    file = folder / "study.json"
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8")).get("format_version")
        if found != FORMAT_VERSION:
            raise ValueError(
                f"{folder} holds results in format {found}, this version writes format {FORMAT_VERSION}. "
                "Choose another folder; nothing in this one was changed."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(format_version=FORMAT_VERSION, made_by=__version__)), encoding="utf-8")
    return folder


def write_case(case: dict, folder: Path) -> Path:
    """Describe a case in a folder of its own; what is there of the same case stays."""
    case_folder = folder / recording_key(case["recording"]) / case["sorter"]
    case_folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(case, indent=1)
    if not (case_folder / "case.json").exists() or (case_folder / "case.json").read_text(encoding="utf-8") != text:
        (case_folder / "case.json").write_text(text, encoding="utf-8")
    return case_folder


def read_results(folder: str | Path, cases: list[dict]) -> list[dict]:
    """Results of those of the cases that have ended."""
    results = []
    for case in cases:
        file = Path(folder) / recording_key(case["recording"]) / case["sorter"] / "result.json"
        if file.exists():
            results.append(json.loads(file.read_text(encoding="utf-8")))
    return results


def recording_key(source: dict) -> str:
    """Folder name of a recording: its name, seed and duration."""
    if "folder" in source:
        return f"{source['name']}-{zlib.crc32(source['folder'].encode()):08x}"
    return f"{source['name']}-seed{source['seed']}-{source['duration_s']:g}s"


def _sources(name, seeds, duration_s):
    if name in RECIPES:
        return [dict(name=name, seed=int(seed), duration_s=float(duration_s)) for seed in seeds]
    if Path(name).exists():
        return [dict(name=Path(name).stem, folder=str(Path(name).absolute()))]
    raise ValueError(
        f"Unknown recording '{name}': neither a file or folder with ground truth nor one of {recording_names()}."
    )


def _run_here(case_folders, num_workers, client, timeout_s):
    with ThreadPoolExecutor(num_workers) as pool:
        jobs = [pool.submit(run_case, case_folder, timeout_s=timeout_s) for case_folder in case_folders]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an interruption, no further case is started


def _run_on_dask(case_folders, num_workers, client, timeout_s):
    from distributed import Client, LocalCluster, as_completed

    if client is None:
        with LocalCluster(n_workers=num_workers, threads_per_worker=1, dashboard_address=None) as cluster:
            with Client(cluster) as own_client:
                yield from _run_on_dask(case_folders, num_workers, own_client, timeout_s)
        return
    jobs = client.map(run_case, [str(folder) for folder in case_folders], timeout_s=timeout_s, pure=False)
    try:
        for job in as_completed(jobs):
            yield job.result()
    finally:
        client.cancel(jobs)


def _submit_to_slurm(case_folders, sbatch_options):
    options = [part for name, value in sbatch_options.items() for part in (f"--{name}", str(value))]
    for case_folder in case_folders:
        code = f"from si_deepsort.benchmarking.case import run_case; run_case({str(case_folder)!r})"
        script = case_folder / "job.sh"
        script.write_text(f"#!/bin/bash\n{shlex.quote(sys.executable)} -c {shlex.quote(code)}\n", encoding="utf-8")
        try:
            subprocess.run(["sbatch", *options, str(script)], check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ValueError(
                "sbatch was not found: the engine 'slurm' needs a machine that submits to Slurm."
            ) from error
        except subprocess.CalledProcessError as error:
            raise ValueError(f"sbatch refused {script}: {error.stderr.strip()}") from error


def _show_progress(results, total, num_done, progress_bar):
    from tqdm import tqdm

    if num_done and progress_bar:
        print(f"{num_done} cases are done already and are not run again.")
    with tqdm(total=total, disable=not progress_bar, desc="benchmark", unit="case") as bar:
        for result in results:
            case = result["case"]
            score = f"{result['mean_accuracy']:.3f}" if result["status"] == "done" else result["status"]
            bar.set_postfix_str(f"{recording_key(case['recording'])} {case['sorter']}: {score}")
            bar.update()
