"""Open recordings on disk: what SpikeInterface saved, or any file format that it reads."""

import difflib
import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

logger = logging.getLogger(__name__)

# Annotation of recordings whose files name no channels, so that the ids are only positions. Another reader of the same
# file may give other ids.
IDS_ARE_POSITIONS = "channel_ids_are_positions"
# Readers of probe files by the end of the file's name.
PROBE_SUFFIXES = (".json", ".prb")

# Files by which a folder for phy is known; Kilosort writes the same.
PHY_FILES = ("params.py", "spike_times.npy", "spike_clusters.npy")


def open_recording(
    path: str | Path, *, file_format: str = "", options: dict[str, Any] | None = None, probe: str | Path | None = None
) -> si.BaseRecording:
    """
    Open a recording.

    Parameters
    ----------
    path : str | Path
        A file or folder.
    file_format : str, default: ""
        Name of one of SpikeInterface's readers, e.g. "spikeglx", "openephys", "intan", or "binary" for a file of bare
        samples; upper case, "-" and "_" do not matter. Empty for what SpikeInterface saved (folder, zarr or JSON).
    options : dict | None, default: None
        Keyword arguments of the reader, e.g. {"stream_id": "imec0.ap"}. "binary" needs sampling_frequency (Hz),
        num_channels and dtype; gain_to_uV and offset_to_uV (default 0) turn counts into microvolts.
    probe : str | Path | None, default: None
        Probe file, JSON of probeinterface or .prb; it replaces the probe that the recording may bring.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If there is nothing at the path, the format is unknown, or a file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is nothing at {path}. Give the file or folder of a recording.")
    name = _reader_name(file_format)
    read = _reader(name)
    options = dict(options or {})
    if name == "binary" and "gain_to_uV" in options:
        # SpikeInterface knows microvolts only if it has both.
        options.setdefault("offset_to_uV", 0.0)
    try:
        recording = read(path, **options)
    except Exception as error:
        what = f"as '{file_format}'" if file_format else "as a recording that SpikeInterface saved"
        raise ValueError(
            f"{path} cannot be read {what} ({_reason(error)}). Name its format with --format and what "
            f"the reader needs with --reader-option name=value{_reader_arguments(read)}."
        ) from error
    if not isinstance(recording, si.BaseRecording):
        raise ValueError(f"{path} holds a {_class_name(recording)}, expected a recording.")
    rate = recording.get_sampling_frequency()
    if not 0 < rate < np.inf:
        raise ValueError(f"{path} was read with a sampling frequency of {rate:g} Hz, expected a positive number.")
    if name == "binary" and "channel_ids" not in options:
        recording.annotate(**{IDS_ARE_POSITIONS: True})
    if probe is not None:
        _set_probe(recording, Path(probe))
    return recording


def open_saved_recording(path: str | Path) -> si.BaseRecording:
    """
    Open a recording that SpikeInterface saved.

    Parameters
    ----------
    path : str | Path
        Folder, zarr or JSON.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If there is nothing at the path, or something else than a recording.
    """
    return _saved(path, si.load, si.BaseRecording, "what recording.save(folder=...) of SpikeInterface wrote")


def open_sorting(path: str | Path) -> si.BaseSorting:
    """
    Open a sorting that SpikeInterface saved, the result in the output folder of a sorter, or a folder for phy.

    Parameters
    ----------
    path : str | Path
        Folder, zarr or JSON. Kilosort's output is a folder for phy.

    Returns
    -------
    BaseSorting

    Raises
    ------
    ValueError
        If there is nothing at the path, or something else than a sorting.
    """
    from spikeinterface.sorters import read_sorter_folder

    read: Any = si.load
    if (Path(path) / "spikeinterface_log.json").exists():
        read = read_sorter_folder
    elif all((Path(path) / name).exists() for name in PHY_FILES):
        read = _read_phy
    expected = "what sorting.save(folder=...) of SpikeInterface wrote, the output of a sorter, or a folder for phy"
    return _saved(path, read, si.BaseSorting, expected)


def format_names() -> list[str]:
    """Names that `open_recording` takes as `file_format`."""
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict as readers

    return sorted({*readers, "openephys"} - {"numpy"})


def _saved(path, read, kind, expected):
    """What `read` finds at a path; a ValueError if it is of another kind."""
    path, name = Path(path), kind.__name__.removeprefix("Base").lower()
    if not path.exists():
        raise ValueError(f"There is nothing at {path}; expected {expected}.")
    try:
        found = read(path)
    except Exception as error:  # SpikeInterface fails in many ways on files and folders that it did not write
        raise ValueError(f"{path} cannot be read as a {name} ({_reason(error)}). Expected {expected}.") from error
    if not isinstance(found, kind):
        raise ValueError(
            f"{path} holds a {_class_name(found)}, expected a {name}: {expected}. Check the order of the arguments."
        )
    return found


def _reason(error):
    """Words of an error; SpikeInterface fails on a folder of another kind because it finds none of its files."""
    if isinstance(error, UnboundLocalError):
        return "it holds no file that SpikeInterface wrote"
    return str(error).rstrip(".") if type(error) is ValueError else f"{type(error).__name__}: {error}"


def _read_phy(folder: Path) -> si.BaseSorting:
    """A folder for phy; a ValueError where SpikeInterface would take over spikes that cannot be right."""
    from spikeinterface.extractors import read_phy

    times, clusters = (np.load(folder / name).ravel() for name in PHY_FILES[1:])
    if len(times) != len(clusters):
        raise ValueError(f"spike_times.npy holds {len(times)} spikes, spike_clusters.npy {len(clusters)}")
    for name, values in zip(PHY_FILES[1:], (times, clusters), strict=True):
        is_number = values.dtype.kind in "iuf"
        if not is_number or not np.array_equal(values, np.round(values)) or (values < 0).any():
            wrong = values if not is_number else values[(values != np.round(values)) | (values < 0)]
            kind = "frames, not in seconds" if name == "spike_times.npy" else "numbers of units"
            raise ValueError(f"{name} holds {wrong[0]!s}, expected whole numbers from 0: {kind}")
    if (np.diff(times.astype("int64")) < 0).any():
        raise ValueError(
            "the times in spike_times.npy do not increase; bring them in order, and spike_clusters.npy with them"
        )
    return read_phy(folder)


def _class_name(found):
    return "sorting" if isinstance(found, si.BaseSorting) else type(found).__name__


def _set_probe(recording: si.BaseRecording, file: Path) -> None:
    group = _read_probe(file)
    contacts = group.get_contact_count()
    indices = group.get_global_device_channel_indices()["device_channel_indices"]
    if np.all(indices < 0):
        # The file does not say which contact is wired to which channel.
        if contacts == recording.get_num_channels():
            logger.warning(
                "%s has no device_channel_indices: contact 0 is taken for channel 0, contact 1 for channel 1, and so "
                "on. If the wiring is different, set it with probe.wiring_to_device(...) or "
                "probe.set_device_channel_indices(...) and write the file again.",
                file,
            )
        indices = np.arange(contacts)
        group.set_global_device_channel_indices(indices)
    _check_wiring(indices[indices >= 0], file)
    connected = int(np.sum(indices >= 0))
    if connected != recording.get_num_channels():
        raise ValueError(
            f"The probe in {file} has {connected} connected contacts, the recording {recording.get_num_channels()} "
            "channels. Expected as many contacts as channels, with their device_channel_indices set. If a channel has "
            "no contact (synchronisation), read and sort in Python: recording.select_channels(...) leaves it out."
        )
    recording.set_probegroup(group)


def _check_wiring(indices, file):
    """An error if the channels of the contacts are not 0, 1, 2, ... in any order."""
    indices = np.sort(indices)
    if np.array_equal(indices, np.arange(len(indices))):
        return
    hint = "list each channel once, and -1 for a contact that is not connected"
    if np.array_equal(indices, np.arange(1, len(indices) + 1)):
        hint = "they count from 1: subtract 1 from each"
    raise ValueError(
        f"The channels that {file} gives its contacts (device_channel_indices, or channels in a .prb file) are "
        f"{indices[:8].tolist()}{' ...' if len(indices) > 8 else ''} in ascending order, expected 0 to "
        f"{len(indices) - 1}, each once; {hint}."
    )


def _check_positions(file):
    """An error if a position in the JSON of probeinterface is no number."""
    for number, probe in enumerate(json.loads(file.read_text(encoding="utf-8")).get("probes", [])):
        for contact, position in enumerate(probe.get("contact_positions", [])):
            if not all(isinstance(value, int | float) and np.isfinite(value) for value in position):
                raise ValueError(f"contact {contact} of probe {number} has the position {position}, expected numbers")


def _read_probe(file: Path):
    """A ProbeGroup from a file; ValueError if it cannot be read."""
    from probeinterface import read_prb, read_probeinterface

    if file.suffix.lower() not in PROBE_SUFFIXES:
        raise ValueError(
            f"{file} cannot be read as a probe: got a name that ends with '{file.suffix}', expected one that ends "
            f"with {' or '.join(PROBE_SUFFIXES)}. Convert it with probeinterface, which reads many formats, and save "
            "it by probeinterface.write_probeinterface(file, probe)."
        )
    # A .prb file is a Python program, which probeinterface runs: many of them make their contacts in a loop.
    read = read_prb if file.suffix.lower() == ".prb" else read_probeinterface
    try:
        if read is read_probeinterface:
            _check_positions(file)
        group = read(file)
        if not group.probes:
            raise ValueError("it holds no contacts")
        return group
    except Exception as error:
        raise ValueError(
            f"{file} cannot be read as a probe ({_reason(error)}). Expected JSON written by "
            "probeinterface.write_probeinterface, or a .prb file with channel_groups."
        ) from error


def _reader_name(file_format: str) -> str:
    """Canonical name of a format; an empty one stays empty."""
    name = file_format.lower().replace("-", "").replace("_", "").replace(" ", "")
    if name and name not in format_names():
        nearest = difflib.get_close_matches(name, format_names(), n=3)
        hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"Unknown format '{file_format}'.{hint} Expected one of {', '.join(format_names())}.")
    return name


def _reader(name: str) -> Callable[..., Any]:
    import spikeinterface.extractors as se
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict as readers

    special = {"": si.load, "binary": si.read_binary, "openephys": se.read_openephys}
    return special[name] if name in special else readers[name]


def _reader_arguments(read: Callable[..., Any]) -> str:
    if read is si.load:
        return ""
    names = [name for name in inspect.signature(read).parameters if name not in ("self", "args", "kwargs")]
    return f"; it takes {', '.join(names)}" if names else ""
