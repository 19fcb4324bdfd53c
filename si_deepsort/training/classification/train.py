"""
Train a waveform classifier: from arrays of labelled waveforms, or from a recording whose spikes are known.

Classes are units (and, from a recording, one more class: no spike of any of them). The amplitude is kept. Rare
classes count as much as frequent ones; waveforms are varied in gain, shift and noise, and get a second spike beside
them, while the network learns.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...fit import FitSettings, fit
from ...inference import predict_in_batches
from ...nets import network_class
from ...nets.classifier import ClassifierConfig
from ...settings import setting
from ...zoo import ModelInfo, save_model
from .examples import LabelledWaveforms, waveforms_from_recording

logger = logging.getLogger(__name__)

ARCHITECTURES = {"cnn": "classifier_cnn", "gru": "classifier_gru"}


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingSettings(FitSettings):
    """How a classifier is trained."""

    num_epochs: int = setting(30, "Most passes over the waveforms", minimum=0)
    learning_rate: float = setting(3e-3, "Highest learning rate of Adam; it follows a cosine to 0", minimum=0.0)
    weight_decay: float = setting(1e-2, "Decay of the weights (AdamW)", minimum=0.0)
    patience: int = setting(8, "Epochs without progress on the held-out waveforms before training stops", minimum=1)
    batch_size: int = setting(128, "Waveforms per step", minimum=1)
    balance: float = setting(1.0, "0 counts waveforms alike, 1 counts classes alike", minimum=0.0, maximum=1.0)
    gain_sd: float = setting(0.1, "Spread of the random gain (logarithm)", minimum=0.0)
    shift_max: int = setting(1, "Largest random shift in samples", minimum=0)
    noise_sd: float = setting(0.3, "Noise that is added, in noise levels", minimum=0.0)
    overlap_fraction: float = setting(0.1, "Share of waveforms to which another is added", minimum=0.0, maximum=1.0)
    overlap_distance: float = setting(0.25, "Nearest that other, in windows", minimum=0.0, maximum=1.0)


def fit_classifier(
    waveforms: np.ndarray,
    classes: np.ndarray,
    *,
    is_held_out: np.ndarray | None = None,
    num_classes: int | None = None,
    architecture: str = "cnn",
    settings: ClassifierTrainingSettings | None = None,
):
    """
    Train a classifier on labelled waveforms.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples) or (num_waveforms, num_samples), float
        In noise levels, aligned.
    classes : np.ndarray, shape (num_waveforms,), int
        0 to num_classes - 1.
    is_held_out : np.ndarray | None, shape (num_waveforms,), bool, default: None
        Waveforms that stop the training and are not learnt from. None holds out a random sixth.
    num_classes : int | None, default: None
        None takes the largest class plus one.
    architecture : "cnn" | "gru", default: "cnn"
    settings : ClassifierTrainingSettings | None, default: None

    Returns
    -------
    Network
        In evaluation mode.

    Raises
    ------
    ValueError
        If there is only one class, a value is not finite, or the shapes do not fit.
    """
    settings = settings or ClassifierTrainingSettings()
    waveforms, classes = _checked(waveforms, classes, architecture)
    rng = np.random.default_rng(settings.seed)
    if is_held_out is None:
        is_held_out = rng.random(len(waveforms)) < 1 / 6
    num_classes = num_classes or int(classes.max()) + 1
    training, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    if len(np.unique(classes[training])) < 2:
        raise ValueError("Only one class is left to learn from, expected at least two. Hold out fewer waveforms.")
    torch.manual_seed(settings.seed)
    net_class = network_class(ARCHITECTURES[architecture])
    net = net_class(
        ClassifierConfig(num_samples=waveforms.shape[2], num_channels=waveforms.shape[1], num_classes=num_classes)
    )
    inputs, targets = torch.from_numpy(waveforms), torch.from_numpy(classes)
    net.standardize(inputs[training])
    _fit_network(net, inputs, targets, torch.from_numpy(training), torch.from_numpy(held_out), settings)
    remember_templates(net, waveforms[training], classes[training])
    return net


def train_classifier(
    recording,
    sorting,
    *,
    folder: str | Path | None = None,
    architecture: str = "cnn",
    ms_before: float = 0.8,
    ms_after: float = 1.6,
    max_channels: int = 32,
    min_spikes: int = 10,
    settings: ClassifierTrainingSettings | None = None,
):
    """
    Train a classifier of the units of a labelled recording; the sorter assigns spikes to these units with it.

    Parameters
    ----------
    recording : BaseRecording | list of BaseRecording
        Band-passed, any unit; one channel or a probe. Several (noise-matched copies, say) are pooled.
    sorting : BaseSorting | list of BaseSorting
        Spikes of each recording, the same units in each. A constant offset from the peaks is measured and removed.
    folder : str | Path | None, default: None
        Where the model goes, if anywhere.
    architecture : "cnn" | "gru"
    ms_before, ms_after : float
        The window around the peak.
    max_channels : int, default: 32
        Channels of a window; those on which the units are largest.
    min_spikes : int, default: 10
        Units with fewer spikes are left out.
    settings : ClassifierTrainingSettings | None, default: None

    Returns
    -------
    Network
        `info.settings` hold `unit_ids`, `channel_ids`, `nbefore`; `info.metrics` the accuracy on held-out time.

    Raises
    ------
    ValueError
        If the labels do not fit the recording, or no unit has enough spikes.
    """
    settings = settings or ClassifierTrainingSettings()
    recordings, sortings = (list(each) if isinstance(each, list | tuple) else [each] for each in (recording, sorting))
    frequency = recordings[0].get_sampling_frequency()
    nbefore, nafter = (max(4, round(ms * frequency / 1000)) for ms in (ms_before, ms_after))
    window = dict(nbefore=nbefore, nafter=nafter, max_channels=max_channels, min_spikes=min_spikes, seed=settings.seed)
    examples = _pooled_waveforms(recordings, sortings, window)
    net = fit_classifier(
        examples.waveforms,
        examples.classes,
        is_held_out=examples.is_held_out,
        num_classes=len(examples.unit_ids) + 1,
        architecture=architecture,
        settings=settings,
    )
    net.info = _describe(net, examples, folder, frequency, nbefore, settings)
    if folder is not None:
        save_model(net, folder, net.info)
    return net


def augment(waveforms, pool, settings: ClassifierTrainingSettings, generator) -> torch.Tensor:
    """
    Waveforms with a random gain, shift and noise, some with another waveform of the pool beside them.

    Parameters
    ----------
    waveforms : torch.Tensor, shape (batch, num_channels, num_samples)
    pool : torch.Tensor, shape (num_waveforms, num_channels, num_samples)
        Where the second spikes come from.
    settings : ClassifierTrainingSettings
    generator : torch.Generator
    """
    number, _, num_samples = waveforms.shape
    varied = waveforms * torch.exp(settings.gain_sd * torch.randn(number, 1, 1, generator=generator))
    if settings.shift_max:
        varied = _shifted(
            varied, torch.randint(-settings.shift_max, settings.shift_max + 1, (number,), generator=generator)
        )
    overlapped = torch.rand(number, generator=generator) < settings.overlap_fraction
    if overlapped.any():
        count = int(overlapped.sum())
        others = pool[torch.randint(len(pool), (count,), generator=generator)]
        nearest = min(max(1, round(settings.overlap_distance * num_samples)), num_samples - 1)
        shifts = torch.randint(nearest, num_samples, (count,), generator=generator)
        signs = 2 * torch.randint(2, (count,), generator=generator) - 1
        varied[overlapped] = varied[overlapped] + _shifted(others, shifts * signs, fill=True)
    return varied + settings.noise_sd * torch.randn(varied.shape, generator=generator)


def remember_templates(net, waveforms: np.ndarray, classes: np.ndarray):
    """Store each class's median waveform and how far nearly all of its waveforms lie from it."""
    for index in range(net.config.num_classes):
        own = waveforms[classes == index]
        if len(own):
            template = np.median(own, axis=0)
            distances = np.sqrt(((own - template) ** 2).mean(axis=(1, 2)))
            net.templates[index] = torch.from_numpy(template)
            # overlaps with other spikes widen the upper tail, so the limit is set from the lower part
            quartiles = np.quantile(distances, [0.25, 0.5])
            net.distance_limits[index] = float(quartiles[1] + 6 * (quartiles[1] - quartiles[0]) + 0.5)


