"""
Train a spike detector from a recording whose spikes are known.

What it sees are candidates (local extrema) and their neighbourhood; what it learns is which of them are the peak of a
spike. The last part of every stretch of time is held out: it stops the training and sets the decision threshold.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...detection.prepare import load_detector
from ...detection.spike_detector import probabilities_of
from ...fit import FitSettings, fit
from ...nets import network_class
from ...nets.detector import DetectorConfig
from ...settings import setting
from ...zoo import ModelInfo, parent_reference, save_model
from .examples import Examples, concatenate_examples, examples_from_recording

logger = logging.getLogger(__name__)

ARCHITECTURES = {"cnn": "detector_cnn", "gru": "detector_gru"}
# One block of time in so many is held out.
BLOCKS_PER_HELD_OUT = 5
BLOCK_S = 2.0


@dataclass(frozen=True, kw_only=True)
class DetectorTrainingSettings(FitSettings):
    """How a detector is trained."""

    num_epochs: int = setting(15, "Most passes over the examples", minimum=0)
    learning_rate: float = setting(3e-3, "Highest learning rate of Adam; it follows a cosine to 0", minimum=0.0)
    batch_size: int = setting(512, "Examples per step", minimum=1)
    candidate_threshold: float = setting(2.5, "Smallest candidate in noise levels", minimum=0.0)
    num_negatives: int = setting(60_000, "Most candidates without a spike that are used", minimum=1)
    gain_sd: float = setting(0.15, "Spread of the random gain of each window", minimum=0.0)
    noise_max: float = setting(0.5, "Most of another window without spike that is added", minimum=0.0)
    context_sd: float = setting(0.15, "Spread of the random change of distances and activity", minimum=0.0)
    overlap_fraction: float = setting(0.1, "Share of windows to which another spike is added", minimum=0.0, maximum=1.0)


def train_detector(
    recording,
    sorting,
    *,
    folder: str | Path | None = None,
    architecture: str = "cnn",
    start_from: str | Path | None = None,
    settings: DetectorTrainingSettings | None = None,
):
    """
    Train a spike detector on a recording with known spikes.

    Parameters
    ----------
    recording : BaseRecording | list of BaseRecording
        Band-passed, any unit; one channel or a probe. Several recordings (noise-matched copies, say) are pooled.
    sorting : BaseSorting | list of BaseSorting
        The spikes of each recording. A constant offset between labels and peaks is measured and removed.
    folder : str | Path | None, default: None
        Where the model goes; it can then be given to the sorter or to `find_peaks`. None does not save it.
    architecture : "cnn" | "gru", default: "cnn"
        Of a new network.
    start_from : str | Path | None, default: None
        "cnn", "gru" or whatever `load_model` takes: weights that are tuned further, with their architecture.
    settings : DetectorTrainingSettings | None, default: None

    Returns
    -------
    Network
        In evaluation mode; `info.settings` hold `threshold`, `candidate_threshold` and `label_offset_frames`,
        `info.metrics` the precision, recall and F1 on held-out time.

    Raises
    ------
    ValueError
        If the labels do not fit the recording, or too few candidates are spikes.
    """
    settings = settings or DetectorTrainingSettings()
    net = _starting_network(architecture, start_from, settings.seed)
    examples, labels = _labelled_examples(recording, sorting, net.config, settings)
    training, held_out = split_by_time(examples)
    fit_detector(net, training, held_out, settings)
    threshold, metrics = choose_threshold(net, held_out)
    counts = dict(num_spikes=int(examples.labels.sum()), num_candidates=float(examples.weights.sum()))
    net.info = ModelInfo(
        name=Path(folder).name if folder is not None else net.architecture,
        task="detection",
        training={**counts, "seed": settings.seed},
        metrics=metrics,
        settings={
            "threshold": threshold,
            "candidate_threshold": settings.candidate_threshold,
            "label_offset_frames": [each.offset_frames for each in labels],
            "num_labels_dropped": sum(each.num_dropped for each in labels),
        },
        parent=parent_reference(net),
    )
    if folder is not None:
        save_model(net, folder, net.info)
    return net


def _labelled_examples(recording, sorting, config, settings):
    recordings = list(recording) if isinstance(recording, list | tuple) else [recording]
    sortings = list(sorting) if isinstance(sorting, list | tuple) else [sorting]
    if len(recordings) != len(sortings):
        raise ValueError(f"{len(recordings)} recordings and {len(sortings)} sortings were given; expected as many.")
    pairs = [
        examples_from_recording(
            one,
            its_sorting,
            config,
            candidate_threshold=settings.candidate_threshold,
            num_negatives=max(1, settings.num_negatives // len(recordings)),
            seed=settings.seed + number,
        )
        for number, (one, its_sorting) in enumerate(zip(recordings, sortings, strict=True))
    ]
    examples = concatenate_examples([found for found, _ in pairs])
    num_spikes = int(examples.labels.sum())
    if num_spikes < 10 or num_spikes == len(examples):
        raise ValueError(
            f"Of {len(examples)} candidates above {settings.candidate_threshold} noise levels {num_spikes} are "
            "labelled spikes; at least 10 are needed, and candidates without one. Give more labels, check that they "
            "belong to this recording, or lower candidate_threshold."
        )
    return examples, [labels for _, labels in pairs]


def _starting_network(architecture, start_from, seed):
    torch.manual_seed(seed)
    if start_from is not None:
        return load_detector(start_from)
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture {architecture!r}, expected one of {sorted(ARCHITECTURES)}.")
    return network_class(ARCHITECTURES[architecture])(DetectorConfig())


def split_by_time(examples: Examples) -> tuple[Examples, Examples]:
    """Training and held-out examples: one block of 2 s in five, or the last fifth of a short recording."""
    block_s = min(BLOCK_S, (float(examples.times_s.max()) + 1e-3) / BLOCKS_PER_HELD_OUT)
    held_out = (examples.times_s // block_s) % BLOCKS_PER_HELD_OUT == BLOCKS_PER_HELD_OUT - 1
    return examples.where(~held_out), examples.where(held_out)


def fit_detector(net, training: Examples, held_out: Examples, settings: DetectorTrainingSettings) -> list[dict]:
    """
    Fit a detector to examples, in place.

    Returns
    -------
    list of dict
        One row per epoch, see `fit.fit`.
    """
    spikes = np.flatnonzero(training.labels == 1)
    silence = np.flatnonzero(training.labels == 0)

    def training_batches(epoch):
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(len(training))
        for start in range(0, len(order), settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            windows = augment(training, chosen, spikes, silence, settings, rng)
            yield _tensors(training, chosen, windows, rng.normal(1, settings.context_sd, (len(chosen), 1)))

    def validation_batches():
        for start in range(0, len(held_out), 4096):
            chosen = np.arange(start, min(start + 4096, len(held_out)))
            yield _tensors(held_out, chosen, held_out.windows[chosen].astype("float32"))

    return fit(net, detection_loss, training_batches, validation_batches, settings, label="detector")


def detection_loss(net, batch) -> torch.Tensor:
    """Cross entropy of the candidates, each weighted by how many it stands for."""
    *inputs, labels, weights = batch
    losses = torch.nn.functional.binary_cross_entropy_with_logits(net(*inputs), labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


def augment(examples: Examples, chosen, spikes, silence, settings: DetectorTrainingSettings, rng) -> np.ndarray:
    """
    Windows with a random gain, shift and polarity, with more noise, and with a second spike beside the first.

    The added noise is a window without spike, the added spike a window with one, moved so far that its peak is not
    taken for the middle one; labels stay as they are.
    """
    windows = examples.windows[chosen].astype("float32")
    number = len(chosen)
    windows *= np.exp(rng.normal(0, settings.gain_sd, (number, 1, 1))).astype("float32")
    if settings.noise_max > 0 and len(silence):
        noise = np.clip(examples.windows[rng.choice(silence, number)].astype("float32"), -6, 6)
        share = rng.uniform(0, settings.noise_max, number) * (rng.random(number) < 0.5)
        windows += noise[:, :, ::-1] * share[:, None, None].astype("float32")
        windows /= np.sqrt(1 + share[:, None, None] ** 2).astype("float32")
    if len(spikes):
        for row in np.flatnonzero(rng.random(number) < settings.overlap_fraction):
            windows[row] += _moved(examples.windows[rng.choice(spikes)].astype("float32"), rng)
    return windows


def _moved(window, rng):
    num_frames = window.shape[1]
    shift = int(rng.integers(10, num_frames // 2)) * int(rng.choice([-1, 1]))
    moved = np.zeros_like(window)
    if shift > 0:
        moved[:, shift:] = window[:, :-shift]
    else:
        moved[:, :shift] = window[:, -shift:]
    return moved * rng.uniform(0.3, 1.0)


def _tensors(examples: Examples, chosen, windows, context_gain=1.0):
    gain = np.clip(context_gain, 0.5, 1.5)
    context = [(getattr(examples, name)[chosen] * gain).astype("float32") for name in ("distances_um", "activity")]
    arrays = (windows, *context, examples.labels[chosen], examples.weights[chosen])
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def choose_threshold(net, held_out: Examples) -> tuple[float, dict]:
    """The probability above which F1 on held-out candidates is largest, and precision, recall and F1 there."""
    if not len(held_out) or not held_out.labels.any():
        return 0.5, {}
    scores = probabilities_of(net, held_out.windows, held_out.distances_um, held_out.activity)
    order = np.argsort(-scores)
    hits = np.cumsum((held_out.labels * held_out.weights)[order])
    precision = hits / np.cumsum(held_out.weights[order])
    recall = hits / hits[-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    metrics = {"precision": float(precision[best]), "recall": float(recall[best]), "f1": float(f1[best])}
    return float(np.clip(scores[order[best]], 0.02, 0.98)), metrics
