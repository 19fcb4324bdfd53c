"""Analyze a sorting with SpikeInterface's own parts and write the report."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import spikeinterface.core as si

from ..geometry import recording_geometry
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..sorter.adapter import DeepSortSettings
from .figures import make_figures
from .page import render_page

logger = logging.getLogger(__name__)

METRICS = ("num_spikes", "firing_rate", "presence_ratio", "snr", "isi_violation", "rp_violation", "amplitude_median")
EXTENSIONS = ("random_spikes", "noise_levels", "templates", "spike_amplitudes", "unit_locations", "correlograms")
SPARSE_FROM_CHANNELS = 12


def write_report(
    sorting, recording, folder: str | Path, *, overwrite=False, phy=False, unit_figures=False, job_kwargs=None
) -> Path:
    """
    Write a report: `report.html`, which needs no other file, `metrics.csv` and the analyzer.

    Parameters
    ----------
    sorting : BaseSorting
        From `run_sorter("deepsort", ...)`, or any other.
    recording : BaseRecording
        What was sorted, as given to `run_sorter`.
    folder : str | Path
        New folder.
    overwrite : bool, default: False
        Delete the folder first if it exists.
    phy : bool, default: False
        Also write `phy/`, which phy opens.
    unit_figures : bool, default: False
        Also write `spikeinterface_report/`: SpikeInterface's `export_report`, one figure for each unit.
    job_kwargs : dict | None, default: None
        Of SpikeInterface.

    Returns
    -------
    Path
        Of `report.html`.

    Raises
    ------
    ValueError
        If the folder exists and `overwrite` is False, or the sorting is of a longer recording.
    """
    folder = Path(folder)
    _check_lengths(sorting, recording)
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists. Choose another folder, or pass overwrite=True to replace it.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    params = _sorter_params(sorting)
    analyzer, metrics = None, None
    if sorting.count_total_num_spikes() > 0:
        analyzer = analyze(sorting, recording, folder / "analyzer", params=params, job_kwargs=job_kwargs)
        metrics = analyzer.get_extension("quality_metrics").get_data()
        metrics.to_csv(folder / "metrics.csv")
        _export(analyzer, folder, phy=phy, unit_figures=unit_figures)
    page = folder / "report.html"
    page.write_text(
        render_page(sorting, recording, metrics, make_figures(recording, analyzer), params), encoding="utf-8"
    )
    (folder / "settings.json").write_text(json.dumps(params, indent=1, default=str), encoding="utf-8")
    return page


def _check_lengths(sorting, recording):
    spikes = sorting.to_spike_vector()
    for segment in range(recording.get_num_segments()):
        frames = spikes["sample_index"][spikes["segment_index"] == segment]
        num_frames = recording.get_num_frames(segment)
        if frames.max(initial=-1) >= num_frames:
            raise ValueError(
                f"Segment {segment} of the recording has {num_frames} frames, but the sorting has a spike at "
                f"{frames.max()}. Give the recording that was sorted."
            )


def analyze(sorting, recording, folder: str | Path, *, params: dict | None = None, job_kwargs: dict | None = None):
    """
    SpikeInterface's SortingAnalyzer of a sorting, with templates, amplitudes, locations and quality metrics.

    Parameters
    ----------
    recording : BaseRecording
        Raw; it is band-passed and referenced as the sorter does, without whitening.
    folder : str | Path
        New folder for the analyzer.
    params : dict | None, default: None
        Settings of the sorter; None takes its defaults.

    Returns
    -------
    SortingAnalyzer
    """
    job_kwargs = job_kwargs or {}
    prepared = _prepared(recording, {**_defaults(), **(params or {})})
    analyzer = si.create_sorting_analyzer(
        sorting.select_units([unit for unit in sorting.unit_ids if _num_spikes(sorting, unit) > 0]),
        prepared,
        format="binary_folder",
        folder=folder,
        sparse=prepared.get_num_channels() >= SPARSE_FROM_CHANNELS,
        return_in_uV=prepared.has_scaleable_traces(),
        **job_kwargs,
    )
    method = "monopolar_triangulation" if prepared.get_num_channels() >= 4 else "center_of_mass"
    analyzer.compute(
        list(EXTENSIONS),
        extension_params={"unit_locations": {"method": method}, "random_spikes": {"max_spikes_per_unit": 300}},
        **job_kwargs,
    )
    analyzer.compute("quality_metrics", metric_names=list(METRICS), **job_kwargs)
    return analyzer


def _prepared(recording, params):
    if not recording.has_channel_location():
        recording_geometry(recording)
        recording = si.ChannelSliceRecording(recording)
        recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    if not params["apply_preprocessing"]:
        return recording
    prepared = band_pass(recording, freq_min=params["freq_min"], freq_max=params["freq_max"])
    return common_reference(prepared) if params["common_reference"] else prepared


def _export(analyzer, folder, *, phy, unit_figures):
    if unit_figures:
        from spikeinterface.exporters import export_report

        export_report(analyzer, folder / "spikeinterface_report")
    if phy and analyzer.get_num_segments() > 1:
        logger.warning("phy reads one segment, the sorting has %d: no phy folder", analyzer.get_num_segments())
    elif phy:
        from spikeinterface.exporters import export_to_phy

        export_to_phy(analyzer, folder / "phy", compute_pc_features=False, verbose=False)


def _sorter_params(sorting) -> dict:
    """Settings that made the sorting, if it remembers them."""
    info = sorting.sorting_info or {}
    return dict(info.get("params", {}).get("sorter_params", {}))


def _defaults() -> dict:
    from ..settings import default_params

    return default_params(DeepSortSettings)


def _num_spikes(sorting, unit) -> int:
    return sum(len(sorting.get_unit_spike_train(unit, segment)) for segment in range(sorting.get_num_segments()))