def _pooled_waveforms(recordings, sortings, window) -> LabelledWaveforms:
    if len(recordings) != len(sortings):
        raise ValueError(f"{len(recordings)} recordings and {len(sortings)} sortings were given; expected as many.")
    parts = [waveforms_from_recording(*pair, **window) for pair in zip(recordings, sortings, strict=True)]
    first = parts[0]
    if any(part.unit_ids != first.unit_ids or part.channel_ids != first.channel_ids for part in parts):
        raise ValueError("The recordings do not hold the same units on the same channels; train one model for each.")
    waveforms, classes, is_held_out = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("waveforms", "classes", "is_held_out")
    )
    return LabelledWaveforms(waveforms, classes, is_held_out, first.unit_ids, first.channel_ids, first.offset_frames)


def _describe(net, examples, folder, frequency, nbefore, settings) -> ModelInfo:
    held_out = examples.is_held_out
    return ModelInfo(
        name=Path(folder).name if folder is not None else net.architecture,
        task="classification",
        sampling_frequency=frequency,
        probe="the one it was trained on",
        training={"num_waveforms": len(examples.classes), "seed": settings.seed},
        metrics={"held_out_accuracy": _accuracy(net, examples.waveforms[held_out], examples.classes[held_out])},
        settings={
            "unit_ids": np.asarray(examples.unit_ids).tolist(),
            "channel_ids": np.asarray(examples.channel_ids).tolist(),
            "nbefore": nbefore,
            "min_probability": 0.5,
            "label_offset_frames": examples.offset_frames,
        },
    )


