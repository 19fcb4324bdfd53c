"""Energy of white traces in the subspace of spike waveforms, as tensors; `energy.py` is the reference."""

import math

import numpy as np
import torch
from torch.nn.functional import conv1d, pad

from ..on_device import DeviceStep
from .energy import EnergyFilters
from .energy_kernels import OPPOSITE_WEIGHT
from .products import directions_below

# Places whose energy is measured together.
MOST_BLOCK_PLACES = 2000
# Waveforms whose energy is measured at once; it bounds the memory and does not change the result.
WAVEFORMS_AT_ONCE = 4096


class EnergyOnDevice:
    """
    Measures the energy of traces that are on a device.

    Parameters
    ----------
    filters : EnergyFilters
    step : DeviceStep
    """

    def __init__(self, filters: EnergyFilters, step: DeviceStep):
        self.step, self.filters = step, filters
        self.directions = step.send(filters.directions)
        self.near, self.far = step.send(filters.profiles[0]), step.send(filters.profiles[-1])
        self.mixing, self.is_signed = step.send(filters.mixing), filters.is_signed
        # Channels that the profiles of each channel reach, filled up with channel 0 whose weight is 0 then.
        reached = np.any(filters.profiles != 0, axis=0)
        seen = np.argsort(~reached, axis=1, kind="stable")[:, : max(1, reached.sum(axis=1).max(initial=0))]
        weights = np.take_along_axis(filters.profiles, seen[None], axis=2)
        self.seen = torch.from_numpy(seen).to(step.device)
        self.weights = step.send(np.moveaxis(weights, 0, 2))

    def at_places(self, traces: torch.Tensor, stride: int) -> torch.Tensor:
        """
        Energy at every place, as `energy.spike_energy`.

        Parameters
        ----------
        traces : torch.Tensor, shape (num_frames, num_channels), float32
            White traces.
        stride : int
            Frames between two places.
        """
        return self._at_places(traces, stride, self._highest, 1)[0]

    def matches_at_places(self, traces: torch.Tensor, stride: int) -> torch.Tensor:
        """Matches with the only direction at every place, as `energy.spike_matches`; arguments as `at_places`."""
        return self._at_places(traces, stride, self._near_and_far, 2)

    def _at_places(self, traces, stride, measure, num_measures) -> torch.Tensor:
        """What `measure` makes of projected traces at every place, (num_measures, channels, places)."""
        num_samples, num_channels = self.directions.shape[1], traces.shape[1]
        num_places = max(0, (len(traces) - num_samples) // stride + 1)
        if num_places == 0:
            return traces.new_empty((num_measures, num_channels, 0))
        places = math.ceil(num_places / math.ceil(num_places / MOST_BLOCK_PLACES))
        num_blocks, block_frames = math.ceil(num_places / places), (places - 1) * stride + num_samples
        missing = (num_blocks - 1) * places * stride + block_frames - len(traces)
        blocks = pad(traces.T, (0, max(0, missing))).unfold(1, block_frames, places * stride)
        measured = traces.new_empty((num_measures, num_channels, num_blocks, places))
        directions = self.step.send(directions_below(self.filters.directions, stride))
        for part in self.step.parts(num_blocks):
            own = blocks[:, part].reshape(-1, 1, block_frames)
            projected = conv1d(own, directions[:, None], stride=stride).swapaxes(0, 1)
            projected = projected.reshape(len(self.directions), num_channels, -1)
            measured[:, :, part] = measure(projected).reshape(num_measures, num_channels, -1, places)
        return measured.reshape(num_measures, num_channels, -1)[:, :, :num_places]

    def _highest(self, projected) -> torch.Tensor:
        """Root of the largest energy of three profiles, from traces projected on each direction, (channels, places)."""
        of_near = of_far = of_both = torch.zeros((), device=self.step.device)
        first, last = self.mixing[:, :1], self.mixing[:, 1:]
        for own in projected:
            near, far = self.near @ own, self.far @ own
            if self.is_signed:
                matches = torch.stack([near, far, first * near + last * far])
                return torch.maximum(matches.amax(dim=0), -float(OPPOSITE_WEIGHT) * matches.amin(dim=0))
            of_near, of_far, of_both = of_near + near * near, of_far + far * far, of_both + near * far
        mixed = first**2 * of_near + last**2 * of_far + 2 * first * last * of_both
        return torch.maximum(torch.maximum(of_near, of_far), mixed).clamp_min(0).sqrt()

    def _near_and_far(self, projected) -> torch.Tensor:
        """Traces projected on the only direction, through the nearest and the farthest profile."""
        (own,) = projected
        return torch.stack([self.near @ own, self.far @ own])

    def at(self, traces: torch.Tensor, starts: np.ndarray, channels: np.ndarray, num_frames: int = 1) -> np.ndarray:
        """
        Energy at a few channels and successive frames, as `energy.spike_energy_at`.

        Parameters
        ----------
        traces : torch.Tensor, shape (num_frames, num_channels), float32
            White traces.
        starts, channels : np.ndarray, shape (num_spikes,), int
            First frame and channel of the first waveforms.
        num_frames : int, default: 1
            Number of waveforms, each of which starts a frame later than the one before.

        Returns
        -------
        np.ndarray, shape (num_frames, num_spikes), float32
        """
        starts, channels = (starts + np.arange(num_frames)[:, None]).ravel(), np.tile(channels, num_frames)
        samples = torch.arange(self.directions.shape[1], device=self.step.device)[None, :, None]
        energies = [np.zeros(0, dtype="float32")]
        for first in range(0, len(starts), WAVEFORMS_AT_ONCE):
            part = slice(first, first + WAVEFORMS_AT_ONCE)
            begin, own = (torch.from_numpy(array[part]).to(self.step.device) for array in (starts, channels))
            waveforms = traces[begin[:, None, None] + samples, self.seen[own][:, None]]
            products = (self.directions @ waveforms) @ self.weights[own]
            if self.is_signed:
                own = products[:, 0]
                sizes = torch.maximum(own.amax(dim=1), -float(OPPOSITE_WEIGHT) * own.amin(dim=1))
            else:
                sizes = (products**2).sum(dim=1).amax(dim=1).sqrt()
            energies.append(sizes.cpu().numpy())
        return np.concatenate(energies).reshape(num_frames, -1)
