"""
Train an interpolator for `deep_interpolate` on one or more recordings, or train one further.

No labels are needed: the network predicts each frame from the frames around it, and is measured on held-out time.
Training starts from the Wiener filter of the recording in closed form, the best linear prediction.
"""

import copy
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from spikeinterface.core import BaseRecording

from ...fit import Batch, FitSettings, evaluate, fit
from ...fit.processes import rank
from ...inference import choose_device
from ...nets.interpolator import NEW_INTERPOLATOR, Interpolator, InterpolatorConfig
from ...settings import setting, with_default
from ...zoo import ModelInfo, load_model, parent_reference
from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel, finish_training
from .batches import TrainingRecording, prepare_recordings
from .start import resample_filters, start_filters, start_shared_part, start_table

logger = logging.getLogger(__name__)

# Batches whose windows come from one stretch of a recording: files are read in few, long pieces.
BATCHES_PER_STRETCH = 12
# Relative difference of the sampling rates of recordings that counts as none.
SAME_RATE = 0.01


@dataclass(frozen=True, kw_only=True)
class InterpolationTrainingSettings(FitSettings):
    """How an interpolator is trained."""

    learning_rate: float = with_default(FitSettings, "learning_rate", 1e-2)
    warmup_steps: int = with_default(FitSettings, "warmup_steps", 40)
    steps_per_epoch: int = setting(60, "Batches per epoch", minimum=1)
    batch_windows: int = setting(4, "Windows per batch, at 64 channels; fewer where there are more", minimum=1)
    window_frames: int = setting(256, "Frames predicted per window", minimum=16)
    validation_fraction: float = setting(0.1, "End of each segment that is held out", minimum=0.01, maximum=0.5)
    mask_fraction: float = setting(0.05, "Channels hidden in half of the batches", minimum=0.0, maximum=0.9)
    turned_fraction: float = setting(
        0.25, "Batches that see the probe turned, stretched and with gaps, for other layouts", minimum=0.0, maximum=0.9
    )
    noise_fraction: float = setting(
        0.1,
        "Windows of noise alone, of which nothing should be left; 0 for a model of other recordings",
        minimum=0.0,
        maximum=0.5,
    )
    wiener_s: float = setting(10.0, "Duration in s of the sample for the closed-form start", minimum=0.1)
    fit_table: bool = setting(True, "Fit a linear part to the recording's own channels (single recording only)")


def train_deep_interpolation(
    recordings: BaseRecording | list[BaseRecording],
    folder: str | Path,
    *,
    start_from: str | Path | None = None,
    config: InterpolatorConfig | None = None,
    settings: InterpolationTrainingSettings | None = None,
    name: str | None = None,
) -> TrainedModel:
    """
    Train a model for `deep_interpolate`.

    Parameters
    ----------
    recordings : BaseRecording | list of BaseRecording
        High-pass filtered, with probes; layouts may differ, sampling frequencies may not. Read in short stretches,
        never as a whole. Several recordings give one model for all their probes.
    folder : str | Path
        Where the model is saved. Called again after an interruption, training continues where it was.
    start_from : str | Path | None, default: None
        Name or folder of an interpolator to train further. None trains a new one.
    config : InterpolatorConfig | None, default: None
        Structure of a new network. None takes `NEW_INTERPOLATOR`; not allowed with `start_from`.
    settings : InterpolationTrainingSettings | None, default: None
        With `num_epochs=0` the model is the Wiener filter that training starts from.
    name : str | None, default: None
        Name of the model. None takes the name of the folder.

    Returns
    -------
    TrainedModel
        `deep_interpolate(recording, model=...)` takes it, or its folder.

    Raises
    ------
    ValueError
        If the recordings are too short or differ in sampling frequency, or `start_from` is no interpolator.
    """
    settings = settings or InterpolationTrainingSettings()
    folder = Path(folder)
    _join_processes(settings)
    recordings = list(recordings) if isinstance(recordings, list | tuple) else [recordings]
    torch.manual_seed(settings.seed)
    net = _new_network(recordings, config, start_from, settings)
    prepared = prepare_recordings(recordings, net, settings)
    start_loss = _start(net, prepared, settings, is_new=start_from is None)
    validation_loss = _fit_or_keep_start(net, prepared, settings, folder, start_loss)
    metrics = dict(start_validation_loss=start_loss, validation_loss=validation_loss)
    return _finish(net.cpu().eval(), folder, name, metrics, settings, len(recordings))


def _fit_or_keep_start(net, prepared, settings, folder, start_loss) -> float:
    start_weights = copy.deepcopy(net.state_dict())
    history = fit(
        net,
        prediction_loss(prepared),
        lambda epoch: _batches(prepared, epoch, settings),
        lambda: _validation_batches(prepared, settings),
        settings,
        checkpoint_folder=folder / "checkpoint",
        label="interpolator",
    )
    loss = min([row["validation_loss"] for row in history], default=start_loss)
    logger.info("Loss on held-out time: %.4f at the start, %.4f now", start_loss, loss)
    if loss > start_loss:  # the closed form was better
        net.load_state_dict(start_weights)
    return min(loss, start_loss)


