"""Count the spikes of a sorting in the bins of the features; describe one session and its labels."""

from dataclasses import dataclass, field

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from .checks import check_common_clock
from .features import FeatureSettings, FeatureTable, extract_features


@dataclass(frozen=True)
class Session:
    """
    A field potential and the spikes recorded with it.

    A wide-band trace holds the spikes of its own electrode, also at low frequencies: predicting them from it at the
    same time is circular. Take the field potential from another electrode, or causal features with a lead.

    Attributes
    ----------
    recording : BaseRecording
        One segment; the same number of channels in all sessions that are analysed together.
    sorting : BaseSorting
        One segment, any sampling rate, on the recording's clock.
    name, participant, region, hemisphere : str
        Labels by which sessions are grouped and held out.
    unit_ids : list | None
        Units to use; None takes all.
    unit_labels : dict
        Unit id -> label, for instance a cell type: `dict(predict_cell_types(sorting, wide_band)["cell_type"])` with
        probabilities, or `cell_types` by the width of the spike alone.
    """

    recording: BaseRecording
    sorting: BaseSorting
    name: str = ""
    participant: str = ""
    region: str = ""
    hemisphere: str = ""
    unit_ids: list | None = None
    unit_labels: dict = field(default_factory=dict)


@dataclass(frozen=True)
class PairedBins:
    """
    Features and spike counts in the same bins.

    Attributes
    ----------
    features : FeatureTable
    counts : np.ndarray, shape (num_bins, num_outputs), float32
    output_names : list
        Name of each column of `counts`: unit id, "population" or a label of units.
    labels : dict
        name, participant, region, hemisphere of the session.
    """

    features: FeatureTable
    counts: np.ndarray
    output_names: list
    labels: dict = field(default_factory=dict)

    @property
    def bin_s(self) -> float:
        """Width of a bin, s."""
        return self.features.bin_s


def pair_session(session: Session, settings: FeatureSettings, *, target: str = "unit") -> PairedBins:
    """
    Features and counts of a session.

    Parameters
    ----------
    session : Session
    settings : FeatureSettings
    target : "unit" | "population" | "label", default: "unit"
        One output per unit, one for all units together, or one per label of `session.unit_labels` (cell types).

    Returns
    -------
    PairedBins

    Raises
    ------
    ValueError
        If there is not exactly one segment, a unit is unknown, or spikes lie outside the recording.
    """
    recording, sorting = session.recording, session.sorting
    if recording.get_num_segments() != 1 or sorting.get_num_segments() != 1:
        raise ValueError(
            f"The recording has {recording.get_num_segments()} segments and the sorting {sorting.get_num_segments()}; "
            "expected one each. Make one Session per segment (recording.select_segments, sorting.select_segments)."
        )
    unit_ids = list(sorting.unit_ids) if session.unit_ids is None else list(session.unit_ids)
    if not unit_ids:
        what = "The sorting has no units" if session.unit_ids is None else "unit_ids is empty"
        raise ValueError(f"{what}; expected at least one unit whose spikes are to be predicted.")
    unknown = [unit_id for unit_id in unit_ids if unit_id not in list(sorting.unit_ids)]
    if unknown:
        raise ValueError(f"Units {unknown} are not in the sorting; it has {list(sorting.unit_ids)}.")
    features = extract_features(recording, settings)
    counts = np.stack([count_spikes(recording, sorting, unit_id, features) for unit_id in unit_ids], axis=1)
    names, counts = _group_units(counts, unit_ids, session.unit_labels, target)
    labels = {key: getattr(session, key) for key in ("name", "participant", "region", "hemisphere")}
    return PairedBins(features, counts, names, labels)


def count_spikes(recording, sorting, unit_id, features: FeatureTable) -> np.ndarray:
    """Spikes of a unit in each bin, by time: the two sampling rates may differ, the clocks may not."""
    times = spike_times(recording, sorting, unit_id)
    num_bins = len(features.values)
    start, end = features.start_s, features.start_s + num_bins * features.bin_s
    check_common_clock((start, end), times, unit_id)
    bins = np.floor((times - start) / features.bin_s + 1e-9).astype(int)
    bins = bins[(bins >= 0) & (bins < num_bins)]
    return np.bincount(bins, minlength=num_bins).astype(np.float32)


def spike_times(recording, sorting, unit_id) -> np.ndarray:
    """Times of a unit on the recording's clock, s; a sorting without a clock of its own starts with the recording."""
    times = np.asarray(sorting.get_unit_spike_train(unit_id, segment_index=0, return_times=True), dtype=float)
    has_clock = sorting.has_recording() or sorting.has_time_vector(segment_index=0) or sorting.get_start_time(0) != 0
    return times if has_clock else times + float(recording.sample_index_to_time(0, segment_index=0))


def cell_types(analyzer, *, narrow_ms: float = 0.425) -> dict:
    """
    Narrow or wide spike of each unit, from SI's template metrics: putative inhibitory or excitatory cells.

    Parameters
    ----------
    analyzer : SortingAnalyzer
        With extension "templates" ("template_metrics" is computed where missing).
    narrow_ms : float, default: 0.425
        Trough-to-peak durations up to this are narrow.

    Returns
    -------
    dict
        Unit id -> "narrow" | "wide" | "unknown".
    """
    if not analyzer.has_extension("template_metrics"):
        analyzer.compute("template_metrics")
    metrics = analyzer.get_extension("template_metrics").get_data()
    column = "peak_to_valley" if "peak_to_valley" in metrics else "trough_to_peak_duration"
    duration_ms = metrics[column].abs().astype(float) * 1000
    return {
        unit_id: "unknown" if np.isnan(value) else "narrow" if value <= narrow_ms else "wide"
        for unit_id, value in duration_ms.items()
    }


def _group_units(counts, unit_ids, unit_labels, target):
    if target == "unit":
        return unit_ids, counts
    if target == "population":
        return ["population"], counts.sum(axis=1, keepdims=True)
    if target != "label":
        raise ValueError(f"target is '{target}'; expected 'unit', 'population' or 'label'.")
    labels = [unit_labels.get(unit_id, "unknown") for unit_id in unit_ids]
    names = sorted(set(labels))
    columns = [counts[:, [label == name for label in labels]].sum(axis=1) for name in names]
    return names, np.stack(columns, axis=1)