def _fit_network(net, inputs, targets, training, held_out, settings):
    weights = _class_weights(targets[training].numpy(), net.config.num_classes, settings.balance)

    def training_batches(epoch):
        generator = torch.Generator().manual_seed(settings.seed * 10_007 + epoch)
        order = training[torch.randperm(len(training), generator=generator)]
        for chosen in order.split(settings.batch_size):
            yield augment(inputs[chosen], inputs, settings, generator), targets[chosen]

    def validation_batches():
        for chosen in held_out.split(4096):
            yield inputs[chosen], targets[chosen]

    def loss(net, batch):
        return torch.nn.functional.cross_entropy(net(batch[0]), batch[1], weight=weights.to(batch[0].device))

    fit(net, loss, training_batches, validation_batches, settings, label="classifier")


def _shifted(waveforms, shifts, fill: bool = False):
    """Each waveform moved by its own number of samples; the edge is repeated, or zeros come in."""
    num_samples = waveforms.shape[2]
    places = torch.arange(num_samples)[None] - shifts[:, None]
    inside = (places >= 0) & (places < num_samples)
    moved = torch.gather(waveforms, 2, places.clamp(0, num_samples - 1)[:, None].expand_as(waveforms))
    return moved * inside[:, None] if fill else moved


def _checked(waveforms, classes, architecture):
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture {architecture!r}, expected one of {sorted(ARCHITECTURES)}.")
    waveforms = np.array(waveforms, dtype="float32")
    waveforms = waveforms[:, None] if waveforms.ndim == 2 else waveforms
    classes = np.array(classes).astype("int64").ravel()
    if waveforms.ndim != 3 or len(waveforms) != len(classes):
        raise ValueError(
            f"Got waveforms of shape {waveforms.shape} and {len(classes)} classes, expected waveforms of shape "
            "(num_waveforms, num_channels, num_samples) and one class each."
        )
    if not np.isfinite(waveforms).all():
        raise ValueError("The waveforms hold NaN or infinite values. Remove those waveforms.")
    if len(np.unique(classes)) < 2:
        raise ValueError(f"The waveforms are all of one class ({np.unique(classes)}), expected at least two classes.")
    return waveforms, classes


def _class_weights(classes, num_classes, balance) -> torch.Tensor:
    counts = np.bincount(classes, minlength=num_classes)
    weights = np.where(counts > 0, (len(classes) / np.maximum(counts, 1)) ** balance, 0.0)
    return torch.from_numpy((weights / weights.sum()).astype("float32"))


def _accuracy(net, waveforms, classes) -> float:
    if len(waveforms) == 0:
        return float("nan")
    device = str(next(net.parameters()).device)
    return float((predict_in_batches(net, waveforms, device=device).argmax(axis=1) == classes).mean())
