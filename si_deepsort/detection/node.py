"""A detection network as a node of SpikeInterface's pipelines."""

from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ..nets import network_class
from ..nets.network import Network
from .exclusion import make_exclusion
from .spike_detector import SpikeDetector, detect_in_traces


class NetworkPeakDetector(PeakDetector):
    """
    Peaks of spikes, found by a network.

    Parameters
    ----------
    recording : BaseRecording
        Traces as the network shall see them.
    detector : SpikeDetector
        Made ready for this recording by `prepare_detector`.
    threshold : float | None, default: None
        Smallest probability of a spike. None takes the model's.
    radius_um : float, default: 75.0
        Exclusion radius: the largest of several peaks on channels this close stays...
    exclusive_ms : float | None, default: None
        ...if they are this close in time. None takes the model's.
    """

    name = "network"
    engine = "torch"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def __init__(
        self,
        recording: BaseRecording,
        detector: SpikeDetector,
        *,
        threshold: float | None = None,
        radius_um: float = 75.0,
        exclusive_ms: float | None = None,
        return_output: bool = True,
    ):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.detector = detector
        self.exclusion = make_exclusion(
            detector.channel_locations,
            detector.sampling_frequency,
            radius_um=radius_um,
            exclusive_ms=detector.exclusive_ms if exclusive_ms is None else exclusive_ms,
            shanks=detector.shanks,
        )
        self.threshold = detector.threshold if threshold is None else threshold
        self.num_frames = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes get the weights as arrays; they load nothing from disk."""
        return self.__dict__ | {"detector": (self.detector.__dict__ | {"net": None}, _packed(self.detector.net))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        values, packed = state.pop("detector")
        self.__dict__.update(state)
        self.detector = SpikeDetector.__new__(SpikeDetector)
        self.detector.__dict__.update(values | {"net": _unpacked(*packed)})

    def get_margin(self) -> int:
        """Frames on either side of a chunk that its spikes depend on."""
        return self.detector.margin + self.exclusion.frames

    def get_dtype(self) -> np.dtype:
        """SpikeInterface's peak dtype."""
        return np.dtype(base_peak_dtype)

    def compute(
        self, traces: np.ndarray, start_frame: int, end_frame: int, segment_index: int, max_margin: int
    ) -> tuple[np.ndarray]:
        """Peaks of a chunk of traces (frames, channels); sample indices count from the start of its margin."""
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
        """Replace the zeros that pad the ends of a segment by the baseline, so that they look like silence."""
        first = max(0, max_margin - start_frame)
        last = min(len(traces), self.num_frames[segment_index] - start_frame + max_margin)
        if first == 0 and last == len(traces):
            return traces
        traces = traces.astype("float32")
        traces[:first], traces[last:] = self.detector.statistics.baseline, self.detector.statistics.baseline
        return traces


def _packed(net: Network) -> tuple:
    weights = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
    return net.architecture, net.config, net.info, weights


def _unpacked(architecture: str, config, info, weights: dict[str, np.ndarray]) -> Network:
    import torch

    with torch.random.fork_rng(devices=[]):  # the user's own random numbers are left as they were
        net = network_class(architecture)(config)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    net.info = info
    return net.eval()
