"""
The sorters that a benchmark can run: those of SpikeInterface by name, deepsort, and spikesift, which has its own API.

Peers run with their default settings. The one thing that they are told is that there is drift, where there is: motion
correction is then switched on in those that have it switched off by default.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

CORE_SORTERS = ("deepsort", "lupin", "spykingcircus2", "spikesift")
ALL_SORTERS = (*CORE_SORTERS, "tridesclous2", "mountainsort5", "kilosort4", "herdingspikes")
PARAMS_UNDER_DRIFT = {
    "lupin": {"apply_motion_correction": True},
    "tridesclous2": {"apply_motion_correction": True},
}
# Package that a sorter lives in, where it is not SpikeInterface.
_PACKAGES = {
    "deepsort": "si-deepsort",
    "spikesift": "spikesift",
    "mountainsort5": "mountainsort5",
    "kilosort4": "kilosort",
    "herdingspikes": "herdingspikes",
}


def default_params(sorter_name: str, *, drift: bool) -> dict:
    """Parameters that a sorter is run with: nothing, but for motion correction where there is drift."""
    return dict(PARAMS_UNDER_DRIFT.get(sorter_name, {})) if drift else {}


def check_sorter_name(sorter_name: str) -> None:
    """
    Refuse a name that no sorter has.

    Raises
    ------
    ValueError
        If no sorter has this name.
    """
    if sorter_name == "spikesift" or sorter_name in _sorter_classes():
        return
    raise ValueError(
        f"Unknown sorter '{sorter_name}'. Usual ones are {', '.join(ALL_SORTERS)}; "
        "any sorter that SpikeInterface knows will do (spikeinterface.sorters.available_sorters())."
    )


def is_installed(sorter_name: str) -> bool:
    """Whether the sorter can run here."""
    if sorter_name == "spikesift":
        return find_spec("spikesift") is not None
    return bool(_sorter_classes()[sorter_name].is_installed())


def sorter_version(sorter_name: str) -> str:
    """Version of the package that holds the sorter."""
    try:
        return version(_PACKAGES.get(sorter_name, "spikeinterface"))
    except PackageNotFoundError:
        return "unknown"


def run_peer(sorter_name: str, recording: si.BaseRecording, folder: str | Path, **params: Any) -> si.NumpySorting:
    """
    Run a sorter in a folder.

    Parameters
    ----------
    sorter_name : str
        A sorter of SpikeInterface, "deepsort" or "spikesift".
    recording : BaseRecording
    folder : str | Path
        Must not exist yet.
    **params
        Parameters of the sorter.

    Returns
    -------
    NumpySorting
    """
    if sorter_name == "spikesift":
        return _run_spikesift(recording, Path(folder), params)
    _sorter_classes()
    from spikeinterface.sorters import run_sorter_local

    sorting = run_sorter_local(sorter_name, recording, folder=folder, raise_error=True, verbose=False, **params)
    return si.NumpySorting.from_sorting(sorting)


def _sorter_classes() -> dict:
    """SpikeInterface's sorters by name, ours among them once the package has been imported."""
    from spikeinterface.sorters import sorter_dict

    import si_deepsort  # noqa: F401

    return sorter_dict


def _run_spikesift(recording, folder: Path, params: dict):
    from spikesift import Recording, perform_spike_sorting

    if recording.get_num_segments() != 1:
        raise ValueError(f"spikesift sorts one segment, the recording has {recording.get_num_segments()}.")
    if recording.is_binary_compatible():
        description = recording.get_binary_description()
        file, header = Path(description["file_paths"][0]), description["file_offset"]
    else:
        folder.mkdir(parents=True)
        file, header = folder / "recording.raw", 0
        si.write_binary_recording(recording, file, dtype=recording.get_dtype(), n_jobs=1, progress_bar=False)
    result = perform_spike_sorting(
        Recording(
            binary_file=str(file),
            data_type=str(recording.get_dtype()),
            probe_geometry=np.asarray(recording.get_channel_locations(), dtype="float32")[:, :2],
            sampling_frequency=recording.get_sampling_frequency(),
            header=header,
        ),
        verbose=False,
        **params,
    )
    trains = {str(unit): np.sort(np.asarray(result.spikes(unit), dtype="int64")) for unit in result.cluster_ids()}
    return si.NumpySorting.from_unit_dict([trains], recording.get_sampling_frequency())
