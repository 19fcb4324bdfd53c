"""Detection of spikes among candidates, as nodes of SpikeInterface's pipelines."""

from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ..nets import network_class
from ..nets.network import Network
from .candidates import CandidateFinder, Candidates
from .energy import EnergyFilters
from .peak_times import extremum_frames
from .spike_detector import SpikeDetector

# Threshold of the detection by energy: the norm, in noise standard deviations, of a spike's part in its subspace. Noise
# alone exceeds it less than once per second and channel.
ENERGY_THRESHOLD = 6.5
# Detection by energy drops a peak that is less than this share of another one around it: it is a side lobe of the same
# spike, or too mixed to be clustered. Tuned on generated development recordings (seeds 1-5).
SHADOW_RATIO = 0.5


class _CandidateNode(PeakDetector):
    """
    What both nodes share: candidates become peaks of SpikeInterface.

    `at_extremum` moves them from where the energy is largest to where the waveform is.
    """

    at_extremum: bool

    engine = "numpy"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def get_dtype(self) -> np.dtype:
        """SpikeInterface's peak dtype."""
        return np.dtype(base_peak_dtype)

    def chosen(self, traces: np.ndarray, margin: int) -> Candidates:
        """The candidates that are spikes."""
        raise NotImplementedError

    def filters(self) -> EnergyFilters:
        """Those by which the candidates were found."""
        raise NotImplementedError

    def compute(
        self, traces: np.ndarray, start_frame: int, end_frame: int, segment_index: int, max_margin: int
    ) -> tuple[np.ndarray]:
        """Peaks of a chunk of traces (frames, channels); sample indices count from the start of its margin."""
        traces = traces.astype("float32", copy=False)
        found = self.chosen(traces, max_margin)
        peaks = np.zeros(len(found), dtype=self.get_dtype())
        peaks["sample_index"], peaks["channel_index"] = found.frames, found.channels
        peaks["amplitude"] = found.sizes
        peaks["segment_index"] = segment_index
        if self.at_extremum:
            peaks["sample_index"] = extremum_frames(traces, self.filters(), found.frames, found.channels)
        return (peaks,)


class EnergyPeakDetector(_CandidateNode):
    """
    Peaks of the energy above a threshold that no much larger peak overshadows.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    finder : CandidateFinder
    threshold : float
        Smallest size, in noise standard deviations.
    at_extremum : bool, default: False
        Give the times at which waveforms are largest, instead of those at which their energy or match is.
    """

    name = "energy"

    def __init__(
        self,
        recording: BaseRecording,
        finder: CandidateFinder,
        *,
        threshold: float = ENERGY_THRESHOLD,
        at_extremum: bool = False,
        return_output: bool = True,
    ):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.finder = finder
        self.threshold = threshold
        self.at_extremum = at_extremum

    def get_margin(self) -> int:
        """Frames on either side of a chunk that its spikes depend on."""
        return self.finder.margin

    def chosen(self, traces: np.ndarray, margin: int) -> Candidates:
        found = self.finder.find(traces, threshold=self.threshold, margin=margin)
        return found.where(found.shares >= SHADOW_RATIO)

    def filters(self) -> EnergyFilters:
        return self.finder.filters


class NetworkPeakDetector(_CandidateNode):
    """
    Candidates that a network takes for spikes.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    detector : SpikeDetector
        Made ready for this recording by `prepare_detector`.
    threshold : float | None, default: None
        Smallest probability of a spike. None takes the model's.
    at_extremum : bool, default: False
        As for `EnergyPeakDetector`.
    """

    name = "network"
    engine = "torch"

    def __init__(
        self,
        recording: BaseRecording,
        detector: SpikeDetector,
        *,
        threshold: float | None = None,
        at_extremum: bool = False,
        return_output: bool = True,
    ):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.detector = detector
        self.threshold = detector.threshold if threshold is None else threshold
        self.at_extremum = at_extremum

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
        return self.detector.margin

    def chosen(self, traces: np.ndarray, margin: int) -> Candidates:
        found, probabilities = self.detector.judged(traces, margin=margin)
        return found.where(probabilities >= self.threshold)

    def filters(self) -> EnergyFilters:
        return self.detector.finder.filters


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
