"""Correlation of templates with traces on a GPU; `correlate.py` is the reference."""

from typing import cast

import numpy as np
import torch
from torch.nn.functional import pad

from ...on_device import DeviceStep, device_for, made_on_device, real_transform_back
from .correlate import CorrelatesTemplates, MatchedFilters

# Units that are multiplied together with all channels that one of them needs. Templates are local, so that many units
# of a long probe together would mostly be multiplied by 0.
UNITS_AT_ONCE = 32


class MatchedFiltersOnDevice:
    """
    Matched filters that are on a device.

    Parameters
    ----------
    filters : MatchedFilters
        The reference; it computes on the CPU if the device fails.
    device : torch.device
    """

    def __init__(self, filters: MatchedFilters, device: torch.device):
        self.on_cpu, self.step = filters, DeviceStep("matching", device)
        self.num_samples, self.norms = filters.num_samples, filters.norms
        self.groups = [self._group(units) for units in _neighbouring_units(filters)]

    def _group(self, units: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Units, the channels that they need, and their transforms there, (num_frequencies, units, channels)."""
        filters, device = self.on_cpu, self.step.device
        rows = [np.arange(filters.starts[unit], filters.starts[unit + 1]) for unit in units]
        channels = np.unique(filters.channels[np.concatenate(rows)])
        dense = np.zeros((filters.spectra.shape[2], len(units), len(channels)), dtype="complex64")
        for place, own in enumerate(rows):
            seen = np.searchsorted(channels, filters.channels[own])
            dense[:, place, seen] = (filters.spectra[0, own] + 1j * filters.spectra[1, own]).T
        return (
            torch.from_numpy(units).to(device),
            torch.from_numpy(channels).to(device),
            torch.from_numpy(dense).to(device),
        )

    def correlate(self, traces: np.ndarray) -> np.ndarray:
        """Inner products with traces, see `correlate.correlate_templates`."""
        return self.step.run(
            lambda: self._correlate(self.step.send(traces)).cpu().numpy(), lambda: self.on_cpu.correlate(traces)
        )

    def _correlate(self, traces: torch.Tensor) -> torch.Tensor:
        """As `correlate_templates`, from traces that are on the device; it takes the same blocks."""
        stride, size = self.on_cpu.stride, self.on_cpu.block_frames
        places, kept = size // stride, (size - self.num_samples) // stride + 1
        num_starts = (len(traces) - self.num_samples) // stride + 1
        num_blocks = -(-num_starts // kept)
        missing = (num_blocks - 1) * kept * stride + size - len(traces)
        blocks = pad(traces.T, (0, max(0, missing))).unfold(1, size, kept * stride)[:, :num_blocks]
        result = traces.new_zeros((len(self.norms), num_blocks, kept))
        for part in self.step.parts(num_blocks):
            spectra = torch.fft.rfft(blocks[:, part])[..., : places // 2 + 1].permute(2, 0, 1)
            for units, channels, own in self.groups:
                products = (own @ spectra[:, channels]).permute(1, 2, 0)
                result[units, part] = real_transform_back(products.contiguous(), places)[..., :kept]
        return result.reshape(len(result), -1)[:, :num_starts].contiguous()


def _neighbouring_units(filters: MatchedFilters) -> list[np.ndarray]:
    """Units in groups that share channels, those on no channel left out."""
    visible = np.flatnonzero(np.diff(filters.starts))
    middles = [np.mean(filters.channels[filters.starts[unit] : filters.starts[unit + 1]]) for unit in visible]
    ordered = visible[np.argsort(middles, kind="stable")]
    return [ordered[first : first + UNITS_AT_ONCE] for first in range(0, len(ordered), UNITS_AT_ONCE)]


def filters_on_device(filters: MatchedFilters, device: str) -> CorrelatesTemplates:
    """The filters on a device, see `on_device.device_for`; the filters themselves for compiled code on the CPU."""
    found, on_cpu = device_for(device), cast(CorrelatesTemplates, filters)
    return on_cpu if found is None else made_on_device(lambda: MatchedFiltersOnDevice(filters, found), on_cpu)
