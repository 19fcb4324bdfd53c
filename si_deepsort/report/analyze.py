"""Analyze a sorting with SpikeInterface's SortingAnalyzer."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.job_tools import fix_job_kwargs

from ..geometry import recording_geometry
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..settings import default_params
from ..sorter.progress import Step, progress_line
from ..sorter.settings import DeepSortSettings

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
# Extensions by SpikeInterface's names, what they are in words, and their share of the time on a generated recording of
# 60 s and 32 channels. Correlograms of all pairs are left out: 0.8 GB for 1000 units.
EXTENSIONS = (
    ("random_spikes", "choose spikes", 0.01),
    ("noise_levels", "measure the noise", 0.05),
    ("templates", "average waveforms", 0.4),
    ("spike_amplitudes", "measure amplitudes", 0.4),
    ("unit_locations", "locate units", 0.05),
    ("template_similarity", "compare templates", 0.04),
    ("quality_metrics", "measure quality", 0.05),
)
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
    from .similarity import add_template_similarity

    job_kwargs = fix_job_kwargs(job_kwargs)
    # One line for the whole report instead of a bar for each of SpikeInterface's jobs.
    is_shown, job_kwargs["progress_bar"] = job_kwargs["progress_bar"], False
    prepared = _prepared(recording, {**default_params(DeepSortSettings), **(params or {})})
    counts = sorting.count_num_spikes_per_unit(outputs="array")
    analyzer = si.create_sorting_analyzer(
        sorting.select_units(np.asarray(sorting.unit_ids)[counts > 0]),
        prepared,
        format="binary_folder",
        folder=folder,
        sparse=prepared.get_num_channels() >= SPARSE_FROM_CHANNELS,
        return_in_uV=prepared.has_scaleable_traces(),
        job_kwargs=job_kwargs,
    )
    with (
        warnings.catch_warnings(),
        progress_line([Step(*extension) for extension in EXTENSIONS], is_shown=is_shown) as progress,
    ):
        # The page shows what is unknown as a dash, and the user did not set the length of the bins.
        warnings.filterwarnings("ignore", message="Amplitude cutoff set to NaN")
        warnings.filterwarnings("ignore", message="Bin duration of .* is larger than recording duration")
        for name, _, _ in EXTENSIONS:
            progress.begin(name)
            if name == "template_similarity":
                add_template_similarity(analyzer)
                continue
            analyzer.compute(name, **_params_of(name, prepared.get_num_channels()), **job_kwargs)
    return analyzer


def _params_of(name: str, num_channels: int) -> dict[str, Any]:
    """Parameters of an extension."""
    method = "monopolar_triangulation" if num_channels >= TRIANGULATION_FROM_CHANNELS else "center_of_mass"
    params: dict[str, dict[str, Any]] = {
        "random_spikes": {"max_spikes_per_unit": MOST_SPIKES_AVERAGED},
        "unit_locations": {"method": method},
        "quality_metrics": {"metric_names": list(METRICS)},
    }
    return params.get(name, {})


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
