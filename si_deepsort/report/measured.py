"""Everything that the page shows of the units, as arrays, taken from the analyzer once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import spikeinterface.core as si

from ..assessment.assessment import PROPERTIES, REASONS

# Distance from the main channel up to which the template of a unit is shown, in um: spikes of most neurons are lost in
# the noise farther away.
NEAR_UM = 100.0
# Channels shown around a unit; on dense probes the nearest ones.
MOST_CHANNELS = 24
# Channels shown where the probe is sparser than NEAR_UM.
LEAST_CHANNELS = 4


@dataclass(frozen=True)
class MeasuredUnits:
    """
    The units of a sorting as they are shown.

    Attributes
    ----------
    sorting : BaseSorting
        The units with their properties.
    unit_ids : np.ndarray, shape (num_units,)
    metrics : pandas.DataFrame
        SpikeInterface's quality metrics, one row for each unit.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Average waveforms in `amplitude_unit`.
    sample_times_ms : np.ndarray, shape (num_samples,)
        Time of each sample of a template, 0 at the spike.
    shown_channels : np.ndarray, shape (num_units, num_channels), bool
        Channels that the template was measured on.
    channel_locations : np.ndarray, shape (num_channels, 2)
        In um.
    unit_locations : np.ndarray, shape (num_units, 2)
        In um; NaN if unknown.
    similarity : np.ndarray, shape (num_units, num_units)
        Cosine of templates.
    spike_times_s : list of np.ndarray
        Spikes of each unit in s; segments follow one another.
    spike_amplitudes : list of np.ndarray
        In `amplitude_unit`, as `spike_times_s`.
    segment_starts_s : np.ndarray, shape (num_segments + 1,)
        Where each segment begins on that axis, and where the last one ends.
    amplitude_unit : str
        "uV" or "counts".
    expected : pandas.DataFrame | None
        What is to be expected of each unit, as `assess` sets it on the sorting; None if it was not judged.
    reasons : np.ndarray | None, shape (num_units,), str
        The reasons for it in words; None if the sorting does not hold them.
    """

    sorting: si.BaseSorting
    unit_ids: np.ndarray
    metrics: pd.DataFrame
    templates: np.ndarray
    sample_times_ms: np.ndarray
    shown_channels: np.ndarray
    channel_locations: np.ndarray
    unit_locations: np.ndarray
    similarity: np.ndarray
    spike_times_s: list[np.ndarray]
    spike_amplitudes: list[np.ndarray]
    segment_starts_s: np.ndarray
    amplitude_unit: str
    expected: pd.DataFrame | None
    reasons: np.ndarray | None

    @property
    def duration_s(self) -> float:
        """All segments together, in s."""
        return float(self.segment_starts_s[-1])

    def main_channel(self, unit: int) -> int:
        """Channel of the largest deflection of a unit."""
        return int(np.abs(self.templates[unit]).max(axis=0).argmax())

    def near_channels(self, unit: int) -> np.ndarray:
        """Channels around the main one on which the template is shown, nearest first."""
        main = self.main_channel(unit)
        distance = np.linalg.norm(self.channel_locations - self.channel_locations[main], axis=1)
        order = np.argsort(distance, kind="stable")
        order = order[self.shown_channels[unit, order]]
        is_near = (distance[order] <= NEAR_UM) | (np.arange(len(order)) < LEAST_CHANNELS)
        return order[is_near][:MOST_CHANNELS]

    def intervals_ms(self, unit: int) -> np.ndarray:
        """Intervals between successive spikes of a unit, without those over the border of two segments."""
        times = self.spike_times_s[unit]
        segment = np.searchsorted(self.segment_starts_s, times, side="right")
        return 1000 * np.diff(times)[np.diff(segment) == 0]


def measure_units(analyzer: si.SortingAnalyzer) -> MeasuredUnits:
    """Arrays for the page from an analyzer of `analyze`."""
    templates = analyzer.get_extension("templates")
    average = templates.get_data(operator="average").astype("float32")
    rate = analyzer.sampling_frequency
    num_segments = analyzer.get_num_segments()
    starts = np.concatenate([[0.0], np.cumsum([analyzer.get_num_samples(i) / rate for i in range(num_segments)])])
    by_segment = analyzer.get_extension("spike_amplitudes").get_data(outputs="by_unit")
    sparsity = analyzer.sparsity
    return MeasuredUnits(
        sorting=analyzer.sorting,
        unit_ids=np.asarray(analyzer.unit_ids),
        metrics=analyzer.get_extension("quality_metrics").get_data(),
        templates=average,
        sample_times_ms=1000 * (np.arange(average.shape[1]) - templates.nbefore) / rate,
        shown_channels=np.ones((len(average), average.shape[2]), bool) if sparsity is None else sparsity.mask,
        channel_locations=np.asarray(analyzer.get_channel_locations())[:, :2],
        unit_locations=analyzer.get_extension("unit_locations").get_data()[:, :2],
        similarity=analyzer.get_extension("template_similarity").get_data(),
        spike_times_s=[
            np.concatenate(
                [analyzer.sorting.get_unit_spike_train(unit, i) / rate + starts[i] for i in range(num_segments)]
            )
            for unit in analyzer.unit_ids
        ],
        spike_amplitudes=[
            np.concatenate([by_segment[i][unit] for i in range(num_segments)]) for unit in analyzer.unit_ids
        ],
        segment_starts_s=starts,
        amplitude_unit="uV" if analyzer.return_in_uV else "counts",
        expected=_expected(analyzer.sorting),
        reasons=analyzer.sorting.get_property(REASONS),
    )


def _expected(sorting: si.BaseSorting) -> pd.DataFrame | None:
    """The properties that `Assessment.set_properties` sets; None if one is not there."""
    values = {name: sorting.get_property(name) for name in PROPERTIES}
    return None if any(value is None for value in values.values()) else pd.DataFrame(values)
