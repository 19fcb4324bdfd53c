"""Analyze a sorting with SpikeInterface's SortingAnalyzer."""

from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from ..geometry import recording_geometry
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..settings import default_params
from ..sorter.adapter import DeepSortSettings

# Quality metrics by SpikeInterface's names: those that the page shows or checks.
METRICS = (
    "num_spikes",
    "firing_rate",
    "presence_ratio",
    "snr",
    "isi_violation",
    "rp_violation",
    "amplitude_median",
    "amplitude_cutoff",
)
# Extensions by SpikeInterface's names. Correlograms of all pairs are left out: 0.8 GB for 1000 units.
EXTENSIONS = ("random_spikes", "noise_levels", "templates", "spike_amplitudes", "unit_locations", "template_similarity")
# Spikes of a unit that are averaged: the noise of the mean is then 6 % of that of a spike.
MOST_SPIKES_AVERAGED = 300
# From this number of channels on, templates are kept on the channels near the unit only.
SPARSE_FROM_CHANNELS = 12
# Triangulation fits a position in three dimensions, which needs more channels than that.
TRIANGULATION_FROM_CHANNELS = 4


def analyze(
    sorting: si.BaseSorting,
    recording: si.BaseRecording,
    folder: str | Path,
    *,
    params: dict[str, Any] | None = None,
    job_kwargs: dict[str, Any] | None = None,
) -> si.SortingAnalyzer:
    """
    SpikeInterface's SortingAnalyzer of a sorting, with templates, amplitudes, locations and quality metrics.

    Parameters
    ----------
    sorting : BaseSorting
        Units without spikes are left out.
    recording : BaseRecording
        As it was given to the sorter. It is band-passed and referenced as the sorter does, without whitening.
    folder : str | Path
        New folder for the analyzer.
    params : dict | None, default: None
        Settings of the sorter; None takes its defaults.
    job_kwargs : dict | None, default: None
        SpikeInterface's job settings, such as `n_jobs`.

    Returns
    -------
    SortingAnalyzer
    """
    job_kwargs = job_kwargs or {}
    prepared = _prepared(recording, {**default_params(DeepSortSettings), **(params or {})})
    counts = sorting.count_num_spikes_per_unit(outputs="array")
    analyzer = si.create_sorting_analyzer(
        sorting.select_units(np.asarray(sorting.unit_ids)[counts > 0]),
        prepared,
        format="binary_folder",
        folder=folder,
        sparse=prepared.get_num_channels() >= SPARSE_FROM_CHANNELS,
        return_in_uV=prepared.has_scaleable_traces(),
        **job_kwargs,
    )
    can_triangulate = prepared.get_num_channels() >= TRIANGULATION_FROM_CHANNELS
    method = "monopolar_triangulation" if can_triangulate else "center_of_mass"
    analyzer.compute(
        list(EXTENSIONS),
        extension_params={
            "unit_locations": {"method": method},
            "random_spikes": {"max_spikes_per_unit": MOST_SPIKES_AVERAGED},
        },
        **job_kwargs,
    )
    analyzer.compute("quality_metrics", metric_names=list(METRICS), **job_kwargs)
    return analyzer


def _prepared(recording, params):
    """The recording as the sorter filters it, with positions of the channels."""
    if not recording.has_channel_location():
        recording_geometry(recording)
        recording = si.ChannelSliceRecording(recording)
        recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    if not params["apply_preprocessing"]:
        return recording
    prepared = band_pass(recording, params["freq_min"], params["freq_max"])
    return common_reference(prepared) if params["common_reference"] else prepared
