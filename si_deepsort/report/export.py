"""Folders for other programs: phy, and SpikeInterface's own report with one figure for each unit."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from ..assessment.assessment import PROPERTIES

logger = logging.getLogger(__name__)

# Bytes in a gigabyte.
GB = 1e9


def write_phy(
    analyzer: si.SortingAnalyzer,
    recording: si.BaseRecording,
    folder: Path,
    *,
    job_kwargs: dict[str, Any] | None = None,
) -> bool:
    """
    Write a folder that phy opens.

    A recording that is one binary file is named in `params.py` and not copied; phy filters it. Another is copied with
    the sorter's filter, and the size of the copy is announced before.

    Parameters
    ----------
    analyzer : SortingAnalyzer
    recording : BaseRecording
        As it was given to the sorter.
    folder : Path
        New folder.
    job_kwargs : dict | None, default: None
        SpikeInterface's job settings.

    Returns
    -------
    bool
        Whether it was written: phy reads one segment.

    Raises
    ------
    OSError
        If the copy needs more space than there is.
    """
    from spikeinterface.exporters import export_to_phy

    if analyzer.get_num_segments() > 1:
        logger.warning("phy reads one segment, the sorting has %d: no phy folder", analyzer.get_num_segments())
        return False
    # One file that holds all channels frame by frame.
    needs_copy = not recording.binary_compatible_with(time_axis=0, file_paths_length=1)
    dtype = recording.get_dtype() if recording.get_dtype() == np.dtype("int16") else analyzer.get_dtype()
    if needs_copy:
        _announce_copy(analyzer, folder, np.dtype(dtype).itemsize)
    export_to_phy(
        analyzer,
        folder,
        compute_pc_features=False,
        copy_binary=needs_copy,
        dtype=dtype,
        verbose=False,
        additional_properties=list(PROPERTIES),
        **(job_kwargs or {}),
    )
    if not needs_copy:
        (folder / "params.py").write_text(_params_of(recording), encoding="utf-8")
    return True


def write_unit_figures(analyzer: si.SortingAnalyzer, folder: Path) -> None:
    """SpikeInterface's `export_report`: tables, and one figure for each unit."""
    from spikeinterface.exporters import export_report

    analyzer.compute("correlograms")
    export_report(analyzer, folder)


def _params_of(recording: si.BaseRecording) -> str:
    """What phy reads to find the frames of a binary file."""
    binary = recording.get_binary_description()
    lines = {
        "dat_path": str(Path(binary["file_paths"][0]).absolute()),
        "n_channels_dat": int(recording.get_num_channels()),
        "dtype": np.dtype(binary["dtype"]).name,
        "offset": int(binary["file_offset"]),
        "sample_rate": float(recording.get_sampling_frequency()),
        "hp_filtered": bool(recording.is_filtered()),
    }
    return "".join(f"{name} = {value!r}\n" for name, value in lines.items())


def _announce_copy(analyzer, folder: Path, bytes_per_sample: int):
    size = analyzer.get_num_samples(0) * analyzer.get_num_channels() * bytes_per_sample
    logger.warning("%s will be a copy of the recording of %.2g GB", folder / "recording.dat", size / GB)
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        raise OSError(
            f"The copy of the recording for phy needs {size / GB:.3g} GB, but {folder.parent} has {free / GB:.3g} GB "
            "free. Sort a recording that is one binary file, which phy opens without a copy, or leave phy out."
        )
