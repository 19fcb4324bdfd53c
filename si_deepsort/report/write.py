"""`write_report`: a folder with the page, the metrics, the analyzer, and folders for other programs."""

import json
import shutil
from pathlib import Path
from typing import Any

import spikeinterface.core as si

from .analyze import analyze
from .export import write_phy, write_unit_figures
from .left_out import left_out_units
from .measured import measure_units
from .page import report_page
from .sampled_peaks import sample_peaks

PAGE_FILE, METRICS_FILE, SETTINGS_FILE = "report.html", "metrics.csv", "settings.json"
ANALYZER_FOLDER, PHY_FOLDER, FIGURES_FOLDER = "analyzer", "phy", "spikeinterface_report"
# Says that the folder is ours: only such a folder is ever replaced.
MARKER_FILE = ".si_deepsort_report"
_OWN_FILES = (PAGE_FILE, METRICS_FILE, SETTINGS_FILE, MARKER_FILE)
_OWN_FOLDERS = (ANALYZER_FOLDER, PHY_FOLDER, FIGURES_FOLDER)


def write_report(
    sorting: si.BaseSorting,
    recording: si.BaseRecording,
    folder: str | Path,
    *,
    overwrite: bool = False,
    phy: bool = False,
    unit_figures: bool = False,
    job_kwargs: dict[str, Any] | None = None,
) -> Path:
    """
    Write a report: `report.html`, which needs no other file, `metrics.csv`, `settings.json` and `analyzer/`.

    Parameters
    ----------
    sorting : BaseSorting
        From `run_sorter("deepsort", ...)`, or any other.
    recording : BaseRecording
        The recording that was sorted, as it was given to `run_sorter`.
    folder : str | Path
        New folder.
    overwrite : bool, default: False
        Replace an earlier report in this folder. Other files in it stay; a folder without a report is refused.
    phy : bool, default: False
        Also write `phy/`, which phy opens. One binary file is not copied; another recording is, and the size is logged.
    unit_figures : bool, default: False
        Also write `spikeinterface_report/` by SpikeInterface's `export_report`: a PNG for each unit, about a second
        each. The page shows all units without it; these are figures to use elsewhere.
    job_kwargs : dict | None, default: None
        SpikeInterface's job settings, such as `n_jobs`.

    Returns
    -------
    Path
        The file `report.html`.

    Raises
    ------
    ValueError
        If the folder exists and is not to be replaced, or the sorting does not fit the recording.
    OSError
        If there is no space for phy's copy of the recording.
    """
    folder = Path(folder)
    _check_same_length(sorting, recording)
    _make_room(folder, overwrite)
    (sorter_name, params), left_out = _sorter_params(sorting), left_out_units(sorting)
    units = None
    shown: dict[str, Any] = dict(sorter_name=sorter_name)
    if sorting.count_total_num_spikes() > 0:
        analyzer = analyze(sorting, recording, folder / ANALYZER_FOLDER, params=params, job_kwargs=job_kwargs)
        sorting, units = analyzer.sorting, measure_units(analyzer)
        peaks = sample_peaks(analyzer.recording, units, job_kwargs={**(job_kwargs or {}), "progress_bar": False})
        shown |= dict(peaks=peaks, filtered=analyzer.recording)
        _export(analyzer, recording, folder, units, phy=phy, unit_figures=unit_figures, job_kwargs=job_kwargs)
    (folder / SETTINGS_FILE).write_text(json.dumps(params, indent=1, default=str), encoding="utf-8")
    page = folder / PAGE_FILE
    page.write_text(report_page(sorting, recording, units, params, left_out, **shown), encoding="utf-8")
    return page


def _export(analyzer, recording, folder: Path, units, *, phy: bool, unit_figures: bool, job_kwargs):
    """The metrics, and folders for other programs on request."""
    units.metrics.to_csv(folder / METRICS_FILE)
    if unit_figures:
        write_unit_figures(analyzer, folder / FIGURES_FOLDER)
    if phy:
        write_phy(analyzer, recording, folder / PHY_FOLDER, job_kwargs=job_kwargs)


def _check_same_length(sorting, recording):
    if sorting.get_num_segments() != recording.get_num_segments():
        raise ValueError(
            f"The sorting has {sorting.get_num_segments()} segments, the recording {recording.get_num_segments()}. "
            "Give the recording that was sorted."
        )
    spikes = sorting.to_spike_vector()
    for segment in range(recording.get_num_segments()):
        frames = spikes["sample_index"][spikes["segment_index"] == segment]
        num_frames = recording.get_num_frames(segment)
        if frames.max(initial=-1) >= num_frames:
            raise ValueError(
                f"Segment {segment} of the recording has {num_frames} frames, but the sorting has a spike at "
                f"{frames.max()}. Give the recording that was sorted."
            )


def _make_room(folder: Path, overwrite: bool):
    """Make the folder; remove an earlier report in it, and nothing else."""
    if folder.exists():
        _remove_report(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER_FILE).write_text("This folder was written by si_deepsort.write_report.\n", encoding="utf-8")


def _remove_report(folder: Path, overwrite: bool):
    if not overwrite:
        raise ValueError(f"{folder} exists. Choose another folder, or replace an earlier report with overwrite=True.")
    is_empty = folder.is_dir() and not any(folder.iterdir())
    # Reports of version 0.1.0 have no marker.
    is_former = all((folder / name).is_file() for name in (PAGE_FILE, SETTINGS_FILE))
    is_report = is_former or (folder / MARKER_FILE).is_file()
    if not is_empty and not is_report:
        raise ValueError(f"{folder} was not written by write_report, so it is not replaced. Choose another folder.")
    for name in _OWN_FOLDERS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)


def _sorter_params(sorting) -> tuple[str, dict[str, Any]]:
    """Name and settings of the sorter that made the sorting, if it remembers them."""
    info = (sorting.sorting_info or {}).get("params") or {}
    # A sorting of deepsort that was loaded from its folder has them as annotations.
    name = info.get("sorter_name") or sorting.get_annotation("sorter_name") or ""
    return name, dict(info.get("sorter_params") or sorting.get_annotation("sorter_params") or {})
