"""Train a pretrained model further on recordings of one's own; the result names its parent."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from spikeinterface.core import BaseRecording, BaseSorting

from ..fit import FitSettings
from ..nets.network import Network
from ..zoo import load_model, parent_reference, save_model
from .trained_model import save_with_card

_TRAIN_ANEW = {
    "autoencoder": "an autoencoder starts from the principal components of the recording's own spikes, in seconds: use "
    "train_autoencoder(recording, sorting)",
    "denoising_autoencoder": "the autoencoder of the sorter serves any recording; it is trained on generated ones by "
    "python -m si_deepsort.training.embedding.pretrain",
    "assessor": "the network that judges units serves any sorting; it learns from generated recordings by "
    "python -m si_deepsort.training.assessment.train",
    "cell_type": "putative cell types are learnt from tagged cells by python -m si_deepsort.training.cell_types.train",
    "classifier_cnn": "a classifier knows the units of one recording: use train_classifier(recording, sorting)",
    "classifier_gru": "a classifier knows the units of one recording: use train_classifier(recording, sorting, "
    'architecture="gru")',
    "spike_predictor": "a spike predictor knows the channels and units of one preparation: use "
    "train_spike_predictor(recording, sorting)",
    "keras_unet": "weights of the original DeepInterpolation are only read: fine-tune a bundled interpolator, see "
    'list_models("denoising")',
}


def fine_tune(
    model: str | Path | Network,
    recording: BaseRecording | list[BaseRecording],
    labels: BaseSorting | pd.DataFrame | list | None = None,
    *,
    folder: str | Path | None = None,
    settings: FitSettings | None = None,
    **hub_arguments: Any,
) -> Network:
    """
    Train a pretrained model further on recordings of one's own.

    Parameters
    ----------
    model : str | Path | Network
        Whatever `load_model` takes, or a loaded network.
    recording : BaseRecording | list of BaseRecording
        As the training function of this kind of model takes it: `train_deep_interpolation` (denoising),
        `train_detector` (detection), `train_events` (events).
    labels : BaseSorting | pandas.DataFrame | list of them | None, default: None
        The spikes for detection, the marked events for events. Denoising needs none.
    folder : str | Path | None, default: None
        Where the new model is saved. None does not save it.
    settings : Settings | None, default: None
        Settings of that training function. None takes its defaults.
    **hub_arguments
        revision, cache_dir, local_files_only, token, endpoint, as for `load_model`.

    Returns
    -------
    Network
        In evaluation mode; `info.parent` says which weights it started from: repository and commit, or name and
        sha256.

    Raises
    ------
    ValueError
        If this kind of model is better trained anew (the message says how), or labels are missing or not wanted.
    """
    parent = model if isinstance(model, Network) else load_model(model, **hub_arguments)
    train = _trainer(parent, labels)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        start = save_model(parent, Path(scratch) / "parent", parent.info)
        net = train(start, recording, labels, settings, Path(scratch) / "child" if folder is None else Path(folder))
    name = f"{parent.info.name}-fine-tuned" if folder is None else Path(folder).absolute().name
    training = {"command": "si_deepsort.fine_tune", "data": "recordings of the user", **net.info.training}
    net.info = replace(net.info, name=name, parent=parent_reference(parent), training=training, source={})
    if folder is not None:
        save_with_card(net, folder)
    return net


def _trainer(parent: Network, labels):
    train = _TRAINERS.get(parent.architecture)
    if train is None:
        reason = _TRAIN_ANEW.get(parent.architecture, "there is no training function for it")
        raise ValueError(f"A model of architecture '{parent.architecture}' is not fine-tuned: {reason}.")
    if parent.info is None:
        raise ValueError(
            "The network has no info, so nobody could know what was fine-tuned. Save it and load it first."
        )
    needs_labels = train is not _tune_denoiser
    if needs_labels != (labels is not None):
        wanted = "needs labels: the sorting or the events of the recording" if needs_labels else "takes no labels"
        raise ValueError(f"A model for {parent.info.task} {wanted}.")
    return train


def _tune_denoiser(start, recording, labels, settings, folder) -> Network:
    from .interpolation.train import train_deep_interpolation

    return train_deep_interpolation(recording, folder, start_from=start, settings=settings).net


def _tune_detector(start, recording, labels, settings, folder) -> Network:
    from .detection.train import train_detector

    return train_detector(recording, labels, start_from=start, settings=settings).net


def _tune_events(start, recording, labels, settings, folder) -> Network:
    from .events.train import train_events

    return train_events(recording, labels, model=start, settings=settings).net


_TRAINERS = {
    "interpolator": _tune_denoiser,
    "peak_detector_cnn": _tune_detector,
    "peak_detector_gru": _tune_detector,
    "event_unet": _tune_events,
}
