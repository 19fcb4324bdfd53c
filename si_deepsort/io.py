"""Recordings from disk: what SpikeInterface saved, or any file format that it reads."""

import inspect
from pathlib import Path

import spikeinterface.core as si


def open_recording(path: str | Path, *, file_format: str = "", options: dict | None = None, probe: Path | None = None):
    """
    Open a recording.

    Parameters
    ----------
    path : str | Path
        A file or folder.
    file_format : str, default: ""
        Name of one of SpikeInterface's readers, e.g. "spikeglx", "openephys", "intan", or "binary" for bare samples.
        Empty for what SpikeInterface saved (folder, zarr or JSON).
    options : dict | None, default: None
        Keyword arguments of the reader, e.g. {"stream_id": "imec0.ap"}.
    probe : Path | None, default: None
        JSON file of probeinterface; replaces the probe that the file may bring.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If there is nothing at the path, the format is unknown, or the file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is nothing at {path}. Give the file or folder of a recording.")
    read = si.load if not file_format else _reader(file_format)
    try:
        recording = read(path, **(options or {}))
    except Exception as error:
        what = f"as '{file_format}'" if file_format else "as something that SpikeInterface saved"
        raise ValueError(
            f"{path} cannot be read {what} ({type(error).__name__}: {error}). Name its format with --format and what "
            f"the reader needs with --reader-option name=value{_reader_arguments(read)}."
        ) from error
    if not isinstance(recording, si.BaseRecording):
        raise ValueError(f"{path} holds a {type(recording).__name__}, expected a recording.")
    return recording if probe is None else with_probe(recording, probe)


def with_probe(recording, probe: str | Path):
    """
    The recording with the probe of a probeinterface JSON file.

    Raises
    ------
    ValueError
        If the file cannot be read, or its contacts are not as many as the channels.
    """
    import numpy as np
    from probeinterface import read_probeinterface

    try:
        group = read_probeinterface(probe)
    except Exception as error:
        raise ValueError(
            f"{probe} cannot be read as a probe ({type(error).__name__}: {error}). Expected JSON written by "
            "probeinterface.write_probeinterface."
        ) from error
    if np.all(group.get_global_device_channel_indices()["device_channel_indices"] < 0):
        group.set_global_device_channel_indices(np.arange(group.get_contact_count()))
    connected = int(np.sum(group.get_global_device_channel_indices()["device_channel_indices"] >= 0))
    if connected != recording.get_num_channels():
        raise ValueError(
            f"The probe in {probe} has {connected} connected contacts, the recording {recording.get_num_channels()} "
            "channels. Expected as many contacts as channels, with their device_channel_indices set."
        )
    recording.set_probegroup(group)
    return recording


def _reader(file_format):
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict as readers

    if file_format == "binary":
        return si.read_binary
    if file_format not in readers:
        raise ValueError(f"Unknown format '{file_format}', expected one of binary, {', '.join(sorted(readers))}.")
    return readers[file_format]


def _reader_arguments(read) -> str:
    if read is si.load:
        return ""
    names = [name for name in inspect.signature(read).parameters if name not in ("self", "args", "kwargs")]
    return f"; it takes {', '.join(names)}" if names else ""
