"""
Train a waveform classifier on labelled waveforms, or on a recording with known spikes.

The classes are units; from a recording there is one more class, no spike of any of them. The amplitude is kept, since
units of one shape and different size are different units.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikeinterface.core import BaseRecording, BaseSorting, append_recordings
from spikeinterface.core.segmentutils import append_sortings

from ...fit import fit
from ...known_units.labelled_units import LabelledUnits, with_labelled_units
from ...nets import network_class
from ...nets.classifier import ClassifierConfig, WaveformClassifier
from ...preprocessing.band_pass import band_pass
from ...sorter.settings import DeepSortSettings
from ..trained_model import TrainedModel, finish_training
from .augment import augment
from .class_noise import measure_class_noise
from .compare import check_compared_part, compare_sorting, without_network
from .describe import describe_classifier, held_out_scores
from .examples import LabelledWaveforms, waveforms_from_recording
from .learn_templates import learn_templates
from .settings import ClassifierTrainingSettings
from .templates import remember_templates

logger = logging.getLogger(__name__)

# Part of the waveforms that is held out where nobody says which.
HELD_OUT_FRACTION = 1 / 6
# Fewest samples of a window before and after the peak, for low sampling rates.
FEWEST_SAMPLES = 4
# Band in Hz of the sorter, in which unfiltered recordings are learnt from.
FREQ_MIN, FREQ_MAX = DeepSortSettings().freq_min, DeepSortSettings().freq_max
# Code that uses the model, for the user.
NEXT_STEP = 'run_sorter("deepsort", recording, classifier={model})'
# Settings that `augment` takes.
AUGMENTATIONS = ("gain_sd", "shift_max", "noise_sd", "overlap_fraction", "overlap_distance")
# Held-out waveforms per call of the network; it bounds the memory.
VALIDATION_BATCH = 4096

ARCHITECTURES = {"cnn": "classifier_cnn", "gru": "classifier_gru"}


def fit_classifier(
    waveforms: np.ndarray,
    classes: np.ndarray,
    *,
    is_held_out: np.ndarray | None = None,
    num_classes: int | None = None,
    architecture: str = "cnn",
    settings: ClassifierTrainingSettings | None = None,
) -> WaveformClassifier:
    """
    Train a classifier on labelled waveforms.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples) or (num_waveforms, num_samples), float
        In noise levels, aligned.
    classes : np.ndarray, shape (num_waveforms,), int
        0 to num_classes - 1.
    is_held_out : np.ndarray | None, shape (num_waveforms,), bool, default: None
        Waveforms that are not learnt from; they stop the training. None holds out a random sixth.
    num_classes : int | None, default: None
        None takes the largest class plus one.
    architecture : "cnn" | "gru", default: "cnn"
    settings : ClassifierTrainingSettings | None, default: None

    Returns
    -------
    WaveformClassifier
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
        is_held_out = rng.random(len(waveforms)) < HELD_OUT_FRACTION
    num_classes = num_classes or int(classes.max()) + 1
    training, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    if len(np.unique(classes[training])) < 2:
        raise ValueError("Only one class is left to learn from, expected at least two. Hold out fewer waveforms.")
    torch.manual_seed(settings.seed)
    net_class = network_class(ARCHITECTURES[architecture])
    net: Any = net_class(
        ClassifierConfig(num_samples=waveforms.shape[2], num_channels=waveforms.shape[1], num_classes=num_classes)
    )
    inputs, targets = torch.from_numpy(waveforms), torch.from_numpy(classes)
    net.standardize(inputs[training])
    _fit_network(net, inputs, targets, torch.from_numpy(training), torch.from_numpy(held_out), settings)
    remember_templates(net, waveforms[training], classes[training])
    return net


