"""A detection network with all that it must know of one probe and one sampling rate: white traces in, spikes out."""

import numpy as np

from ..nets.detector import Detector
from ..preprocessing.whitening import Whitening
from .candidates import EXCLUSIVE_MS, RADIUS_UM, CandidateFinder, Candidates
from .energy import make_energy_filters
from .typical_waveform import LEARNT_S, make_typical_filters
from .windows import cut_windows, make_window_plan

# Windows per call of the network: so few that they stay in the processor's cache. It does not change the result.
BATCH = 512
# Probability from which on a candidate is a spike, for a model that was saved without one: an undecided one.
DEFAULT_THRESHOLD = 0.5


class SpikeDetector:
    """
    A detection network made ready for one probe and one sampling rate.

    Parameters
    ----------
    net : Detector
    whitening : Whitening
        The whitening of the traces.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um; shanks far apart.
    sampling_frequency : float
        Sampling rate of the traces in Hz.
    radius_um : float
        The largest of several peaks on channels this close is a candidate...
    exclusive_ms : float | None, default: None
        ...if they are this close in time. None takes the model's.
    sample : np.ndarray | None, shape (num_frames, num_channels), default: None
        Some seconds of the white traces, for a network that learns the typical waveform of a recording.
    subtract_larger : bool, default: False
        Subtract what larger spikes make of the matches with this waveform around them.

    Attributes
    ----------
    threshold : float
        Smallest probability of a spike, as the model was saved with it.
    """

    def __init__(
        self,
        net: Detector,
        whitening: Whitening,
        channel_locations: np.ndarray,
        sampling_frequency: float,
        *,
        radius_um: float = RADIUS_UM,
        exclusive_ms: float | None = None,
        sample: np.ndarray | None = None,
        subtract_larger: bool = False,
    ):
        self.net = net
        self.sampling_frequency = sampling_frequency
        stored = net.info.settings if net.info is not None else {}
        self.threshold: float = stored.get("threshold", DEFAULT_THRESHOLD)
        if exclusive_ms is None:
            exclusive_ms = stored.get("exclusive_ms", EXCLUSIVE_MS)
        filters = make_energy_filters(whitening, channel_locations, sampling_frequency=sampling_frequency)
        place = channel_locations, sampling_frequency
        self.finder = CandidateFinder(filters, *place, radius_um=radius_um, exclusive_ms=exclusive_ms)
        if net.config.typical_waveform:
            sample = np.zeros((0, len(channel_locations)), dtype="float32") if sample is None else sample
            filters = make_typical_filters(sample, self.finder, whitening, *place)
            self.finder = CandidateFinder(filters, *place, radius_um=radius_um, exclusive_ms=exclusive_ms)
            if subtract_larger:
                self.finder.learn_responses(sample[: round(LEARNT_S * sampling_frequency)])
        usable = np.any(whitening.space_matrix != 0, axis=0)
        self.plan = make_window_plan(net.config, channel_locations, sampling_frequency, usable=usable)

    @property
    def margin(self) -> int:
        """Frames on either side that a probability depends on."""
        return max(self.finder.margin, self.plan.before)

    def find(self, traces: np.ndarray, *, margin: int) -> Candidates:
        """
        Find the candidates in traces.

        Parameters
        ----------
        traces : np.ndarray, shape (num_frames, num_channels), float32
            White traces.
        margin : int
            Frames at either end that hold no candidate; at least `self.margin`.
        """
        return self.finder.find(traces, threshold=self.net.config.candidate_threshold, margin=margin)

    def judged(self, traces: np.ndarray, *, margin: int) -> tuple[Candidates, np.ndarray]:
        """
        Find the candidates in traces, and the probability of each that it is a spike; as `find`.

        Returns
        -------
        candidates : Candidates
        probabilities : np.ndarray, shape (num_candidates,), float32
        """
        found = self.find(traces, margin=margin)
        return found, self._probabilities(traces, found)

    def _probabilities(self, traces: np.ndarray, found: Candidates) -> np.ndarray:
        """Probability of each candidate in traces."""
        context = found.context
        probabilities = np.zeros(len(found), dtype="float32")
        for start in range(0, len(found), BATCH):
            batch = slice(start, start + BATCH)
            windows = cut_windows(traces, found.frames[batch], found.channels[batch], self.plan)
            distances_um = self.plan.distances_um[found.channels[batch]]
            probabilities[batch] = probabilities_of(self.net, windows, distances_um, context[batch])
        return probabilities


def probabilities_of(net: Detector, windows: np.ndarray, distances_um: np.ndarray, context: np.ndarray) -> np.ndarray:
    """
    Probability that the middle of each window is a spike.

    Parameters
    ----------
    net : Detector
        In evaluation mode.
    windows : np.ndarray, shape (num_windows, num_neighbors, num_frames), float
    distances_um : np.ndarray, shape (num_windows, num_neighbors), float32
    context : np.ndarray, shape (num_windows, 5), float32
        See `Candidates.context`.

    Returns
    -------
    np.ndarray, shape (num_windows,), float32
    """
    import torch

    device = next(net.parameters()).device
    result = np.zeros(len(windows), dtype="float32")
    with torch.inference_mode():
        for start in range(0, len(windows), BATCH):
            batch = slice(start, start + BATCH)
            inputs = (windows[batch].astype("float32", copy=False), distances_um[batch], context[batch])
            logits = net(*(torch.from_numpy(array).to(device) for array in inputs))
            result[batch] = torch.sigmoid(logits).cpu().numpy()
    return result
