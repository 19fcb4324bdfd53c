"""Find the spikes of a recording, by a network or by a threshold detector of SpikeInterface."""

from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import run_node_pipeline

from ..nets.network import Network
from ..noise import noise_levels, sample_traces
from .bimodal import standing_out
from .front_end import FrontEnd, traces_for
from .node import NetworkPeakDetector
from .prepare import load_detector, prepare_detector
from .threshold_detectors import THRESHOLD_METHODS, threshold_detector, with_locations


def find_peaks(
    recording: BaseRecording,
    *,
    method: str | Path | Network = "cnn",
    threshold: float | None = None,
    radius_um: float = 75.0,
    exclusive_ms: float | None = None,
    only_standing_out: bool = False,
    applied_front_end: FrontEnd | None = None,
    seed: int = 0,
    job_kwargs: dict | None = None,
) -> np.ndarray:
    """
    Find the spikes of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit. A model that was saved with a front end takes the recording before it.
    method : "cnn" | "gru" | "locally_exclusive" | "matched_filtering" | str | Path | Network, default: "cnn"
        A network, a model folder, or a threshold detector of SpikeInterface.
    threshold : float | None, default: None
        Smallest probability of a spike (None takes the network's own), or smallest height in noise levels (None is 5).
    radius_um, exclusive_ms : float | None, default: 75.0, None
        The largest of several peaks this close in space and time stays. None takes the model's own time, or 0.35 ms.
    only_standing_out : bool, default: False
        If the heights of a channel's peaks fall into two separate groups, drop the lower one: the multi-unit
        background of a single channel with few large units.
    applied_front_end : list of dict | None, default: None
        Steps of the front end that the recording has been through. None applies the model's own, if it has one.
    seed : int, default: 0
        Random seed of the chunks on which noise is estimated.
    job_kwargs : dict | None, default: None
        SpikeInterface's job_kwargs: n_jobs, chunk_duration, progress_bar...

    Returns
    -------
    np.ndarray
        Peaks with SpikeInterface's `base_peak_dtype`, sorted by segment and sample. Amplitudes are in the unit of the
        traces that the detector saw.

    Raises
    ------
    ValueError
        If there is no such model, or several channels and no probe.
    """
    options: dict[str, Any] = dict(threshold=threshold, radius_um=radius_um, exclusive_ms=exclusive_ms)
    if isinstance(method, str) and method in THRESHOLD_METHODS:
        name, recording = method, with_locations(recording)
        node = threshold_detector(recording, method, seed=seed, **options)
    else:
        net = load_detector(method)
        name, recording = net.architecture, traces_for(recording, net, applied_front_end)
        node = NetworkPeakDetector(recording, prepare_detector(recording, net, seed=seed), **options)
    job_name = f"detect spikes ({name})"
    peaks = run_node_pipeline(recording, [node], job_kwargs or {}, job_name=job_name, squeeze_output=True)
    peaks = peaks[[name for name, _ in base_peak_dtype]].astype(base_peak_dtype)
    if only_standing_out:
        peaks = _standing_out(peaks, recording, seed)
    return peaks[np.lexsort((peaks["channel_index"], peaks["sample_index"], peaks["segment_index"]))]


def _standing_out(peaks, recording, seed):
    levels = noise_levels(sample_traces(recording, seed=seed))
    heights = np.abs(peaks["amplitude"]) / np.maximum(levels, 1e-12)[peaks["channel_index"]]
    return peaks[standing_out(heights, peaks["channel_index"], recording.get_num_channels())]
