"""
Train a spike detector on a recording with known spikes.

The network sees candidates (peaks of the match with the typical waveform of the recording) with their neighbourhood in
white traces, and learns which of them are spikes. Every fifth block of time is held out: it stops the training and sets
the decision threshold.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.front_end import FrontEnd, apply_front_end, front_end_of
from ...detection.prepare import load_detector, prepare_detector
from ...fit import Batch, FitSettings, fit
from ...nets import network_class
from ...nets.detector import Detector, DetectorConfig
from ...nets.network import Network
from ...settings import setting, with_default
from ...zoo import ModelInfo, parent_reference
from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel, finish_training
from .examples import Examples, concatenate_examples, examples_from_recording
from .labels import CleanLabels
from .threshold import choose_threshold

logger = logging.getLogger(__name__)

NEXT_STEP = 'run_sorter("deepsort", recording, detection={model}) or find_peaks(recording, method={model})'
ARCHITECTURES = {"cnn": "peak_detector_cnn", "gru": "peak_detector_gru"}
# Structure of a new network. Its candidates match the typical waveform of a recording; the smallest is as large as
# noise is a few times per second and channel. The rule before training was tuned on generated development recordings
# (seed 1).
CONFIG = DetectorConfig(typical_waveform=True, candidate_threshold=4.5, threshold=6.0, rival_share=0.3)
# One block of time in so many is held out, a fifth as in cross-validation with five folds.
BLOCKS_PER_HELD_OUT = 5
# Duration of a block in s: long against bursts, so that held-out spikes do not lie beside training spikes.
BLOCK_S = 2.0
# Fewest spikes to learn from. With fewer, hardly one would be in the held-out fifth.
FEWEST_SPIKES = 10
# Held-out examples per call of the network; it bounds the memory.
VALIDATION_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class DetectorTrainingSettings(FitSettings):
    """Settings of the training of a detector."""

    num_epochs: int = with_default(FitSettings, "num_epochs", 15)
    learning_rate: float = with_default(FitSettings, "learning_rate", 3e-3)
    batch_size: int = setting(512, "Examples per step", minimum=1)
    num_negatives: int = setting(60_000, "Largest number of candidates without a spike that are used", minimum=1)


def train_detector(
    recording: BaseRecording | list[BaseRecording],
    sorting: BaseSorting | list[BaseSorting],
    *,
    folder: str | Path | None = None,
    architecture: str = "cnn",
    start_from: str | Path | None = None,
    front_end: FrontEnd | None = None,
    settings: DetectorTrainingSettings | None = None,
) -> TrainedModel:
    """
    Train a spike detector on a recording with known spikes.

    Parameters
    ----------
    recording : BaseRecording | list of BaseRecording
        Unfiltered, in any unit; one channel or a probe. Several recordings are pooled.
    sorting : BaseSorting | list of BaseSorting
        The spikes of each recording. A constant offset between labels and peaks is measured and removed.
    folder : str | Path | None, default: None
        Where the model is saved; the sorter and `find_peaks` take it. None does not save it.
    architecture : "cnn" | "gru", default: "cnn"
        Architecture of a new network.
    start_from : str | Path | None, default: None
        Network to train further: "cnn", "gru" or whatever `load_model` takes. It keeps its kind of candidates.
    front_end : list of dict | None, default: None
        Steps that are saved with the model and applied wherever it is used, see `detection.front_end`. None takes those
        of `start_from`, or those of the sorter; `[]` takes the recording as it is.
    settings : DetectorTrainingSettings | None

    Returns
    -------
    TrainedModel
        Its scores compare F1 on held-out candidates with that of the simple method, their size alone.

    Raises
    ------
    ValueError
        If the labels do not fit the recording, or too few candidates are spikes.
    """
    settings = settings or DetectorTrainingSettings()
    net = _starting_network(architecture, start_from, settings.seed)
    front_end = front_end_of(net) if front_end is None else front_end
    recordings, sortings = (list(each) if isinstance(each, list | tuple) else [each] for each in (recording, sorting))
    white = [apply_front_end(one, front_end) for one in recordings]
    examples, labels = _labelled_examples(white, sortings, net, settings)
    training, held_out = split_by_time(examples)
    fit_detector(net, training, held_out, settings)
    threshold, metrics = choose_threshold(net, held_out)
    info = ModelInfo(
        name=Path(folder).absolute().name if folder is not None else net.architecture,
        task="detection",
        sampling_frequency=recordings[0].get_sampling_frequency(),
        training=_provenance(examples, settings),
        metrics=metrics,
        settings={"threshold": threshold, "front_end": front_end, **_about_labels(labels, settings)},
        parent=parent_reference(net),
    )
    scores = _held_out_scores(metrics)
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=settings.progress_bar)


def _about_labels(labels: list[CleanLabels], settings) -> dict:
    return {
        "label_offset_frames": [each.offset_frames for each in labels],
        "num_labels_dropped": sum(each.num_dropped for each in labels),
    }


def _provenance(examples: Examples, settings) -> dict:
    return {
        "command": "si_deepsort.train_detector",
        "data": "labelled recordings of the user",
        "num_spikes": int(examples.labels.sum()),
        "num_candidates": float(examples.weights.sum()),
        "seed": settings.seed,
    }


def _held_out_scores(metrics: dict[str, float]) -> dict[str, HeldOutScore | str]:
    if not metrics:
        return {"held-out candidates": "none is a spike, so nothing was measured"}
    details = f"precision {metrics['precision']:.3f}, recall {metrics['recall']:.3f}"
    own, of_energy = metrics["f1"], metrics["energy_f1"]
    score = HeldOutScore(measure="F1", value=own, default=of_energy, default_name="size alone", details=details)
    return {"held-out candidates": score}


def _labelled_examples(recordings, sortings, net, settings):
    if len(recordings) != len(sortings):
        raise ValueError(
            f"{len(recordings)} recordings and {len(sortings)} sortings were given; expected one sorting for each "
            "recording."
        )
    pairs = [
        examples_from_recording(
            one,
            its_sorting,
            prepare_detector(one, net, subtract_larger=False),
            num_negatives=max(1, settings.num_negatives // len(recordings)),
            seed=settings.seed + number,
        )
        for number, (one, its_sorting) in enumerate(zip(recordings, sortings, strict=True))
    ]
    examples = concatenate_examples([found for found, _ in pairs])
    num_spikes = int(examples.labels.sum())
    if num_spikes < FEWEST_SPIKES or num_spikes == len(examples):
        raise ValueError(
            f"{num_spikes} of {len(examples)} candidates are labelled spikes; at least {FEWEST_SPIKES} are "
            "needed, and candidates that are none. Give more labels, or check that they belong to this recording."
        )
    return examples, [labels for _, labels in pairs]


def _starting_network(architecture, start_from, seed) -> Detector:
    torch.manual_seed(seed)
    if start_from is not None:
        return load_detector(start_from)
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture {architecture!r}, expected one of {sorted(ARCHITECTURES)}.")
    net: Any = network_class(ARCHITECTURES[architecture])(CONFIG)
    return net


def split_by_time(examples: Examples) -> tuple[Examples, Examples]:
    """Training and held-out examples: every fifth block of 2 s, or the last fifth of a short recording."""
    block_s = min(BLOCK_S, (float(examples.times_s.max()) + 1e-3) / BLOCKS_PER_HELD_OUT)
    held_out = (examples.times_s // block_s) % BLOCKS_PER_HELD_OUT == BLOCKS_PER_HELD_OUT - 1
    return examples.where(~held_out), examples.where(held_out)


def fit_detector(
    net: Network, training: Examples, held_out: Examples, settings: DetectorTrainingSettings
) -> list[dict]:
    """
    Fit a detector to examples, in place.

    Parameters
    ----------
    net : Network
    training, held_out : Examples
        The held-out ones stop the training.
    settings : DetectorTrainingSettings

    Returns
    -------
    list of dict
        One row per epoch, see `fit.fit`.
    """

    def training_batches(epoch):
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(training))
        for start in range(0, len(order), settings.batch_size):
            yield example_tensors(training.where(order[start : start + settings.batch_size]))

    def validation_batches():
        for start in range(0, len(held_out), VALIDATION_BATCH):
            chosen = np.arange(start, min(start + VALIDATION_BATCH, len(held_out)))
            yield example_tensors(held_out.where(chosen))

    return fit(net, detection_loss, training_batches, validation_batches, settings, label="detector")


def detection_loss(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Cross entropy of the candidates, each weighted by the number of candidates that it stands for."""
    *inputs, labels, weights = batch
    losses = torch.nn.functional.binary_cross_entropy_with_logits(net(*inputs), labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


def example_tensors(examples: Examples) -> Batch:
    """Windows, distances and sizes as a detector takes them, then labels and weights."""
    windows = examples.windows.astype("float32")
    arrays = (windows, examples.distances_um, examples.context, examples.labels, examples.weights)
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
