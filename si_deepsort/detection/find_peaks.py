"""Find the spikes of a recording, by energy, by a network, or by a threshold detector of SpikeInterface."""

from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ..chunk_jobs import run_node
from ..geometry import channel_distances, separated_locations
from ..nets.network import Network
from ..noise import noise_levels, sample_signal
from ..on_device import device_for
from ..preprocessing.whitening import Whitening
from .bimodal import standing_out
from .candidates import EXCLUSIVE_MS, RADIUS_UM, CandidateFinder
from .energy import make_energy_filters
from .front_end import DEFAULT_FRONT_END, FrontEnd, apply_front_end, traces_for
from .node import ENERGY_THRESHOLD, EnergyPeakDetector, NetworkPeakDetector
from .on_device import detector_on_device, finder_on_device
from .prepare import load_detector, prepare_detector, whitening_of
from .second_peaks import are_second_peaks
from .threshold_detectors import THRESHOLD_METHODS, threshold_detector, with_locations


def find_peaks(
    recording: BaseRecording,
    *,
    method: str | Path | Network = "cnn",
    threshold: float | None = None,
    radius_um: float = RADIUS_UM,
    exclusive_ms: float | None = None,
    only_standing_out: bool = False,
    as_candidates: bool = False,
    applied_front_end: FrontEnd | None = None,
    whitening: Whitening | None = None,
    seed: int = 0,
    job_kwargs: dict | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """
    Find the spikes of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered for "energy" and networks, which filter and whiten; band-passed for threshold detectors.
    method : "cnn" | "gru" | "energy" | "locally_exclusive" | "matched_filtering" | str | Path | Network, default: "cnn"
        A network, a model folder, the energy, or a threshold detector. "cnn" learns the recording's typical waveform.
    threshold : float | None, default: None
        Smallest probability of a spike (None: the network's own), size in noise standard deviations ("energy"; None:
        6.5), or height in noise levels (threshold detectors; None: 5).
    radius_um, exclusive_ms : float | None, default: 60.0, None
        The largest of several peaks this close in space and time stays. None takes the model's own time, or 0.4 ms.
    only_standing_out : bool, default: False
        If the heights of a channel's peaks fall into two groups, drop the lower one: the multi-unit background.
    as_candidates : bool, default: False
        As the sorter takes peaks: larger spikes are not subtracted, further peaks stay, times are those of the match.
    applied_front_end, whitening : list of dict | None, Whitening | None, default: None
        Steps of the front end that the traces have been through, and their whitening if that is not the last step.
    seed : int, default: 0
        Random seed of the chunks on which the threshold detectors estimate noise.
    job_kwargs : dict | None, default: None
        SpikeInterface's: n_jobs, chunk_duration, progress_bar...
    device : "cpu" | "auto" | "cuda" | "cuda:N" | "mps", default: "cpu"
        Where energy and networks are computed, see `on_device.device_for`.

    Returns
    -------
    np.ndarray
        Peaks with SpikeInterface's `base_peak_dtype`, sorted by segment and sample. Amplitudes are sizes of waveforms
        in noise standard deviations, for threshold detectors the trace in its unit.

    Raises
    ------
    ValueError
        If there is no such model or device, or several channels and no probe.
    """
    values = threshold, radius_um, exclusive_ms, applied_front_end, whitening, seed, device
    node, traces = _node_and_traces(recording, method, not as_candidates, *values)
    peaks = _run_node(traces, node, job_kwargs, device)
    peaks = peaks if as_candidates else peaks[~_are_second_peaks(peaks, traces)]
    if only_standing_out:
        peaks = _standing_out(peaks, traces, seed, is_white=method not in THRESHOLD_METHODS)
    return peaks[np.lexsort([peaks[name] for name in ("channel_index", "sample_index", "segment_index")])]


def _run_node(traces, node: PeakDetector, job_kwargs: dict | None, device: str) -> np.ndarray:
    """Peaks of all chunks, as SpikeInterface's."""
    jobs = dict(job_kwargs or {})
    if device_for(device) is not None:
        jobs["pool_engine"] = "thread"  # one process feeds a device
    peaks = run_node(traces, node, jobs, job_name=f"detect spikes ({node.name})")
    return peaks[[name for name, _ in base_peak_dtype]].astype(base_peak_dtype)


def _are_second_peaks(peaks: np.ndarray, traces: BaseRecording) -> np.ndarray:
    """Which peaks are further peaks of larger ones."""
    # Segments follow each other, farther apart than any two peaks of a spike.
    lengths = np.array([traces.get_num_samples(index) for index in range(traces.get_num_segments())])
    starts = np.cumsum(lengths + round(traces.get_sampling_frequency())) - lengths
    frames = peaks["sample_index"] + starts[peaks["segment_index"]]
    distances_um = channel_distances(separated_locations(traces))
    sizes = np.abs(peaks["amplitude"])
    return are_second_peaks(frames, peaks["channel_index"], sizes, distances_um, traces.get_sampling_frequency())


def _standing_out(peaks, traces, seed, *, is_white):
    """The peaks whose heights stand out on their channel."""
    heights = np.abs(peaks["amplitude"])
    if not is_white:
        levels = noise_levels(sample_signal(traces, seed=seed))
        heights = heights / np.maximum(levels, 1e-12)[peaks["channel_index"]]
    return peaks[standing_out(heights, peaks["channel_index"], traces.get_num_channels())]


def _node_and_traces(
    recording, method, at_extremum, threshold, radius_um, exclusive_ms, applied_front_end, whitening, seed, device
) -> tuple[PeakDetector, BaseRecording]:
    """The detector as a node of SpikeInterface's pipelines, and the traces that it takes."""
    reach = dict(radius_um=radius_um, exclusive_ms=exclusive_ms)
    if isinstance(method, str) and method in THRESHOLD_METHODS:
        traces = with_locations(recording.astype("float32"))
        return threshold_detector(traces, method, threshold=threshold, seed=seed, **reach), traces
    if method == "energy":
        traces = apply_front_end(recording, DEFAULT_FRONT_END) if applied_front_end is None else recording
        finder = _energy_finder(traces, whitening, radius_um, exclusive_ms)
        threshold = ENERGY_THRESHOLD if threshold is None else threshold
        finder = finder_on_device(finder, device)
        return EnergyPeakDetector(traces, finder, threshold=threshold, at_extremum=at_extremum), traces
    net = load_detector(method)
    traces = traces_for(recording, net, applied_front_end)
    detector = prepare_detector(traces, net, whitening=whitening, subtract_larger=at_extremum, **reach)
    detector = detector_on_device(detector, device)
    return NetworkPeakDetector(traces, detector, threshold=threshold, at_extremum=at_extremum), traces


def _energy_finder(traces, whitening, radius_um, exclusive_ms) -> CandidateFinder:
    locations, frequency = separated_locations(traces), traces.get_sampling_frequency()
    filters = make_energy_filters(
        whitening_of(traces) if whitening is None else whitening, locations, sampling_frequency=frequency
    )
    exclusive_ms = EXCLUSIVE_MS if exclusive_ms is None else exclusive_ms
    return CandidateFinder(filters, locations, frequency, radius_um=radius_um, exclusive_ms=exclusive_ms)