def train_classifier(
    recording: BaseRecording | list[BaseRecording],
    sorting: BaseSorting | list[BaseSorting],
    *,
    folder: str | Path | None = None,
    architecture: str = "cnn",
    ms_before: float = 0.8,
    ms_after: float = 1.6,
    max_channels: int = 32,
    min_spikes: int = 5,
    compared_part: float = 0.0,
    settings: ClassifierTrainingSettings | None = None,
) -> TrainedModel:
    """
    Train a classifier of the units of a labelled recording, by which the sorter finds these units in another one.

    The sorter matches the templates, which are saved with the network. The network itself serves `known_units.assign`.

    Parameters
    ----------
    recording : BaseRecording | list of BaseRecording
        In any unit; filtered as the sorter does, unless it is marked as filtered. Several of one probe are pooled.
    sorting : BaseSorting | list of BaseSorting
        Spikes of each recording, the same units in each. A constant offset from the peaks is measured and removed.
    folder : str | Path | None, default: None
        Where the model is saved; the sorter's `classifier` takes it. None does not save it.
    architecture : "cnn" | "gru"
    ms_before, ms_after : float
        Window around the peak in ms.
    max_channels : int, default: 32
        Largest number of channels of a window: those on which the units are largest.
    min_spikes : int, default: 5
        Units with fewer spikes are left out; in a sorting they are new units.
    compared_part : float, default: 0.0
        Share of the labelled time, at its end, that is sorted with the units of the time before and without labels.
    settings : ClassifierTrainingSettings | None, default: None

    Returns
    -------
    TrainedModel
        Scores beside the simple method: the nearest template, and (with `compared_part`) sorting without labels.

    Raises
    ------
    ValueError
        If the labels do not fit the recording, no unit has enough spikes, or `compared_part` is not from 0 to below 1.
    """
    settings = settings or ClassifierTrainingSettings()
    check_compared_part(compared_part)
    recordings, sortings = (list(each) if isinstance(each, list | tuple) else [each] for each in (recording, sorting))
    frequency = recordings[0].get_sampling_frequency()
    nbefore, nafter = (max(FEWEST_SAMPLES, round(ms * frequency / 1000)) for ms in (ms_before, ms_after))
    window = dict(nbefore=nbefore, nafter=nafter, max_channels=max_channels, min_spikes=min_spikes, seed=settings.seed)
    examples = _pooled_waveforms([_filtered(one) for one in recordings], sortings, window)
    units = _learn_units(recordings, sortings, examples, settings.seed)
    net = with_labelled_units(_fit_to_examples(examples, architecture, settings), units)
    info = describe_classifier(net, examples, units, folder, frequency, nbefore, settings)
    learn = partial(train_classifier, min_spikes=min_spikes, settings=without_network(settings))
    scores = held_out_scores(info, examples) | compare_sorting(recordings, sortings, learn, examples, compared_part)
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=settings.progress_bar)


def _fit_to_examples(examples, architecture: str, settings: ClassifierTrainingSettings) -> WaveformClassifier:
    return fit_classifier(
        examples.waveforms,
        examples.classes,
        is_held_out=examples.is_held_out,
        num_classes=len(examples.unit_ids) + 1,
        architecture=architecture,
        settings=settings,
    )


def _filtered(recording: BaseRecording) -> BaseRecording:
    return recording if recording.is_filtered() else band_pass(recording, freq_min=FREQ_MIN, freq_max=FREQ_MAX)


def _learn_units(recordings, sortings, examples: LabelledWaveforms, seed: int) -> LabelledUnits:
    return learn_templates(
        append_recordings(recordings) if len(recordings) > 1 else recordings[0],
        append_sortings(sortings) if len(sortings) > 1 else sortings[0],
        examples.unit_ids,
        offset_frames=examples.offset_frames,
        seed=seed,
    )


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


def _fit_network(net, inputs, targets, training, held_out, settings):
    weights = _class_weights(targets[training].numpy(), net.config.num_classes, settings.balance)

    variation = {name: getattr(settings, name) for name in AUGMENTATIONS}
    noise = measure_class_noise(inputs[training].numpy(), targets[training].numpy())
    variation["residuals"] = torch.from_numpy(noise.residuals)
    variation["noise_factor"] = noise.largest_factor if settings.noise_factor is None else settings.noise_factor
    logger.info("In training, up to %.3g times their own noise is added to the waveforms", variation["noise_factor"])

    def training_batches(epoch):
        generator = torch.Generator().manual_seed(settings.seed * 10_007 + epoch)
        order = training[torch.randperm(len(training), generator=generator)]
        for chosen in order.split(settings.batch_size):
            yield augment(inputs[chosen], inputs, generator, **variation), targets[chosen]

    def validation_batches():
        for chosen in held_out.split(VALIDATION_BATCH):
            yield inputs[chosen], targets[chosen]

    def loss(net, batch):
        return torch.nn.functional.cross_entropy(net(batch[0]), batch[1], weight=weights.to(batch[0].device))

    fit(net, loss, training_batches, validation_batches, settings, label="classifier")


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
