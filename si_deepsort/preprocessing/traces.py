"""Steps that all preprocessors share: check the recording, fill gaps, cast without overflow."""

import numpy as np
from numpy.typing import DTypeLike
from spikeinterface.core import BaseRecording


def output_dtype(recording: BaseRecording, dtype: DTypeLike | None) -> np.dtype:
    """
    Dtype of a preprocessor's output.

    Parameters
    ----------
    recording : BaseRecording
    dtype : dtype-like | None
        The wanted dtype; None keeps the dtype of the recording.

    Raises
    ------
    ValueError
        If the dtype is neither an integer nor a real floating point type.
    """
    dtype = np.dtype(recording.get_dtype() if dtype is None else dtype)
    if dtype.kind not in "iuf":
        raise ValueError(f"dtype={dtype} cannot hold traces; expected an integer or floating point type.")
    return dtype


def cast_traces(traces: np.ndarray, dtype: np.dtype, is_gap: np.ndarray | None = None) -> np.ndarray:
    """
    Convert traces to another dtype. Integers are rounded and saturate at the ends of their range.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    dtype : np.dtype
    is_gap : np.ndarray | None, shape (num_frames, num_channels), bool, default: None
        Samples that were not measured; they become NaN, or 0 in integers.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), dtype
    """
    if is_gap is not None and is_gap.any():
        traces = np.where(is_gap, np.nan if dtype.kind == "f" else 0, traces)
    if dtype.kind == "f":
        return traces.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    # float32 cannot hold 2**31 - 1, so that the cast of the upper end would overflow
    wide = traces.astype("float64") if dtype.itemsize > 2 else traces
    return np.clip(np.rint(wide), limits.min, limits.max).astype(dtype)


def fill_gaps(traces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Replace NaN and inf by 0: a filter would spread them to all frames around.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)

    Returns
    -------
    filled : np.ndarray, shape (num_frames, num_channels), float32
    is_gap : np.ndarray, shape (num_frames, num_channels), bool
    """
    traces = traces.astype("float32", copy=False)
    is_gap = ~np.isfinite(traces)
    return (np.where(is_gap, np.float32(0), traces), is_gap) if is_gap.any() else (traces, is_gap)


def check_has_traces(recording: BaseRecording) -> None:
    """
    Refuse a recording without channels or frames.

    Raises
    ------
    ValueError
    """
    num_frames = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]
    if recording.get_num_channels() == 0 or sum(num_frames) == 0:
        raise ValueError(
            f"The recording has {recording.get_num_channels()} channels and segments of {num_frames} frames; "
            "expected at least one channel and one frame. Check the file and the selection of channels and frames."
        )


def check_finite(traces: np.ndarray, where: str) -> None:
    """
    Refuse traces with NaN or inf, which filters spread over whole chunks.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    where : str
        Place of the traces in the recording, for the message.

    Raises
    ------
    ValueError
    """
    # The sum is finite if and only if everything is, and needs no second array.
    if not np.isfinite(traces.sum(dtype="float64")):
        bad = np.flatnonzero(~np.isfinite(traces).all(axis=0))
        raise ValueError(
            f"NaN or inf {where}, on {len(bad)} of {traces.shape[1]} channels (the first has index {bad[0]}). "
            "Sorting needs finite numbers: remove the channels with recording.remove_channels([...]), or replace the "
            "stretch, e.g. with spikeinterface.preprocessing.silence_periods(recording, ...)."
        )
