"""
Choose threshold, exclusive time and front end of a detector for a recording without labels.

A labelled recording is given the noise of the target (`noise.match`). The F1 of each choice is known on such copies,
and the best choice is saved with the model, together with the curve.
"""

from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.front_end import FrontEnd, apply_front_end, front_end_of
from ...detection.prepare import load_detector
from ...nets.network import Network
from ...noise import match
from ...zoo import CARD_FILE, parent_reference, render_card, save_model
from .plot_tuning import plot_tuning
from .score import score_grid

# Choices of the probability of a spike and of the exclusive time in ms: from a peak's own width to the refractory
# period of most neurons.
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
EXCLUSIVE_TIMES_MS = (0.35, 0.6, 1.0, 1.5)


@dataclass(frozen=True, kw_only=True)
class DetectorTuning:
    """
    What was chosen for a target recording.

    Attributes
    ----------
    front_end : str
        Name of the chosen front end.
    steps : list of dict
        All steps from the recording to what the network sees, see `detection.front_end`.
    threshold : float
        Smallest probability of a spike.
    exclusive_ms : float
        The largest of several nearby peaks within this time stays.
    f1 : float
        On the noise-matched copies.
    curve : list of dict
        front_end, threshold, exclusive_ms, precision, recall and f1 of each choice.
    """

    front_end: str
    steps: FrontEnd
    threshold: float
    exclusive_ms: float
    f1: float
    curve: list[dict]


def tune_detector(
    recording: BaseRecording,
    sorting: BaseSorting,
    target: BaseRecording,
    *,
    detector: str | PathLike | Network = "cnn",
    folder: str | Path | None = None,
    front_ends: dict[str, FrontEnd] | None = None,
    thresholds: tuple[float, ...] = THRESHOLDS,
    exclusive_times_ms: tuple[float, ...] = EXCLUSIVE_TIMES_MS,
    tolerance_ms: float = 0.4,
    num_copies: int = 1,
    seed: int = 0,
) -> DetectorTuning:
    """
    Choose threshold, exclusive time and front end of a detector for a target recording.

    Parameters
    ----------
    recording : BaseRecording
        The labelled recording: unfiltered, with the channels, sampling rate and unit of the target.
    sorting : BaseSorting
    target : BaseRecording
        Only its noise is used.
    detector : str | PathLike | Network, default: "cnn"
        Bundled detector, model folder or network. One without a front end of its own gets that of the sorter.
    folder : str | Path | None, default: None
        Where the detector is saved with the choice, which takes effect wherever the folder is used, and the curve.
    front_ends : dict of list | None, default: None
        Name -> steps to choose from, see `standard_front_ends`. They run after the detector's own band-pass.
    thresholds, exclusive_times_ms : tuple of float
        Probabilities, and times in ms, to choose from.
    tolerance_ms : float
        A spike is found if a peak is detected this close to it.
    num_copies : int, default: 1
        Noise-matched copies to average over.
    seed : int, default: 0
        Random seed of the noise.

    Raises
    ------
    ValueError
        If the recordings do not go together or no label lies in the labelled recording.
    """
    net = load_detector(detector)
    filters, rest = _around_band_pass(front_end_of(net))
    # Noise is matched after the band-pass, for slow potentials would hide what matters.
    filtered, filtered_target = (apply_front_end(each, filters) for each in (recording, target))
    copies = [match(filtered, filtered_target, seed=seed + copy) for copy in range(num_copies)]
    choices: Any = dict(thresholds=thresholds, exclusive_times_ms=exclusive_times_ms, tolerance_ms=tolerance_ms)
    front_ends, curve = front_ends or {"none": []}, []
    for name, steps in front_ends.items():
        tables = [score_grid(apply_front_end(copy, steps + rest), sorting, net, **choices) for copy in copies]
        curve += [{"front_end": name, **_mean_rows(rows)} for rows in zip(*tables, strict=True)]
    best = max(curve, key=lambda row: row["f1"])
    chosen = {name: best[name] for name in ("front_end", "threshold", "exclusive_ms", "f1")}
    tuning = DetectorTuning(steps=filters + front_ends[best["front_end"]] + rest, curve=curve, **chosen)
    if folder is not None:
        _save(net, tuning, Path(folder))
    return tuning


def _around_band_pass(steps: FrontEnd) -> tuple[FrontEnd, FrontEnd]:
    """The band-pass at the start of a front end, and all steps after it."""
    starts_with_band_pass = bool(steps) and steps[0]["name"] == "band_pass"
    return steps[:starts_with_band_pass], steps[starts_with_band_pass:]


def _mean_rows(rows) -> dict:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _save(net: Network, tuning: DetectorTuning, folder: Path) -> None:
    choice = {"threshold": tuning.threshold, "exclusive_ms": tuning.exclusive_ms, "front_end": tuning.steps}
    settings = net.info.settings | choice | {"tuning": asdict(tuning)}
    info = replace(net.info, settings=settings, parent=parent_reference(net), source={})
    save_model(net, folder, info)
    (folder / CARD_FILE).write_text(render_card(folder), encoding="utf-8")
    plot_tuning(tuning.curve, asdict(tuning)).savefig(folder / "tuning.png", dpi=120)
