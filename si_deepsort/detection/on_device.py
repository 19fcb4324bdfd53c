"""Detection on a GPU: candidates are found and judged there, and only they come back."""

import copy
from typing import Any

import numpy as np
import torch
from torch.nn.functional import max_pool1d

from ..on_device import DeviceStep, device_for, made_on_device
from .candidates import CandidateFinder, Candidates
from .energy_on_device import EnergyOnDevice
from .spike_detector import SpikeDetector

# Windows that the network judges at once; it does not change the result.
WINDOWS_AT_ONCE = 8192


class CandidateFinderOnDevice(CandidateFinder):
    """
    Finds the peaks of the energy as a finder does, on a device.

    Parameters
    ----------
    finder : CandidateFinder
        The reference; it computes on the CPU if the device fails.
    device : torch.device
    """

    def __init__(self, finder: CandidateFinder, device: torch.device):
        self.__dict__.update(finder.__dict__)
        self.on_cpu, self.step = finder, DeviceStep("detection", device)
        self.energy = EnergyOnDevice(finder.filters, self.step)
        own = np.arange(len(finder.neighbors))[:, None]
        nearby = np.where(finder.neighbors < 0, own, finder.neighbors)
        self.nearby = torch.from_numpy(nearby.T.copy()).to(device)

    def find(self, traces: np.ndarray, *, threshold: float, margin: int) -> Candidates:
        return self.step.run(
            lambda: self.find_in(self.step.send(traces), threshold=threshold, margin=margin),
            lambda: self.on_cpu.find(traces, threshold=threshold, margin=margin),
        )

    def find_in(self, traces: Any, *, threshold: float, margin: int) -> Candidates:
        """As `find`, in traces that are on the device, (num_frames, num_channels)."""
        return super().find(traces, threshold=threshold, margin=margin)

    def _local_maxima(self, traces, threshold):
        if self.responses is not None:
            return self._freed_maxima(self.energy.matches_at_places(traces, self.stride).cpu().numpy(), threshold)
        energy = self.energy.at_places(traces, self.stride)
        in_time = max_pool1d(energy, 2 * self.exclusive_places + 1, stride=1, padding=self.exclusive_places)
        highest = in_time.clone()
        for channels in self.nearby:
            torch.maximum(highest, in_time[channels], out=highest)
        is_highest = (energy > threshold) & (energy >= highest)
        places, channels = torch.nonzero(is_highest.T, as_tuple=True)
        found = tuple(found.cpu().numpy() for found in (places, channels, energy[channels, places]))
        return *found, np.zeros(len(places), dtype=bool)

    def _energy_at(self, traces, starts, channels, num_frames):
        return self.energy.at(traces, starts, channels, num_frames)


class SpikeDetectorOnDevice(SpikeDetector):
    """
    A detection network whose candidates, windows and probabilities are computed on a device.

    Parameters
    ----------
    detector : SpikeDetector
        The reference; it computes on the CPU if the device fails.
    device : torch.device
    """

    def __init__(self, detector: SpikeDetector, device: torch.device):
        self.__dict__.update(detector.__dict__)
        self.on_cpu, self.finder = detector, CandidateFinderOnDevice(detector.finder, device)
        self.step = self.finder.step
        # The network of the user stays where it is.
        self.net = copy.deepcopy(detector.net).to(device)
        plan = detector.plan
        self.neighbors = torch.from_numpy(np.maximum(plan.neighbors, 0)).to(device)
        self.is_there, self.distances_um = self.step.send(plan.neighbors >= 0), self.step.send(plan.distances_um)
        self.resampling = self.step.send(plan.resampling)

    def judged(self, traces: np.ndarray, *, margin: int) -> tuple[Candidates, np.ndarray]:
        def on_device():
            sent = self.step.send(traces)
            found = self.finder.find_in(sent, threshold=self.net.config.candidate_threshold, margin=margin)
            return found, self._probabilities(sent, found)

        return self.step.run(on_device, lambda: self.on_cpu.judged(traces, margin=margin))

    def _probabilities(self, traces, found: Candidates) -> np.ndarray:
        device = self.step.device
        reach = torch.arange(-self.plan.before, self.plan.before + 1, device=device)
        frames, channels = (torch.from_numpy(part).to(device) for part in (found.frames, found.channels))
        context, probabilities = self.step.send(found.context), [np.zeros(0, dtype="float32")]
        for start in range(0, len(found), WINDOWS_AT_ONCE):
            part = slice(start, start + WINDOWS_AT_ONCE)
            own = channels[part]
            windows = traces[frames[part, None, None] + reach, self.neighbors[own][:, :, None]]
            windows = (windows * self.is_there[own][:, :, None]) @ self.resampling
            logits = self.net(windows, self.distances_um[own], context[part])
            probabilities.append(torch.sigmoid(logits).cpu().numpy())
        return np.concatenate(probabilities)


def finder_on_device(finder: CandidateFinder, device: str) -> CandidateFinder:
    """The finder on a device, see `on_device.device_for`; the finder itself for compiled code on the CPU."""
    found = device_for(device)
    return finder if found is None else made_on_device(lambda: CandidateFinderOnDevice(finder, found), finder)


def detector_on_device(detector: SpikeDetector, device: str) -> SpikeDetector:
    """The detector on a device, see `on_device.device_for`; the detector itself for compiled code on the CPU."""
    found = device_for(device)
    return detector if found is None else made_on_device(lambda: SpikeDetectorOnDevice(detector, found), detector)
