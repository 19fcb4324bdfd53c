"""
Sort labelled time with known units and without, to say whether labels help the sorter.

The units are learnt from the time before: spikes that were learnt from would be found too well.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import spikeinterface.core as si

from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel
from .examples import LabelledWaveforms
from .settings import ClassifierTrainingSettings

# One process without a progress bar, for two short sortings.
ONE_JOB = dict(n_jobs=1, progress_bar=False)
# Name of the score.
PLACE = "last part of the labelled time, sorted"


def check_compared_part(compared_part: float) -> None:
    """A ValueError if this is no share of the time that leaves something to learn from."""
    if not 0 <= compared_part < 1:
        raise ValueError(f"compared_part={compared_part}, expected a share of the time from 0 to below 1, such as 0.3.")


def without_network(settings: ClassifierTrainingSettings) -> ClassifierTrainingSettings:
    """Settings that learn templates alone: the sorter does not use the network."""
    return replace(settings, num_epochs=0, progress_bar=False)


def compare_sorting(
    recordings: Sequence[si.BaseRecording],
    sortings: Sequence[si.BaseSorting],
    learn: Callable[..., TrainedModel],
    examples: LabelledWaveforms,
    compared_part: float,
) -> dict[str, HeldOutScore | str]:
    """
    Learn units from the first part of labelled recordings, and sort the rest with them and without.

    Parameters
    ----------
    recordings, sortings : sequences
        Recordings of one segment, and their spikes.
    learn : callable
        (recordings, sortings, folder=...) -> trained classifier.
    examples : LabelledWaveforms
        They name the units that are scored, and say how far the labels lie from the peaks.
    compared_part : float
        Share of the time that is sorted; 0 for none.

    Returns
    -------
    dict
        What was sorted -> mean of SpikeInterface's accuracy over units and recordings, 0 for a unit that no found unit
        matches by half.

    Raises
    ------
    ValueError
        If a recording has several segments, or no unit has enough spikes in the first part.
    """
    if compared_part == 0:
        return {}
    traces, labels = _split(recordings, compared_part), _split(sortings, compared_part, recordings)
    accuracies: dict[str, list[float]] = {"known": [], "default": []}
    # What is still read there is left by Windows.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = learn([start for start, _ in traces], [start for start, _ in labels], folder=Path(folder) / "model")
        for (_, recording), (_, truth) in zip(traces, labels, strict=True):
            for name, options in (("known", {"classifier": str(model.folder)}), ("default", {})):
                accuracies[name] += _sorted_accuracy(
                    recording, _moved(truth, examples.offset_frames), examples.unit_ids, **options
                )
    if not accuracies["known"]:
        return {PLACE: "no labelled spike, so nothing was measured"}
    score = HeldOutScore(
        measure="accuracy of the units",
        value=float(np.mean(accuracies["known"])),
        default=float(np.mean(accuracies["default"])),
        default_name="sorting without labels",
    )
    return {PLACE: score}


def _moved(sorting: si.BaseSorting, num_frames: int) -> si.BaseSorting:
    """All spikes some frames later; those before the start of the recording are left out."""
    spikes = sorting.to_spike_vector().copy()
    spikes["sample_index"] += num_frames
    return si.NumpySorting(spikes[spikes["sample_index"] >= 0], sorting.get_sampling_frequency(), sorting.unit_ids)


def _sorted_accuracy(recording: si.BaseRecording, truth: si.BaseSorting, unit_ids: Sequence, **options) -> list[float]:
    """Accuracy of true units in what deepsort finds with some settings; units without spikes are left out."""
    from spikeinterface.comparison import compare_sorter_to_ground_truth
    from spikeinterface.sorters import run_sorter

    counts = truth.count_num_spikes_per_unit(outputs="dict")
    scored = [unit for unit in unit_ids if counts[unit] > 0]
    # What is still read there is left by Windows.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if not any(recording.check_serializability(kind) for kind in ("json", "pickle")):
            recording = recording.save(folder=Path(folder) / "recording", verbose=False, **ONE_JOB)
        found = run_sorter(
            "deepsort",
            recording,
            folder=Path(folder) / "out",
            job_kwargs=ONE_JOB,
            apply_preprocessing=not recording.is_filtered(),
            assess=False,
            **options,
        )
        if len(found.unit_ids) == 0:
            return [0.0] * len(scored)
        comparison = compare_sorter_to_ground_truth(truth, found, exhaustive_gt=False)
        return [float(comparison.get_performance()["accuracy"][unit]) for unit in scored]


def _split(each, compared_part: float, recordings=None) -> list[tuple]:
    """The first part and the rest of recordings, or of the sortings of recordings."""
    pairs = []
    for one, recording in zip(each, recordings or each, strict=True):
        if recording.get_num_segments() != 1:
            raise ValueError(
                f"A labelled recording has {recording.get_num_segments()} segments, expected one with compared_part. "
                "Give segments as a list of recordings (select_segments), or compared_part=0."
            )
        num_frames = recording.get_num_frames()
        border = round((1 - compared_part) * num_frames)
        pairs.append((one.frame_slice(0, border), one.frame_slice(border, num_frames)))
    return pairs
