"""Windows around the spikes of one unit, explained with this unit and without it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from spikeinterface.core import BaseRecording

from ..matching.correlate import MatchedFilters, correlate_blocks, make_matched_filters
from ..matching.kernels import INTERPOLATION_REACH
from ..matching.overlaps import TemplateOverlaps, make_template_overlaps
from ..matching.pursuit import pursue_correlations
from .spike_costs import best_pairs, spike_costs, subtract_spikes

# A pair of spikes of other units is looked for within this part of a template's length to either side of a spike, with
# the default settings 1.3 ms: spikes farther apart than the main peak of a template are not clustered as one.
PAIR_REACH = 0.4
# Other units that are paired: those that fit best, of which all pairs are tried.
MOST_PAIRED_UNITS = 8
# A unit does not fire twice within this part of a template's length, with the default settings .5 ms.
REFRACTORY_REACH = 0.15


@dataclass(frozen=True)
class ExplainedSpikes:
    """
    Spikes that explain windows.

    Attributes
    ----------
    windows : np.ndarray, shape (num_spikes,), int
        Window of each spike.
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template of each spike in its window.
    units : np.ndarray, shape (num_spikes,), int
    """

    windows: np.ndarray
    frames: np.ndarray
    units: np.ndarray


@dataclass(frozen=True)
class SpikeWindows:
    """
    Windows of white traces around spikes of a unit, with the templates that may explain them.

    Attributes
    ----------
    traces : np.ndarray, shape (num_windows, num_frames, num_channels), float32
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Template 0 is that of the unit itself.
    threshold : float
        Smallest score of a spike: what an additional spike costs.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    """

    traces: np.ndarray
    templates: np.ndarray
    threshold: float
    amplitude_variance: float

    def gains(self) -> np.ndarray:
        """
        How much better each window is explained with the unit than by the others alone.

        The others alone explain a window in two ways, of which the better one counts: they are matched without the
        unit, or a pair of them replaces its spike. Matching alone, which takes the largest spike first, often misses
        the right pair.

        Returns
        -------
        np.ndarray, shape (num_windows,), float
            Differences of twice the log likelihood.
        """
        if len(self.traces) == 0:
            return np.zeros(0)
        with_unit, without_unit = self._matched(is_unit_used=True), self._matched(is_unit_used=False)
        cost_of_others = np.minimum(self._costs(without_unit), self._costs(self._with_pairs(with_unit)))
        return cost_of_others - self._costs(with_unit)

    def with_traces(self, traces: np.ndarray) -> "SpikeWindows":
        """Other windows with the same templates, whose filters and overlaps are not computed again."""
        others = replace(self, traces=traces)
        vars(others).update(_filters=self._filters, _overlaps=self._overlaps)
        return others

    @cached_property
    def _filters(self) -> MatchedFilters:
        num_samples = self.templates.shape[1]
        return make_matched_filters(self.templates, block_frames=self.traces.shape[1] + num_samples)

    @cached_property
    def _overlaps(self) -> TemplateOverlaps:
        return make_template_overlaps(self.templates)

    @cached_property
    def _correlations(self) -> np.ndarray:
        """
        Correlations of all templates with the windows, laid end to end, (num_units, num_windows * num_places).

        Before each window there is the length of a template of zeros: templates may begin there.
        """
        before = self.templates.shape[1]
        blocks = np.pad(self.traces, ((0, 0), (before, 0), (0, 0)))
        return correlate_blocks(list(blocks), self._filters).reshape(len(self.templates), -1)

    def _matched(self, *, is_unit_used: bool) -> ExplainedSpikes:
        thresholds = np.full(len(self.templates), self.threshold)
        thresholds[0] = self.threshold if is_unit_used else np.inf
        frames, units, _, _ = pursue_correlations(
            self._correlations.copy(),
            self._overlaps,
            thresholds=thresholds,
            amplitude_variance=self.amplitude_variance,
            refractory_frames=round(REFRACTORY_REACH * self.templates.shape[1]),
        )
        windows, frames = np.divmod(frames, self._filters.block_frames)
        return ExplainedSpikes(windows, frames - self.templates.shape[1], units)

    def _costs(self, spikes: ExplainedSpikes) -> np.ndarray:
        return spike_costs(
            self.traces,
            spikes.windows,
            spikes.frames,
            spikes.units,
            self.templates,
            threshold=self.threshold,
            amplitude_variance=self.amplitude_variance,
        )

    def _with_pairs(self, spikes: ExplainedSpikes) -> ExplainedSpikes:
        """The spikes of the others, and in each window the best pair of others instead of the unit's spike."""
        is_other = spikes.units != 0
        others = ExplainedSpikes(spikes.windows[is_other], spikes.frames[is_other], spikes.units[is_other])
        num_samples = self.templates.shape[1]
        reach = round(PAIR_REACH * num_samples)
        places = (self.traces.shape[1] - num_samples) // 2 + np.arange(-reach, reach + 1)
        every = self._correlations.reshape(len(self.templates), len(self.traces), -1)
        near = np.ascontiguousarray(every[:, :, num_samples + places].transpose(1, 0, 2))
        subtract_spikes(near, places[0], others.windows, others.frames, others.units, self._overlaps)
        fits = near.max(axis=2).mean(axis=0) / np.sqrt(np.maximum(self._filters.norms, 1e-9))
        likely = np.argsort(-fits, kind="stable")
        likely = likely[likely != 0][:MOST_PAIRED_UNITS]
        found = best_pairs(
            np.ascontiguousarray(near[:, likely]),
            self._filters.norms[likely],
            self._dense_overlaps(likely, len(places)),
            np.float32(1 / self.amplitude_variance),
        )
        paired = np.flatnonzero(found[:, 0] >= 0)
        return ExplainedSpikes(
            np.concatenate([others.windows, paired, paired]),
            np.concatenate([others.frames, places[found[paired, 1]], places[found[paired, 3]]]),
            np.concatenate([others.units, likely[found[paired, 0]], likely[found[paired, 2]]]),
        )

    def _dense_overlaps(self, members, num_places):
        """Overlaps of some units, (num_members, num_members, 2 * num_places - 1)."""
        dense = np.zeros((len(members), len(members), 2 * num_places - 1), dtype="float32")
        middle = INTERPOLATION_REACH + self._overlaps.num_lags - 1
        for row, member in enumerate(members):
            pairs = slice(self._overlaps.starts[member], self._overlaps.starts[member + 1])
            values = self._overlaps.values[pairs, middle - num_places + 1 : middle + num_places]
            _, columns, rows = np.intersect1d(members, self._overlaps.units[pairs], return_indices=True)
            dense[row, columns] = values[rows]
        return dense


def read_spike_windows(
    traces: BaseRecording, spikes: np.ndarray, channels: np.ndarray, *, nbefore: int, num_samples: int
):
    """
    Windows of twice a template's length around some spikes.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    channels : np.ndarray, shape (num_channels,), int
        Channels that are read.
    nbefore, num_samples : int
        Samples of a template before the spike time, and in all.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_frames, num_channels), float32
        0 beyond the ends of the recording.
    """
    margin = num_samples // 2
    length = num_samples + 2 * margin
    windows = np.zeros((len(spikes), length, len(channels)), dtype="float32")
    # A few spikes of one unit lie far apart: reading chunks around them would read most of the recording.
    for window, spike in zip(windows, spikes, strict=True):
        segment = int(spike["segment_index"])
        onset = int(spike["sample_index"]) - nbefore - margin
        first, last = max(onset, 0), min(onset + length, traces.get_num_frames(segment))
        if first < last:
            # Asked for by their positions: to look names up takes longer than to read the window.
            window[first - onset : last - onset] = traces.segments[segment].get_traces(first, last, channels)
    return windows
