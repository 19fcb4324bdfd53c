"""Windows around the spikes of one unit, explained with this unit and without it."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ...preprocessing.half_precision import stored_halves
from ..matching.correlate import MatchedFilters, correlate_blocks, make_matched_filters
from ..matching.kernels import INTERPOLATION_REACH
from ..matching.overlaps import TemplateOverlaps, make_template_overlaps
from ..matching.pursuit import JOINT_TURNS, pursue_correlations
from ..waveforms import cut_out, stored_traces
from .spike_costs import SpikeShapes, best_pairs, make_spike_shapes, spike_costs, subtract_spikes

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
class WindowTemplates:
    """
    Templates that may explain windows of white traces around the spikes of a unit.

    Threads test several units at once. Nothing here is computed when it is first asked for: in Python 3.11 the threads
    would wait for each other, whichever windows they look at.

    Attributes
    ----------
    shapes : SpikeShapes
        Template 0 is that of the unit itself.
    filters : MatchedFilters
        Their transforms, for windows with the length of a template before them.
    overlaps : TemplateOverlaps
    threshold : float
        Smallest score of a spike: what an additional spike costs.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    """

    shapes: SpikeShapes
    filters: MatchedFilters
    overlaps: TemplateOverlaps
    threshold: float
    amplitude_variance: float

    @property
    def num_samples(self) -> int:
        """Samples of a template."""
        return self.filters.num_samples

    def gains(self, windows: np.ndarray) -> np.ndarray:
        """
        How much better each window is explained with the unit than by the others alone.

        The others alone explain a window in two ways, of which the better one counts: they are matched without the
        unit, or a pair of them replaces its spike. Matching alone, which takes the largest spike first, often misses
        the right pair.

        Parameters
        ----------
        windows : np.ndarray, shape (num_windows, num_frames, num_channels), float32
            As `read_spike_windows` reads them.

        Returns
        -------
        np.ndarray, shape (num_windows,), float
            Differences of twice the log likelihood.
        """
        if len(windows) == 0:
            return np.zeros(0)
        # Correlations of all templates with the windows, (num_units, num_windows, num_places). Before each window there
        # is the length of a template of zeros: templates may begin there.
        num_windows, length, num_channels = windows.shape
        blocks = np.zeros((num_windows, self.num_samples + length, num_channels), dtype="float32")
        blocks[:, self.num_samples :] = windows
        correlations = correlate_blocks(blocks, self.filters)
        by_channel = np.ascontiguousarray(windows.transpose(0, 2, 1))
        with_unit, without_unit = (self._matched(correlations, is_unit_used=is_used) for is_used in (True, False))
        with_pairs = self._with_pairs(with_unit, windows, correlations)
        cost_of_others = np.minimum(self._costs(without_unit, by_channel), self._costs(with_pairs, by_channel))
        return cost_of_others - self._costs(with_unit, by_channel)

    def _matched(self, correlations, *, is_unit_used: bool) -> ExplainedSpikes:
        thresholds = np.full(len(self.filters.norms), self.threshold)
        thresholds[0] = self.threshold if is_unit_used else np.inf
        frames, units, _, _ = pursue_correlations(
            correlations.reshape(len(correlations), -1).copy(),
            self.overlaps,
            thresholds=thresholds,
            amplitude_variance=self.amplitude_variance,
            refractory_frames=round(REFRACTORY_REACH * self.num_samples),
            joint_turns=JOINT_TURNS if is_unit_used else 0,
        )
        windows, frames = np.divmod(frames, self.filters.block_frames)
        return ExplainedSpikes(windows, frames - self.num_samples, units)

    def _costs(self, spikes: ExplainedSpikes, by_channel) -> np.ndarray:
        return spike_costs(
            by_channel,
            spikes.windows,
            spikes.frames,
            spikes.units,
            self.shapes,
            threshold=self.threshold,
            amplitude_variance=self.amplitude_variance,
        )

    def _with_pairs(self, spikes: ExplainedSpikes, windows, correlations) -> ExplainedSpikes:
        """The spikes of the others, and in each window the best pair of others instead of the unit's spike."""
        is_other = spikes.units != 0
        others = ExplainedSpikes(spikes.windows[is_other], spikes.frames[is_other], spikes.units[is_other])
        num_samples = self.num_samples
        reach = round(PAIR_REACH * num_samples)
        places = (windows.shape[1] - num_samples) // 2 + np.arange(-reach, reach + 1)
        near = np.ascontiguousarray(correlations[:, :, num_samples + places].transpose(1, 0, 2))
        shared = self.overlaps.starts, self.overlaps.units, self.overlaps.values, self.overlaps.num_lags
        subtract_spikes(near, places[0], others.windows, others.frames, others.units, *shared)
        fits = near.max(axis=2).mean(axis=0) / np.sqrt(np.maximum(self.filters.norms, 1e-9))
        likely = np.argsort(-fits, kind="stable")
        likely = likely[likely != 0][:MOST_PAIRED_UNITS]
        found = best_pairs(
            np.ascontiguousarray(near[:, likely]),
            self.filters.norms[likely],
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
        middle = INTERPOLATION_REACH + self.overlaps.num_lags - 1
        column_of = np.full(len(self.filters.norms), -1)
        column_of[members] = np.arange(len(members))
        for row, member in enumerate(members):
            first, last = self.overlaps.starts[member], self.overlaps.starts[member + 1]
            columns = column_of[self.overlaps.units[first:last]]
            pairs = np.flatnonzero(columns >= 0)
            values = self.overlaps.values[first + pairs, middle - num_places + 1 : middle + num_places]
            dense[row, columns[pairs]] = values
        return dense


def make_window_templates(templates: np.ndarray, *, threshold: float, amplitude_variance: float) -> WindowTemplates:
    """Prepare templates for windows as `read_spike_windows` reads them; see `WindowTemplates`."""
    num_samples = templates.shape[1]
    filters = make_matched_filters(templates, block_frames=_window_frames(num_samples) + num_samples)
    overlaps = make_template_overlaps(templates)
    return WindowTemplates(make_spike_shapes(templates), filters, overlaps, threshold, amplitude_variance)


def _window_frames(num_samples: int) -> int:
    """Frames of a window: a template, and half of its length on both sides."""
    return num_samples + 2 * (num_samples // 2)


def read_spike_windows(
    traces: BaseRecording, spikes: np.ndarray, channels: np.ndarray, *, nbefore: int, num_samples: int
) -> np.ndarray:
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
    margin, length = num_samples // 2, _window_frames(num_samples)
    windows = np.zeros((len(spikes), length, len(channels)), dtype="float32")
    onsets = spikes["sample_index"].astype("int64") - nbefore - margin
    if stored_halves(traces) is not None:
        of_segments = (np.flatnonzero(spikes["segment_index"] == i) for i in range(traces.get_num_segments()))
        for segment, own in enumerate(of_segments):
            if len(own):
                # Only the frames of the windows are read.
                bits = stored_traces(traces, segment, 0, traces.get_num_frames(segment))
                windows[own] = cut_out(bits, onsets[own], np.tile(channels, (len(own), 1)), length)
        return windows
    # A few spikes of one unit lie far apart: reading chunks around them would read most of the recording.
    for window, onset, segment in zip(windows, onsets.tolist(), spikes["segment_index"].tolist(), strict=True):
        first, last = max(onset, 0), min(onset + length, traces.get_num_frames(segment))
        if first < last:
            # Asked for by their positions: to look names up takes longer than to read the window.
            window[first - onset : last - onset] = traces.segments[segment].get_traces(first, last, channels)
    return windows
