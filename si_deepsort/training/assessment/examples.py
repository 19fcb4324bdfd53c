"""Examples for the assessor: features of a sorting, with the truth about its units and spikes."""

from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...assessment.evidence import Evidence, gather_evidence
from ...assessment.features import compute_features
from ...assessment.missed import SNR_EDGES, size_counts, unexplained
from ...assessment.white_traces import white_traces
from ...spike_vectors import some_of_each
from .degrade import degraded_sorting
from .labels import FOUND_ACCURACY, true_quality

# Seconds of a recording that are read, as when a user calls `assess`.
MOST_S = 60.0
# Spikes of each unit that are kept as examples.
MOST_SPIKES = 40

Examples = dict[str, np.ndarray]


def make_examples(
    white: BaseRecording, spikes: np.ndarray, num_units: int, truth: BaseSorting, *, seed: int, most_s: float = MOST_S
) -> Examples:
    """
    Features and truth of one sorting.

    Parameters
    ----------
    white : BaseRecording
        From `white_traces`.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    truth : BaseSorting
        With the property `gt_snr`.
    seed : int
    most_s : float, default: 60.0

    Returns
    -------
    dict of str to np.ndarray
        Matrices of features and their targets, to be stored in one `.npz`.
    """
    rate = white.get_sampling_frequency()
    num_frames = [white.get_num_frames(segment) for segment in range(white.get_num_segments())]
    evidence = gather_evidence(white, spikes, num_units, most_s=most_s, seed=seed)
    features = compute_features(evidence, spikes, num_frames, rate)
    quality = true_quality(spikes, num_units, truth.to_spike_vector(), len(truth.unit_ids), rate)
    positions = evidence.judged.positions
    units = spikes["unit_index"][positions]
    kept = some_of_each(units, MOST_SPIKES, seed)
    return {
        "units": features.unit_matrix(),
        "pairs": features.pair_matrix(),
        "spikes": features.spike_matrix()[kept],
        "spike_units": units[kept].astype("int64"),
        "precision": quality.precision,
        "recall": quality.recall,
        "labels": quality.labels,
        "is_right": quality.is_right[positions[kept]],
        **_whole(evidence, quality.accuracy_of_neurons, truth, white.get_num_channels()),
    }


def _whole(evidence: Evidence, accuracy, truth, num_channels) -> Examples:
    """Events of the sorting as a whole, and how many neurons of each SNR there are, and were missed."""
    is_free, snr = unexplained(evidence), truth.get_property("gt_snr")
    return {
        "event_counts": size_counts(evidence),
        "num_explained": np.asarray(np.sum(~is_free)),
        "duration_s": np.asarray(evidence.duration_s),
        "num_channels": np.asarray(num_channels),
        "num_missed": np.histogram(snr[accuracy <= FOUND_ACCURACY], SNR_EDGES)[0],
        "num_neurons": np.histogram(snr, SNR_EDGES)[0],
    }


def make_all_examples(
    recording: BaseRecording,
    truth: BaseSorting,
    sortings: dict[str, tuple[np.ndarray, int]],
    folder: Path,
    *,
    name: str,
    num_degraded: int,
    seed: int,
) -> None:
    """
    Write the examples of one recording: of each sorting, of the truth, and of degraded true sortings.

    Parameters
    ----------
    recording : BaseRecording
        One segment.
    truth : BaseSorting
    sortings : dict
        Name of the sorter -> spike vector and number of units.
    folder : Path
        `NAME.SORTER.npz` are written here; those that exist are left.
    name : str
        Name of the recording; examples are split by it.
    num_degraded : int
        Degraded sortings.
    seed : int
    """
    folder.mkdir(parents=True, exist_ok=True)
    white = white_traces(recording, seed=0)
    for sorter, (spikes, num_units) in sortings.items():
        _write(folder / f"{name}.{sorter}.npz", white, spikes, num_units, truth, seed)
    missing = [k for k in range(num_degraded) if not (folder / f"{name}.degraded{k}.npz").exists()]
    if not missing:
        return
    rate, num_frames = white.get_sampling_frequency(), white.get_num_frames(0)
    spikes, num_neurons = truth.to_spike_vector(), len(truth.unit_ids)
    evidence = gather_evidence(white, spikes, num_neurons, most_s=MOST_S, seed=seed, judges_all=True)
    amplitudes = np.ones(len(spikes))
    amplitudes[evidence.judged.positions] = evidence.judged.amplitudes
    mains = np.maximum(evidence.templates.channels[:, 0], 0)
    locations = white.get_channel_locations()
    gaps = np.linalg.norm(locations[evidence.events.channels][:, None] - locations[mains][None], axis=2)
    for number in missing:
        degraded, num_units = degraded_sorting(
            spikes,
            num_neurons,
            amplitudes=amplitudes,
            neighbours=evidence.neighbours.units,
            events=evidence.events.frames,
            event_units=gaps.argmin(axis=1) if len(gaps) else np.zeros(0, dtype=int),
            num_frames=num_frames,
            sampling_frequency=rate,
            seed=seed * 100 + number,
        )
        _write(folder / f"{name}.degraded{number}.npz", white, degraded, num_units, truth, seed)


def _write(file: Path, white, spikes, num_units, truth, seed):
    if not file.exists() and num_units > 0:
        examples = make_examples(white, spikes, num_units, truth, seed=seed)
        partial = file.with_suffix(".partial.npz")
        np.savez_compressed(partial, **examples)  # type: ignore[arg-type]
        partial.rename(file)
