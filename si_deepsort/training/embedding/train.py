"""Train an autoencoder of waveforms; it starts as principal component analysis and never ends worse."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spikeinterface.core import BaseRecording, BaseSorting

from ...fit import FitSettings, evaluate, fit
from ...nets.autoencoder import Autoencoder, AutoencoderConfig
from ...settings import setting, with_default
from ...zoo import ModelInfo
from ..classification.examples import waveforms_from_recording
from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel, finish_training

# Part of the waveforms that is held out where nobody says which.
HELD_OUT_FRACTION = 1 / 6
# Fewest samples of a window before and after the peak, for low sampling rates.
FEWEST_SAMPLES = 4
# Held-out waveforms per call of the network; it bounds the memory.
VALIDATION_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class AutoencoderTrainingSettings(FitSettings):
    """Settings of the training of an autoencoder."""

    embedding_dimension: int = setting(3, "Length of the vector that describes a waveform", minimum=1)
    num_hidden: int = setting(64, "Width of the nonlinear part; 0 leaves PCA", minimum=0)
    num_epochs: int = with_default(FitSettings, "num_epochs", 40)
    patience: int = with_default(FitSettings, "patience", 8)
    batch_size: int = setting(128, "Waveforms per step", minimum=1)


def fit_autoencoder(
    waveforms: np.ndarray,
    *,
    is_held_out: np.ndarray | None = None,
    settings: AutoencoderTrainingSettings | None = None,
) -> Autoencoder:
    """
    Train an autoencoder on waveforms; no labels are needed.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples) or (num_waveforms, num_samples), float
        In noise levels, aligned.
    is_held_out : np.ndarray | None, shape (num_waveforms,), bool, default: None
        Waveforms that are not learnt from; they stop the training. None holds out a random sixth.
    settings : AutoencoderTrainingSettings | None, default: None

    Returns
    -------
    Autoencoder
        In evaluation mode; its error on the held-out waveforms is at most that of PCA with as many components.

    Raises
    ------
    ValueError
        If there are too few waveforms or a value is not finite.
    """
    settings = settings or AutoencoderTrainingSettings()
    waveforms = np.asarray(waveforms, dtype="float32")
    waveforms = waveforms[:, None] if waveforms.ndim == 2 else waveforms
    if waveforms.ndim != 3 or not np.isfinite(waveforms).all():
        raise ValueError(
            f"Got waveforms of shape {waveforms.shape}, expected finite values of shape (num_waveforms, num_channels, "
            "num_samples). Remove waveforms with NaN or infinite values."
        )
    if is_held_out is None:
        is_held_out = np.random.default_rng(settings.seed).random(len(waveforms)) < HELD_OUT_FRACTION
    inputs = torch.from_numpy(waveforms)
    training, held_out = inputs[torch.from_numpy(~is_held_out)], inputs[torch.from_numpy(is_held_out)]
    torch.manual_seed(settings.seed)
    net = Autoencoder(
        AutoencoderConfig(
            num_samples=waveforms.shape[2],
            num_channels=waveforms.shape[1],
            embedding_dimension=settings.embedding_dimension,
            widths=(settings.num_hidden,) if settings.num_hidden else (),
        )
    )
    net.start_from_pca(training)
    _fit_network(net, training, held_out, settings)
    return net


def train_autoencoder(
    recording: BaseRecording,
    sorting: BaseSorting,
    *,
    folder: str | Path | None = None,
    ms_before: float = 0.8,
    ms_after: float = 1.6,
    max_channels: int = 32,
    settings: AutoencoderTrainingSettings | None = None,
) -> TrainedModel:
    """
    Train an autoencoder on the spikes of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, in any unit.
    sorting : BaseSorting
        Its spikes; the units do not matter.
    folder : str | Path | None, default: None
        Where the model is saved. None does not save it.
    ms_before, ms_after : float
        Window around the peak in ms.
    max_channels : int, default: 32
        Largest number of channels of a window: those on which the units are largest.
    settings : AutoencoderTrainingSettings | None, default: None

    Returns
    -------
    TrainedModel
        Its scores compare the mean squared error on held-out time with that of PCA.
    """
    settings = settings or AutoencoderTrainingSettings()
    frequency = recording.get_sampling_frequency()
    nbefore, nafter = (max(FEWEST_SAMPLES, round(ms * frequency / 1000)) for ms in (ms_before, ms_after))
    examples = waveforms_from_recording(
        recording, sorting, nbefore=nbefore, nafter=nafter, max_channels=max_channels, min_spikes=1, seed=settings.seed
    )
    is_spike = examples.classes < len(examples.unit_ids)
    waveforms, is_held_out = examples.waveforms[is_spike], examples.is_held_out[is_spike]
    net = fit_autoencoder(waveforms, is_held_out=is_held_out, settings=settings)
    info = ModelInfo(
        name=Path(folder).absolute().name if folder is not None else net.architecture,
        task="embedding",
        sampling_frequency=frequency,
        probe="the one it was trained on",
        training={
            "command": "si_deepsort.train_autoencoder",
            "data": "recording of the user",
            "num_waveforms": len(waveforms),
            "seed": settings.seed,
        },
        metrics=reconstruction_errors(net, waveforms[~is_held_out], waveforms[is_held_out]),
        settings={"channel_ids": np.asarray(examples.channel_ids).tolist(), "nbefore": nbefore},
    )
    scores = _held_out_scores(info.metrics)
    next_step = "load_model({model}).encode(waveforms), waveforms in noise levels (spikes, channels, samples)"
    return finish_training(net, info, folder, scores=scores, next_step=next_step, prints=settings.progress_bar)


def _held_out_scores(metrics: dict[str, float]) -> dict[str, HeldOutScore | str]:
    if not np.isfinite(metrics["autoencoder_error"]):
        return {"held-out time": "no spike, so nothing was measured"}
    score = HeldOutScore(
        measure="mean squared error",
        value=metrics["autoencoder_error"],
        default=metrics["pca_error"],
        default_name="PCA of as many components",
        higher_is_better=False,
    )
    return {"held-out time": score}


def reconstruction_errors(net: Autoencoder, training: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """
    Mean squared error per sample on held-out waveforms: of the network, and of PCA with as many components.

    Parameters
    ----------
    training, held_out : np.ndarray, shape (num_waveforms, num_channels, num_samples), float
        PCA is fitted to the training waveforms.
    """
    linear = Autoencoder(AutoencoderConfig(**net.config.to_dict() | {"widths": ()}))
    linear.start_from_pca(torch.from_numpy(np.asarray(training, dtype="float32")))
    inputs = torch.from_numpy(np.asarray(held_out, dtype="float32"))
    with torch.no_grad():
        return {
            "autoencoder_error": float((net.cpu()(inputs) - inputs).square().mean()),
            "pca_error": float((linear(inputs) - inputs).square().mean()),
        }


def _fit_network(net, training, held_out, settings):
    def loss(net, batch):
        return (net(batch[0]) - batch[0]).square().mean()

    def training_batches(epoch):
        generator = torch.Generator().manual_seed(settings.seed * 10_007 + epoch)
        for chosen in torch.randperm(len(training), generator=generator).split(settings.batch_size):
            yield (training[chosen],)

    def validation_batches():
        return ((batch,) for batch in held_out.split(VALIDATION_BATCH))

    start = {name: value.clone() for name, value in net.state_dict().items()}
    before = evaluate(net, loss, validation_batches(), torch.device("cpu"))
    history = fit(net, loss, training_batches, validation_batches, settings, label="autoencoder")
    best = min((row["validation_loss"] for row in history), default=before)
    if best > before:  # the first epoch counts as progress for `fit`, even if it made things worse
        net.load_state_dict(start)
