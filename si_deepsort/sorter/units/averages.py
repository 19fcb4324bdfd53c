"""Average waveforms of units, made from isolated spikes, which can be moved in time and joined."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording

from ...spike_vectors import main_channels, some_of_each
from ...threads import each
from ..average_waveforms import UNITS_TOGETHER, average_waveforms
from ..spike_limits import spike_limits
from .background import Background
from .isolated import are_isolated
from .templates import MOST_SHIFT, UnitTemplates, clean_averages

# Spikes of each unit in the first, rough average, which only has to show how much the unit overlaps with others.
MOST_ROUGH_SPIKES = 50


@dataclass(frozen=True)
class UnitAverages:
    """
    Average waveforms that are longer than templates, so that units can be moved in time and joined without reading
    the traces again.

    Attributes
    ----------
    values : np.ndarray, shape (num_units, num_samples + 2 * MOST_SHIFT, num_channels), float32
        In noise standard deviations.
    differences : np.ndarray, shape (num_units, num_samples + 2 * MOST_SHIFT, num_channels), float32
        Half the differences between the averages of two halves of the spikes, see `average_waveforms`.
    nbefore : int
        Sample of the spike time in a template; in `values` it is MOST_SHIFT samples later.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes in each average.
    background : Background
        Background of the recording.
    """

    values: np.ndarray
    differences: np.ndarray
    nbefore: int
    num_spikes: np.ndarray
    background: Background

    def templates(self) -> UnitTemplates:
        """Templates: the averages without their margins and without noise; computed once."""
        return self._templates

    @cached_property
    def _templates(self) -> UnitTemplates:
        core = slice(MOST_SHIFT, self.values.shape[1] - MOST_SHIFT)
        return clean_averages(
            self.values[:, core], self.differences[:, core], self.num_spikes, self.nbefore, self.background
        )

    def joined(self, labels: np.ndarray, shifts: np.ndarray | None = None) -> "UnitAverages":
        """
        Averages of new units, each of which takes all spikes of some of these units.

        Parameters
        ----------
        labels : np.ndarray, shape (num_units,), int
            New unit 0, 1, ... of each unit; -1 drops it.
        shifts : np.ndarray | None, shape (num_units,), int, default: None
            Samples that are added to the spike times of each unit, at most MOST_SHIFT; None moves nothing.
        """
        num_new = int(labels.max(initial=-1)) + 1
        shifts = np.zeros(len(labels), dtype=int) if shifts is None else shifts
        if np.array_equal(labels, np.arange(len(labels))) and not shifts.any():
            return self
        kept = np.flatnonzero(labels >= 0)
        counts = np.zeros(num_new, dtype=self.num_spikes.dtype)
        np.add.at(counts, labels[kept], self.num_spikes[kept])
        values, length = np.zeros((num_new, *self.values.shape[1:]), dtype="float32"), self.values.shape[1]
        differences = np.zeros(values.shape, dtype="float32")  # memory that is 0 already, unlike that of zeros_like

        def join(new):
            units = np.flatnonzero(labels == new)
            for unit in units:
                # Spike times `shift` samples later show the waveform `shift` samples earlier; 0 where it was not
                # measured.
                shift = shifts[unit]
                source = slice(max(shift, 0), length + min(shift, 0))
                target = slice(max(-shift, 0), length - max(shift, 0))
                share = np.float32(self.num_spikes[unit] / max(counts[new], 1))
                for joined, own in ((values, self.values), (differences, self.differences)):
                    if len(units) == 1:
                        joined[new, target] = own[unit, source]
                    else:
                        joined[new, target] += share * own[unit, source]

        for _ in each(join, range(num_new), together=UNITS_TOGETHER):
            pass
        return UnitAverages(values, differences, self.nbefore, counts, self.background)


def average_units(
    traces: BaseRecording, spikes: np.ndarray, background: Background, *, nbefore: int, nafter: int, seed: int
) -> UnitAverages:
    """
    Average the isolated spikes of each unit.

    A rough average of a few spikes tells how much energy each unit adds to the waveforms of others; the final average
    uses the spikes to which others add little, and values near those of most spikes, see `spike_limits`.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    background : Background
        Background of the traces.
    nbefore, nafter : int
        Samples of a template before and from the spike time on.
    seed : int
        Seed of the choice of spikes.
    """
    num_units = int(spikes["unit_index"].max(initial=-1)) + 1
    some = spikes[some_of_each(spikes["unit_index"], MOST_ROUGH_SPIKES, seed)]
    values, differences = average_waveforms(traces, some, num_units, nbefore=nbefore, nafter=nafter, seed=seed)
    counts = np.bincount(some["unit_index"], minlength=num_units)
    rough = clean_averages(values, differences, counts, nbefore, background)
    isolated = spikes[are_isolated(spikes, rough.values, traces.get_channel_locations()[:, :2])]
    reach: dict[str, Any] = dict(
        nbefore=nbefore + MOST_SHIFT, nafter=nafter + MOST_SHIFT, seed=seed, main_channels=main_channels(values)
    )
    limits = spike_limits(traces, isolated, num_units, **reach)
    values, differences = average_waveforms(traces, isolated, num_units, limits=limits, **reach)
    counts = np.bincount(isolated["unit_index"], minlength=num_units)
    return UnitAverages(values, differences, nbefore, counts, background)
