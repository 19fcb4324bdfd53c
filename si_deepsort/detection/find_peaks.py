"""
Step 1 of the sorter: find the spikes.

A network (`detector-cnn`, `detector-gru` or a model of your own) looks at each candidate and its neighbours and gives
the probability that it is the peak of a spike. SpikeInterface's threshold detectors are selectable beside it.
"""

import numpy as np
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector, run_node_pipeline

from ..geometry import recording_geometry
from ..noise import noise_levels as robust_levels
from ..noise import sample_traces
from .bimodal import standing_out
from .exclusion import make_exclusion
from .spike_detector import ChannelStatistics, SpikeDetector, detect_in_traces, load_detector, measure_channels

CLASSICAL = ("locally_exclusive", "matched_filtering")
# Threshold of the classical detectors, in noise levels, where none is given.
CLASSICAL_THRESHOLD = 5.0


class NetworkPeakDetector(PeakDetector):
    """
    A detection network as a node of SpikeInterface's pipelines.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces, whitened or not.
    model : str | Path
        "cnn", "gru" or a model folder.
    threshold : float | None, default: None
        Smallest probability of a spike. None takes the model's.
    statistics : ChannelStatistics | None, default: None
        Noise, baseline and activity of the channels. None measures them.
    radius_um : float, default: 75.0
        Two peaks on channels this close exclude each other...
    exclusive_ms : float, default: 0.35
        ...during this time.
    """

    name = "network"
    engine = "torch"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def __init__(
        self,
        recording,
        model: str = "cnn",
        threshold: float | None = None,
        statistics: ChannelStatistics | None = None,
        radius_um: float = 75.0,
        exclusive_ms: float = 0.35,
        return_output: bool = True,
    ):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.model = str(model)
        self.sampling_frequency = recording.get_sampling_frequency()
        self.locations, self.shanks = recording_geometry(recording)
        self._detector = prepare_detector(recording, model, statistics=statistics)
        self.statistics = self._detector.statistics
        self.exclusion = make_exclusion(
            self.locations,
            self.sampling_frequency,
            radius_um=radius_um,
            exclusive_ms=exclusive_ms,
            shanks=self.shanks,
        )
        self.num_frames = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]
        self.threshold = self.detector.threshold if threshold is None else threshold
        self._margin = self.detector.margin + self.exclusion.frames

    def __getstate__(self):
        return self.__dict__ | {"_detector": None}

    @property
    def detector(self) -> SpikeDetector:
        """The network, loaded once per process."""
        if self._detector is None:
            net = load_detector(self.model)
            self._detector = SpikeDetector(
                net, self.locations, self.sampling_frequency, self.statistics, shanks=self.shanks
            )
        return self._detector

    def get_margin(self) -> int:
        """Frames on either side of a chunk that its spikes depend on."""
        return self._margin

    def get_dtype(self):
        """Of the peaks."""
        return np.dtype(base_peak_dtype)

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Peaks of a chunk; sample indices count from the start of the margin."""
        frames, channels, _, _ = detect_in_traces(
            self._without_padding(traces, start_frame, segment_index, max_margin),
            self.detector,
            self.exclusion,
            threshold=self.threshold,
            margin=max_margin,
        )
        peaks = np.zeros(len(frames), dtype=self.get_dtype())
        peaks["sample_index"] = frames
        peaks["channel_index"] = channels
        peaks["amplitude"] = traces[frames, channels]
        peaks["segment_index"] = segment_index
        return (peaks,)

    def _without_padding(self, traces, start_frame, segment_index, max_margin):
        """Zeros that pad the ends of a segment become the baseline, so that they look like silence."""
        first = max(0, max_margin - start_frame)
        last = min(len(traces), self.num_frames[segment_index] - start_frame + max_margin)
        if first == 0 and last == len(traces):
            return traces
        traces = traces.astype("float32")
        traces[:first], traces[last:] = self.statistics.baseline, self.statistics.baseline
        return traces


def find_peaks(
    recording,
    *,
    method="cnn",
    threshold: float | None = None,
    noise_levels: np.ndarray | None = None,
    radius_um: float = 75.0,
    exclusive_ms: float = 0.35,
    only_standing_out: bool = False,
    seed: int = 0,
    job_kwargs: dict | None = None,
) -> np.ndarray:
    """
    Find the spikes of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, whitened or not; any unit.
    method : "cnn" | "gru" | "locally_exclusive" | "matched_filtering" | str | Path, default: "cnn"
        A bundled network, a threshold detector of SpikeInterface, or a model folder.
    threshold : float | None, default: None
        For a network the smallest probability of a spike (None takes the model's own); for the others the smallest
        height in noise levels (None is 5).
    noise_levels : np.ndarray | None, shape (num_channels,), default: None
        In the unit of the stored traces. None estimates them.
    radius_um, exclusive_ms : float, default: 75.0, 0.35
        Of several peaks this close in space and in time the largest stays.
    only_standing_out : bool, default: False
        Where the events of a channel fall into two separate groups of heights, leave out the smaller ones, the
        multi-unit background. Meant for single channels with one or few large units.
    seed : int, default: 0
        Of the chunks on which noise is estimated.
    job_kwargs : dict | None, default: None
        Of SpikeInterface: n_jobs, chunk_duration, progress_bar...

    Returns
    -------
    np.ndarray
        Peaks as SpikeInterface's `base_peak_dtype` has them, by segment and sample; amplitudes in the recording's unit.

    Raises
    ------
    ValueError
        If there is no such model, or several channels and no probe.
    """
    if method in CLASSICAL:
        recording = _with_locations(recording)
        node = _classical_node(recording, method, threshold, noise_levels, radius_um, exclusive_ms, seed)
    else:
        detector = prepare_detector(recording, method, noise_levels=noise_levels, seed=seed)
        node = NetworkPeakDetector(
            recording, method, threshold, detector.statistics, radius_um=radius_um, exclusive_ms=exclusive_ms
        )
    name = f"detect spikes ({method})"
    peaks = run_node_pipeline(recording, [node], job_kwargs or {}, job_name=name, squeeze_output=True)
    peaks = peaks[[name for name, _ in base_peak_dtype]].astype(base_peak_dtype)
    if only_standing_out:
        peaks = _standing_out(peaks, recording, noise_levels, seed)
    return peaks[np.lexsort((peaks["channel_index"], peaks["sample_index"], peaks["segment_index"]))]


def _standing_out(peaks, recording, noise_levels, seed):
    levels = robust_levels(sample_traces(recording, seed=seed)) if noise_levels is None else noise_levels
    heights = np.abs(peaks["amplitude"]) / np.maximum(levels, 1e-12)[peaks["channel_index"]]
    return peaks[standing_out(heights, peaks["channel_index"], recording.get_num_channels())]


def _classical_node(recording, method, threshold, noise_levels, radius_um, exclusive_ms, seed):
    from spikeinterface.sortingcomponents.peak_detection.method_list import detect_peak_methods
    from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

    if noise_levels is None:
        noise_levels = robust_levels(sample_traces(recording, seed=seed))
    params = dict(
        peak_sign="both",
        detect_threshold=CLASSICAL_THRESHOLD if threshold is None else threshold,
        exclude_sweep_ms=exclusive_ms,
        radius_um=radius_um,
    )
    if method == "locally_exclusive":
        return detect_peak_methods[method](recording, noise_levels=noise_levels, **params)
    prototype, _, _ = get_prototype_and_waveforms_from_recording(
        recording, n_peaks=5000, ms_before=0.5, ms_after=1.5, seed=seed, noise_levels=noise_levels
    )
    return detect_peak_methods[method](
        recording, prototype=prototype, ms_before=0.5, random_chunk_kwargs=dict(seed=seed), **params
    )


def detection_probability(recording, model="cnn", *, candidate_threshold: float | None = None, seed: int = 0):
    """
    Probability that each sample of each channel is the peak of a spike.

    It is 0 wherever there is no candidate: no local extremum, or one below `candidate_threshold`.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, any unit.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.
    candidate_threshold : float | None, default: None
        Smallest candidate in noise levels. None takes the model's.
    seed : int, default: 0
        Of the chunks on which noise is estimated.

    Returns
    -------
    list of np.ndarray, each of shape (num_frames, num_channels), float32
        One array per segment.
    """
    detector = prepare_detector(recording, model, candidate_threshold=candidate_threshold, seed=seed)
    return [detector.probability(recording.get_traces(segment_index=i)) for i in range(recording.get_num_segments())]


def prepare_detector(
    recording,
    model="cnn",
    *,
    statistics: ChannelStatistics | None = None,
    noise_levels: np.ndarray | None = None,
    candidate_threshold: float | None = None,
    seed: int = 0,
) -> SpikeDetector:
    """
    A detector made ready for a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, any unit.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.
    statistics : ChannelStatistics | None, default: None
        Of the channels. None measures them on random chunks.
    noise_levels : np.ndarray | None, shape (num_channels,), default: None
        If only they are known.
    candidate_threshold : float | None, default: None
        Smallest candidate in noise levels. None takes the model's.
    seed : int, default: 0
        Of the chunks.

    Raises
    ------
    ValueError
        If there is no such model, it is no detector, or there are several channels and no probe.
    """
    net = load_detector(model)
    locations, shanks = recording_geometry(recording)
    frequency = recording.get_sampling_frequency()
    if statistics is None:
        sampled = sample_traces(recording, seed=seed)
        statistics = measure_channels(
            sampled, net.config, locations, frequency, shanks=shanks, noise_levels=noise_levels
        )
    return SpikeDetector(net, locations, frequency, statistics, shanks=shanks, candidate_threshold=candidate_threshold)


def _with_locations(recording):
    """The recording itself, or a view of it with a location where its one channel has none."""
    locations, _ = recording_geometry(recording)
    if recording.has_channel_location():
        return recording
    located = recording.select_channels(recording.channel_ids)
    located.set_dummy_probe_from_locations(locations)
    return located