def _finish(net, folder, name, metrics, settings, num_recordings) -> TrainedModel:
    """Save the model; with several processes the first one does."""
    info = ModelInfo(
        name=name or folder.absolute().name,
        task="denoising",
        sampling_frequency=net.config.sampling_frequency,
        training=dict(
            command="si_deepsort.train_deep_interpolation",
            data="recordings of the user",
            seed=settings.seed,
            num_epochs=settings.num_epochs,
            num_recordings=num_recordings,
        ),
        metrics=metrics,
        parent=parent_reference(net),
    )
    start = "the Wiener filter from which training starts" if net.info is None else net.info.name
    score = HeldOutScore(
        measure="loss",
        value=metrics["validation_loss"],
        default=metrics["start_validation_loss"],
        default_name=start,
        higher_is_better=False,
    )
    scores: dict[str, HeldOutScore | str] = {"held-out time": score}
    next_step = "deep_interpolate(recording, model={model})"
    if rank() > 0:
        net.info = info
        return TrainedModel(net=net, folder=folder, scores=scores, next_step=next_step)
    prints = settings.progress_bar
    trained = finish_training(net, info, folder, scores=scores, next_step=next_step, prints=prints)
    # The next training into this folder is another one.
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return trained


def prediction_loss(prepared: list[TrainingRecording]) -> Callable[[torch.nn.Module, Batch], torch.Tensor]:
    """
    Mean squared error of the prediction, in units of the noise variance, over channels that have a signal.

    Much of the noise is correlated in time and across channels, and could be predicted, too. In windows of noise alone
    the right prediction is 0, so that the network removes this noise and makes no spikes of it.
    """

    def loss(net, batch):
        traces, is_noise, index, plan_index = batch
        recording = prepared[int(index[0])]
        context = net.config.context
        predicted = net(traces, recording.plans[int(plan_index[0])])
        wanted = traces[:, :, context : traces.shape[2] - context] * ~is_noise[:, None, None]
        errors = (predicted - wanted).square()
        return errors[:, recording.has_signal.to(errors.device)].mean()

    return loss


def held_out_loss(net: Interpolator, prepared: list[TrainingRecording], settings: FitSettings) -> float:
    """`prediction_loss` on the held-out time of recordings; without noise it is the variance left unpredicted."""
    device = next(net.parameters()).device
    return evaluate(net, prediction_loss(prepared), _validation_batches(prepared, settings), device)


def _join_processes(settings):
    # torchrun starts the processes, each must still join the group
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if choose_device(settings.device).type == "cuda" else "gloo")


def _new_network(recordings, config, start_from, settings) -> Interpolator:
    sampling_frequency = recordings[0].get_sampling_frequency()
    others = {recording.get_sampling_frequency() for recording in recordings}
    if max(others) / min(others) > 1 + SAME_RATE:
        raise ValueError(f"The recordings have {sorted(others)} Hz; train one model per sampling frequency.")
    num_table = recordings[0].get_num_channels() if settings.fit_table and len(recordings) == 1 else 0
    if start_from is None:
        config = replace(config or NEW_INTERPOLATOR, sampling_frequency=sampling_frequency)
        return Interpolator(replace(config, num_table_channels=num_table))
    if config is not None:
        raise ValueError("Give either config (a new network) or start_from (its structure is kept), not both.")
    old = load_model(start_from)
    if not isinstance(old, Interpolator):
        raise ValueError(
            f"start_from='{start_from}' is a {old.architecture}, expected an interpolator. Weights of the original "
            "network can be applied with deep_interpolate, but not fine-tuned."
        )
    changed = replace(old.config, sampling_frequency=sampling_frequency, num_table_channels=num_table)
    net = Interpolator(changed)
    shared = {key: value for key, value in old.state_dict().items() if not key.startswith("table")}
    net.load_state_dict(shared, strict=False)
    resample_filters(net, sampling_frequency / old.config.sampling_frequency)
    net.info = old.info
    return net


def _start(net, prepared, settings, *, is_new: bool) -> float:
    """
    Bring the network to its closed-form start; return the loss there.

    An interrupted training computes it again: a start that was kept in the folder could be that of other recordings.
    """
    samples = [recording.sample(settings.wiener_s, settings.seed) for recording in prepared]
    if is_new:
        start_filters(net, prepared, samples)
        start_shared_part(net, prepared, samples, noise_fraction=settings.noise_fraction)
    if net.config.num_table_channels:
        start_table(net, prepared[0], samples[0], noise_fraction=settings.noise_fraction)
    device = choose_device(settings.device)
    for recording in prepared:
        for plan in recording.plans:
            net.attach_table(plan, recording.channel_locations)
            plan.to(device)
    return held_out_loss(net.to(device), prepared, settings)


def _batches(prepared, epoch, settings):
    rng = np.random.default_rng([settings.seed, epoch])
    shares = np.array([recording.num_training_frames for recording in prepared], dtype=float)
    remaining = settings.steps_per_epoch
    while remaining > 0:
        index = int(rng.choice(len(prepared), p=shares / shares.sum()))
        # One stretch of the recording serves several batches, so that a file is read in few, long pieces; fewer where
        # there are other recordings, or the network would learn one and forget the others.
        num_batches = min(remaining, max(2, BATCHES_PER_STRETCH // len(prepared)))
        for windows, is_noise in prepared[index].training_windows(rng, num_batches, settings):
            plan_index = int(rng.choice(len(prepared[index].plans), p=prepared[index].plan_shares))
            yield _as_batch(windows, is_noise, index, plan_index)
            remaining -= 1


def _validation_batches(prepared, settings):
    for index, recording in enumerate(prepared):
        for windows, is_noise in recording.validation_windows(settings):
            yield _as_batch(windows, is_noise, index, 0)


def _as_batch(windows, is_noise, index, plan_index):
    places = torch.full((len(windows),), index), torch.full((len(windows),), plan_index)
    return torch.from_numpy(windows), torch.from_numpy(is_noise), *places
