"""Read the patch-clamp series of an NWB file, which SpikeInterface does not read."""

from pathlib import Path

import h5py
import numpy as np
import spikeinterface.core as si
from spikeinterface.core import BaseRecording

from .units import clean_unit

SERIES_TYPES = ("CurrentClampSeries", "VoltageClampSeries", "IZeroClampSeries", "PatchClampSeries")


def read_patch_clamp_nwb(path: str | Path) -> BaseRecording | None:
    """
    Open the patch-clamp series of an NWB file.

    Parameters
    ----------
    path : str | Path

    Returns
    -------
    NumpyRecording | None
        One channel for each electrode and kind of series, one segment for each sweep, in V or A as the standard says;
        None if the file has no patch-clamp series.

    Raises
    ------
    ValueError
        If the file is not NWB, or electrodes have different numbers, lengths or rates of sweeps.
    """
    with h5py.File(path, "r") as file:
        groups = file["acquisition"].values() if "acquisition" in file else ()
        series = [group for group in groups if group.attrs.get("neurodata_type") in SERIES_TYPES and "data" in group]
        if not series:
            return None
        channels: dict[tuple, list] = {}
        for group in sorted(series, key=_order):
            channels.setdefault(_channel(group), []).append(_traces_of(group))
    layouts = {tuple((len(trace), rate) for trace, rate, _ in sweeps) for sweeps in channels.values()}
    rates = {rate for layout in layouts for _, rate in layout}
    if len(layouts) > 1 or len(rates) > 1:
        raise ValueError(
            f"the patch-clamp series of {[' '.join(name) for name in channels]} have different numbers, lengths or "
            f"rates of sweeps (rates {sorted(rates)} Hz); read one of them with h5py or pynwb"
        )
    sweeps = zip(*channels.values(), strict=True)
    traces = [np.stack([trace for trace, _, _ in together], axis=1) for together in sweeps]
    recording = si.NumpyRecording(traces, rates.pop(), channel_ids=[" ".join(name) for name in channels])
    recording.set_property("physical_unit", [clean_unit(sweeps[0][2]) or "a.u." for sweeps in channels.values()])
    return recording


def _channel(group) -> tuple[str, str]:
    electrode = group.get("electrode")
    return (electrode.name.split("/")[-1] if electrode is not None else "", str(group.attrs["neurodata_type"]))


def _order(group):
    """Number of the sweep, then start."""
    start = float(np.asarray(group["starting_time"])) if "starting_time" in group else 0.0
    return int(group.attrs.get("sweep_number", 0)), start, group.name


def _traces_of(group) -> tuple[np.ndarray, float, str]:
    """Values in the unit of the series, rate in Hz, unit."""
    attributes = group["data"].attrs
    values = np.asarray(group["data"], dtype=float) * float(attributes.get("conversion", 1.0))
    values += float(attributes.get("offset", 0.0))
    if "starting_time" in group:
        rate = float(group["starting_time"].attrs["rate"])
    else:
        times = np.asarray(group["timestamps"], dtype=float)
        steps = np.diff(times)
        if not len(steps) or steps.min() <= 0 or np.ptp(steps) > 0.01 * np.median(steps):
            raise ValueError(f"the time stamps of {group.name} are not evenly spaced")
        rate = (len(times) - 1) / (times[-1] - times[0])
    if not (np.isfinite(rate) and rate > 0) or values.ndim != 1:
        raise ValueError(f"{group.name} has rate {rate} Hz and shape {values.shape}, expected one channel")
    unit = attributes.get("unit", "")
    return values.astype("float32"), rate, unit.decode() if isinstance(unit, bytes) else str(unit)
