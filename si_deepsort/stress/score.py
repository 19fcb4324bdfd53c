"""Score the runs of a stress test, and describe it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import spikeinterface.core as si

from ..benchmarking.provenance import package_versions
from ..benchmarking.score import score_sorting
from .plan import Run, injected_sorting, load_units, repetition_folder
from .request import Models, Request
from .spikes import rate_limits

# A unit of a sorting is an injected unit, or a unit of another sorting, from this agreement on: SpikeInterface's
# default.
SAME_UNIT = 0.5


def score_runs(folder: Path, runs: list[Run], models: Models) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Tables of the injected units and of the runs.

    Parameters
    ----------
    folder : Path
        The folder of the stress test.
    runs : list of Run
        On hybrid recordings.
    models : Models

    Returns
    -------
    units, runs : pandas.DataFrame
        See `StressTest`.
    """
    units, rows = [], []
    for run in runs:
        result = run.result() or dict(status="not finished")
        kept = np.nan
        if result["status"] == "done" and run.repetition is not None:
            found, own_folder = run.sorting(), repetition_folder(folder, run.repetition)
            table = found_units(load_units(own_folder), injected_sorting(own_folder), found)
            table.insert(0, "sorter", run.sorter)
            table.insert(1, "repetition", run.repetition)
            units.append(table)
            if run.sorter == models.first_sorter and models.first is not None:
                others = _still_there(models.first, table)
                if len(others.unit_ids):
                    accuracy = score_sorting(others, found)["units"]["accuracy"]
                    kept = float(np.mean(np.array(accuracy) >= SAME_UNIT))
        rows.append(
            dict(
                sorter=run.sorter,
                repetition=run.repetition,
                status=result["status"],
                error=result.get("error", ""),
                num_units=result.get("num_units", np.nan),
                run_time_s=result.get("run_time_s", np.nan),
                own_units_kept=kept,
            )
        )
    return pd.concat(units, ignore_index=True) if units else pd.DataFrame(), pd.DataFrame(rows)


def _still_there(first: si.BaseSorting, injected: pd.DataFrame) -> si.BaseSorting:
    """The own units that were not taken out for injected ones."""
    gone = set(injected["replaces"])
    return first.select_units([unit for unit in first.unit_ids if str(unit) not in gone])


def found_units(units: pd.DataFrame, truth: si.BaseSorting, found: si.BaseSorting) -> pd.DataFrame:
    """
    The injected units with their scores; those that did not fire are left out.

    Parameters
    ----------
    units : pandas.DataFrame
        A row for each injected unit, with `unit_id` and `num_spikes`.
    truth : BaseSorting
        The injected spikes.
    found : BaseSorting
        What a sorter made of the hybrid recording, its own units included.

    Returns
    -------
    pandas.DataFrame
        With `accuracy`, `recall`, `precision` (NaN for units that were not found) and `is_found`.
    """
    scores = pd.DataFrame(score_sorting(truth, found)["units"])[["unit_id", "accuracy", "recall", "precision"]]
    table = units.merge(scores, on="unit_id").query("num_spikes > 0").reset_index(drop=True)
    table["is_found"] = table["accuracy"] >= SAME_UNIT
    return table.assign(precision=table["precision"].where(table["is_found"]))


def describe(request: Request, models: Models, num_units: int) -> dict[str, Any]:
    """What was tested and how, as plain values, see `StressTest.facts`."""
    recording = request.recording
    params = {name: {key: str(value) for key, value in own.items()} for name, own in request.params.items()}
    return dict(
        sorters=request.sorters,
        sorter_params=params,
        num_channels=recording.get_num_channels(),
        duration_s=recording.get_total_duration(),
        num_segments=recording.get_num_segments(),
        sampling_frequency=recording.get_sampling_frequency(),
        num_own_units=len(models.own.trains_s),
        units_per_repetition=num_units,
        templates=models.origin,
        num_templates=0 if models.sources is None else len(models.sources.templates),
        own_units_taken_out=models.replaces_units,
        follows_motion=request.motion is not None,
        settings=asdict(request.settings),
        versions=package_versions(),
        notes=_notes(request, models),
    )


def _notes(request: Request, models: Models) -> list[str]:
    """What a reader should know before trusting the numbers."""
    notes = []
    if models.origin == "generated":
        reason = "The recording could not be sorted" if models.first is None else "No unit was found that is a model"
        notes.append(f"{reason}: templates of the package's generator were injected.")
        if _is_whitened(request.recording):
            notes.append(
                "The recording is whitened, the generated templates are not: give sorting=... or templates=... of "
                "whitened units, or the recording before whitening."
            )
    rate_min, _ = rate_limits(request.settings, request.recording.get_total_duration())
    if rate_min > request.settings.rate_range[0]:
        notes.append(f"The recording is short: injected units fire at {rate_min:.3g} Hz or faster.")
    return notes


def _is_whitened(recording: si.BaseRecording | None) -> bool:
    """Whether one of the lazy steps of a recording is a whitening."""
    while recording is not None:
        if "whiten" in type(recording).__name__.lower():
            return True
        recording = recording._kwargs.get("recording")
    return False
