"""Open intracellular traces of many file formats, and give their values in the physical unit of the file."""

from pathlib import Path

import numpy as np
import spikeinterface.core as si
from spikeinterface.core import BaseRecording

from .patch_clamp_nwb import read_patch_clamp_nwb
from .text_traces import read_text_trace
from .units import UV_PER_SI_UNIT, clean_unit

TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".asc", ".atf")
# Readers of neo that read any bytes as numbers, with a rate and a number of channels of their own.
GUESSING_READERS = ("RawBinarySignalIO",)
# What to do with files that hold variables of any name, if neo did not write them.
REMEDIES = {".mat": "a .mat file does not say which variable is the trace; save an .npz, or a text file with times"}
# Readers that a message names at most.
MOST_PROBLEMS = 3
# Relative difference of two gains below which they are the same: those of neo are 32-bit numbers.
SAME_GAIN = 1e-4


def read_trace(path: str | Path) -> BaseRecording:
    """
    Open an intracellular trace as a SpikeInterface recording.

    Parameters
    ----------
    path : str | Path
        ABF (1 and 2); NWB with extracellular or patch-clamp series; a folder saved by SpikeInterface; `.npz` with
        `trace`, `sampling_frequency` and optionally `unit`; text (`.csv`, `.txt`, `.tsv`, `.asc`, `.atf`) with a
        column of times that names its unit and one or more columns of values; any other format through neo (Axograph,
        Igor, WinWCP, WinEDR, Spike2, ...).

    Returns
    -------
    BaseRecording
        One segment per sweep. The property `physical_unit` holds the unit of each channel where the file has it.

    Raises
    ------
    ValueError
        If the file does not exist, no reader understands it, a package is missing, or rate, unit or columns are not
        certain.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no file {path}. Give the path of a trace, e.g. an .abf file.")
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            return _read_folder(path)
        if suffix == ".npz":
            return _read_npz(path)
        if suffix == ".npy":
            raise ValueError(
                "an .npy file does not say its rate; write np.savez(path, trace=..., sampling_frequency=...)"
            )
        if suffix in TEXT_SUFFIXES:
            return read_text_trace(path)
        if suffix == ".nwb":
            return _read_nwb(path)
        return _read_abf(path) if suffix == ".abf" else _read_with_neo(path)
    except Exception as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(
            f"{path} cannot be read as a trace: {kind}{str(error).rstrip('.')}. Check that the file is whole, or open "
            "it yourself and pass a SpikeInterface recording (si.NumpyRecording([trace], sampling_frequency))."
        ) from error


def scaled_traces(recording: BaseRecording, segment_index: int, start_frame: int, end_frame: int) -> np.ndarray:
    """Traces of the first channel in the unit that `unit_of` names, shape (num_frames,), float32."""
    traces = recording.get_traces(segment_index=segment_index, start_frame=start_frame, end_frame=end_frame)
    gain, offset = _gain_and_offset(recording)
    return (traces[:, 0] * gain + offset).astype("float32")


def unit_of(recording: BaseRecording) -> str:
    """Unit of `scaled_traces`: that of the file, "uV" if only gains are known, "a.u." if nothing is."""
    units = recording.get_property("physical_unit")
    if units is not None and clean_unit(units[0]):
        return clean_unit(units[0])
    return "a.u." if recording.get_channel_gains() is None else "uV"


def _gain_and_offset(recording) -> tuple[float, float]:
    """
    Factor and offset from stored traces to the unit of the file, for the first channel.

    SpikeInterface's gains lead to uV where it knows the unit as a voltage (V, mV, uV), and else to the unit itself.
    """
    gains, offsets = recording.get_channel_gains(), recording.get_channel_offsets()
    if gains is None or offsets is None:
        return 1.0, 0.0
    gain, offset = float(gains[0]), float(offsets[0])
    units = recording.get_property("physical_unit")
    uv_per_unit = UV_PER_SI_UNIT.get(str(units[0]), 1.0) if units is not None else 1.0
    physical = recording.get_property("gain_to_physical_unit")
    if physical is not None and not np.isclose(float(physical[0]) * uv_per_unit, gain, rtol=SAME_GAIN):
        # Scaled since it was read: to uV (gain 1, the other gain as in the file) or to its own unit (both gains 1).
        return (1.0, 0.0) if float(physical[0]) == gain == 1.0 else (gain / uv_per_unit, offset / uv_per_unit)
    return gain / uv_per_unit, offset / uv_per_unit


def _read_folder(path):
    try:
        return si.load(path)
    except Exception as error:  # SpikeInterface fails in many ways on folders that it did not write
        raise ValueError("it is a folder, but not one that SpikeInterface saved; give the file in it") from error


def _read_npz(path):
    with np.load(path, allow_pickle=False) as content:
        if "trace" not in content or "sampling_frequency" not in content:
            raise ValueError(f"the file holds {sorted(content)}, expected 'trace' and 'sampling_frequency'")
        trace, rate = np.asarray(content["trace"]), content["sampling_frequency"]
        unit = str(content["unit"]) if "unit" in content else ""
    if trace.ndim == 2 and 1 in trace.shape:
        trace = trace.ravel()
    if trace.ndim != 1 or not len(trace) or trace.dtype.kind not in "iuf":
        raise ValueError(f"'trace' has shape {trace.shape} and type {trace.dtype}, expected one channel of numbers")
    if rate.size != 1 or rate.dtype.kind not in "iuf" or not (np.isfinite(rate).all() and (rate > 0).all()):
        raise ValueError(f"'sampling_frequency' is {rate.tolist()!r}, expected one positive number in Hz")
    recording = si.NumpyRecording([trace[:, None]], float(rate.ravel()[0]))
    if unit:
        recording.set_property("physical_unit", [clean_unit(unit)])
    return recording


def _read_nwb(path):
    recording = read_patch_clamp_nwb(path)
    if recording is not None:
        return recording
    import spikeinterface.extractors as extractors

    return extractors.read_nwb_recording(path)


def _read_abf(path):
    import spikeinterface.extractors as extractors
    from neo.rawio.axonrawio import parse_axon_soup

    recording = extractors.read_axon(path)
    header = parse_axon_soup(str(path))
    num_sweeps = int(header["lActualEpisodes"])
    if recording.get_num_segments() > 1 or num_sweeps < 2:
        return recording
    # A file without a table of sweeps (ABF1 as some programs write it) is one segment for neo.
    num_frames = recording.get_num_frames(0)
    protocol = header.get("protocol", header)
    length = int(protocol.get("lNumSamplesPerEpisode", 0)) // recording.get_num_channels()
    if int(protocol.get("nOperationMode", 0)) != 5 or length * num_sweeps != num_frames:
        return recording
    return si.append_recordings(
        [recording.frame_slice(index * length, (index + 1) * length) for index in range(num_sweeps)]
    )


def _read_with_neo(path):
    from neo.io import list_candidate_ios

    try:
        readers = [reader for reader in list_candidate_ios(str(path)) if reader.__name__ not in GUESSING_READERS]
    except ValueError as error:
        raise ValueError(
            f"no reader knows files that end in '{path.suffix}'; ABF, ATF, NWB, csv, txt, npz and the formats of neo "
            "can be read, so export it as one of these"
        ) from error
    if not readers:
        raise ValueError(f"a file that ends in '{path.suffix}' does not say its rate, type and channels")
    problems = []
    for io_class in readers:
        try:
            return _recording_of_block(io_class(str(path)).read_block())
        except ImportError as error:
            remedy = f"needs the package {error.name}: pip install {error.name}" if error.name else str(error)
            problems.append(f"{io_class.__name__} {remedy}")
        except Exception as error:  # each reader of neo fails in its own way on files that it does not know
            problems.append(f"{io_class.__name__}: {error}")
    if path.suffix.lower() in REMEDIES:
        raise ValueError(REMEDIES[path.suffix.lower()])
    others = f"; and {len(problems) - MOST_PROBLEMS} other readers" if len(problems) > MOST_PROBLEMS else ""
    raise ValueError("; ".join(problems[:MOST_PROBLEMS]) + others)


def _recording_of_block(block):
    """All signals of a neo block: a segment for each sweep, a channel for each signal."""
    sweeps = [segment.analogsignals for segment in block.segments if segment.analogsignals]
    if not sweeps:
        raise ValueError("the file has no analog signal")
    names = [_channel_names(signals) for signals in sweeps]
    rates = {float(signal.sampling_rate.rescale("Hz")) for signals in sweeps for signal in signals}
    if len(rates) > 1 or any(name != names[0] for name in names):
        raise ValueError(f"the signals differ in their rates {sorted(rates)} Hz or in their channels {names[:3]}")
    if any(len({len(signal) for signal in signals}) > 1 for signals in sweeps):
        raise ValueError(f"the signals {names[0]} have different lengths")
    units = [signal.units for signal in sweeps[0]]
    traces = [
        np.concatenate([np.asarray(s.rescale(u), "float32") for s, u in zip(signals, units, strict=True)], axis=1)
        for signals in sweeps
    ]
    recording = si.NumpyRecording(traces, rates.pop(), channel_ids=names[0])
    units = [
        u.dimensionality.string for signal, u in zip(sweeps[0], units, strict=True) for _ in range(signal.shape[1])
    ]
    recording.set_property("physical_unit", [clean_unit(unit) or "a.u." for unit in units])
    return recording


def _channel_names(signals):
    names = []
    for signal in signals:
        own = signal.array_annotations.get("channel_names")
        names += [str(name) for name in own] if own is not None else [str(signal.name or "signal")] * signal.shape[1]
    return names if len(set(names)) == len(names) else [f"{name} {index}" for index, name in enumerate(names)]
