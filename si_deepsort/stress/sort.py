"""Run sorters on the recordings of a stress test; a sorter that fails is reported, the others go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import spikeinterface.core as si

from ..jobs import run_sorter_jobs
from .plan import Run

# Last lines of a sorter's error that are kept.
NUM_ERROR_LINES = 12
# Engines that return before the sortings have ended.
LATER_ENGINES = ("slurm",)


def sort_all(
    runs: list[tuple[Run, si.BaseRecording]],
    sorter_params: dict[str, dict[str, Any]],
    *,
    engine: str,
    engine_kwargs: dict[str, Any] | None,
    progress_bar: bool,
) -> None:
    """
    Run what has not ended yet, and keep the results.

    Parameters
    ----------
    runs : list of (Run, BaseRecording)
    sorter_params : dict of dict
        Parameters by sorter.
    engine : str
        As for `run_sorter_jobs`. With "slurm" jobs are submitted; their results are kept by a later call.
    engine_kwargs : dict | None
    progress_bar : bool
    """
    from tqdm import tqdm

    params = {run: sorter_params.get(run.sorter, {}) for run, _ in runs}
    waiting = [
        (run, recording) for run, recording in runs if not run.is_done(params[run]) and not _keep(run, params[run])
    ]
    if engine in LATER_ENGINES:
        waiting = [(run, recording) for run, recording in waiting if not run.sorter_folder.exists()]
    # One after the other, each result is kept at once; in parallel, when all have ended.
    batches = [[one] for one in waiting] if engine == "loop" else [waiting] if waiting else []
    for batch in tqdm(batches, desc="stress test", unit="sorting", disable=not progress_bar or len(batches) < 2):
        jobs = [_job(run, recording, params[run]) for run, recording in batch]
        error = None
        try:
            run_sorter_jobs(jobs, engine=engine, engine_kwargs=engine_kwargs)
        except Exception as raised:
            if engine != "loop" and not any(job["folder"].exists() for job in jobs):
                raise
            error = raised
        for run, _ in batch:
            if not _keep(run, params[run]) and engine not in LATER_ENGINES:
                run.finish(_failed(run.sorter_folder, error), params[run])


def _job(run: Run, recording: si.BaseRecording, params: dict[str, Any]) -> dict[str, Any]:
    shutil.rmtree(run.sorter_folder, ignore_errors=True)
    run.sorter_folder.parent.mkdir(parents=True, exist_ok=True)
    return dict(
        sorter_name=run.sorter,
        recording=recording,
        folder=run.sorter_folder,
        verbose=False,
        raise_error=False,
        **params,
    )


def _keep(run: Run, params: dict[str, Any]) -> bool:
    """Keep the sorting of a sorter that has ended well; False if it has not."""
    from spikeinterface.sorters import read_sorter_folder

    log = _log(run.sorter_folder)
    if log is None or log.get("error"):
        return False
    try:
        sorting = read_sorter_folder(run.sorter_folder, register_recording=False, sorting_info=False)
    except Exception:
        # Half a folder, of a run that was interrupted.
        return False
    result = dict(status="done", num_units=len(sorting.unit_ids), run_time_s=log.get("run_time"))
    run.finish(result, params, sorting)
    return True


def _failed(folder: Path, error: Exception | None) -> dict[str, Any]:
    log = _log(folder) or {}
    text = "\n".join(log.get("error_trace") or []) if isinstance(log.get("error_trace"), list) else ""
    text = text or str(log.get("error_trace") or "") or (f"{type(error).__name__}: {error}" if error else "")
    lines = [line for line in text.splitlines() if line.strip()] or ["The sorter left no result and no error."]
    return dict(status="failed", error=lines[-1].strip(), trace=lines[-NUM_ERROR_LINES:])


def _log(folder: Path) -> dict[str, Any] | None:
    file = folder / "spikeinterface_log.json"
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None
