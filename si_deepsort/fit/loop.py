"""
The training loop.

It shows a progress bar, stops early on validation batches, is seeded, saves checkpoints without pickle, continues an
interrupted training where it stopped, and averages gradients over processes when it is started by `torchrun`. The
batches, the loss and the augmentation belong to the training functions in `si_deepsort/training`.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..inference import choose_device
from ..settings import Settings, setting
from .checkpoint import Checkpoint, first_values
from .processes import (
    average_gradients,
    is_finite_everywhere,
    rank,
    same_buffers_everywhere,
    same_start_everywhere,
    share_of_this_process,
)

logger = logging.getLogger(__name__)

Batch = tuple[torch.Tensor, ...]

# Factor between the epochs' random seeds: larger than any number of epochs, so that two seeds share no epoch.
SEED_STEP = 1_000_003


@dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """Settings of the training loop."""

    num_epochs: int = setting(20, "Largest number of passes over the batches", minimum=0)
    learning_rate: float = setting(1e-3, "Highest learning rate of Adam; it follows a cosine to 0", minimum=0.0)
    warmup_steps: int = setting(0, "Steps over which the learning rate rises from 0, to spare a good start", minimum=0)
    weight_decay: float = setting(0.0, "Decay of the weights (AdamW)", minimum=0.0)
    gradient_clip: float = setting(1.0, "Gradients with a larger norm are scaled down to it", minimum=0.0)
    patience: int = setting(
        5, "Training stops after so many epochs without progress on the validation batches", minimum=1
    )
    seed: int = setting(0, "Random seed of weights, batches and augmentation")
    device: str = setting("auto", "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'")
    amp: bool = setting(False, "Mixed precision: bfloat16 where the device is faster with it")
    progress_bar: bool = setting(True, "Show a progress bar")


def fit(
    net: torch.nn.Module,
    loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
    training_batches: Callable[[int], Iterable[Batch]],
    validation_batches: Callable[[], Iterable[Batch]],
    settings: FitSettings,
    *,
    checkpoint_folder: str | Path | None = None,
    label: str = "training",
) -> list[dict[str, float]]:
    """
    Train a network in place; at the end it has the weights that were best on the validation batches.

    Parameters
    ----------
    net : torch.nn.Module
        It is moved to the device and left there in evaluation mode.
    loss : callable
        `loss(net, batch)` returns a scalar tensor, the mean over the batch.
    training_batches, validation_batches : callable
        `training_batches(epoch)` returns the batches of an epoch, `validation_batches()` the held-out ones, both the
        same at each call. A batch is a tuple of tensors whose first axis is the batch.
    settings : FitSettings
    checkpoint_folder : str | Path | None, default: None
        The state is saved here after each epoch. An interrupted training continues from it, and ends with the weights
        that it would have had without the interruption.
    label : str, default: "training"
        Text of the progress bar and of the log lines.

    Returns
    -------
    list of dict
        One row per epoch with epoch, training_loss and validation_loss (nan without validation batches).

    Raises
    ------
    ValueError
        If a loss is not finite, or if the checkpoint belongs to another network or to other batches.
    """
    device = choose_device(settings.device)
    # The user's own random numbers are left as they were.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        checkpoint = _checkpoint(checkpoint_folder, validation_batches, training_batches)
        optimizer, history, best_weights = _begin(net, device, settings, checkpoint)
        while len(history) < settings.num_epochs and not _should_stop(history, settings.patience):
            epoch = len(history)
            torch.manual_seed(settings.seed + SEED_STEP * epoch)
            training_loss = _train_epoch(net, loss, training_batches(epoch), optimizer, epoch, settings, label)
            validation_loss = evaluate(net, loss, validation_batches(), device)
            history.append({"epoch": epoch, "training_loss": training_loss, "validation_loss": validation_loss})
            logger.info("%s epoch %d: training %.5f validation %.5f", label, epoch, training_loss, validation_loss)
            # Without validation batches the loss is nan: then the last weights are the best.
            if not validation_loss > min(row["validation_loss"] for row in history):
                best_weights = copy.deepcopy(net.state_dict())
            if checkpoint is not None and rank() == 0:
                checkpoint.save(net, optimizer, best_weights, history)
    net.load_state_dict(best_weights)
    net.eval()
    return history


@torch.no_grad()
def evaluate(
    net: torch.nn.Module,
    loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
    batches: Iterable[Batch],
    device: torch.device,
) -> float:
    """
    Mean loss of a network over batches, weighted by their sizes.

    Parameters
    ----------
    net : torch.nn.Module
        On the device. It is set to evaluation mode.
    loss, batches
        As for `fit`.
    device : torch.device
        The batches are moved to it.

    Returns
    -------
    float
        nan if there are no batches.

    Raises
    ------
    ValueError
        If the loss of a batch is not finite.
    """
    net.eval()
    total, count = 0.0, 0
    for batch in batches:
        batch = tuple(tensor.to(device) for tensor in batch)
        value = loss(net, batch).item()
        if not math.isfinite(value):
            raise ValueError(
                f"The loss of the held-out data is {value}. Look for NaN or infinite values in the recording, or lower "
                "learning_rate."
            )
        total += value * len(batch[0])
        count += len(batch[0])
    return total / count if count else math.nan


def _checkpoint(folder, validation_batches, training_batches) -> Checkpoint | None:
    if folder is None:
        return None
    return Checkpoint(Path(folder), first_values(validation_batches, training_batches))


def _begin(net, device, settings, checkpoint):
    """Optimizer, history and best weights of a new training, or of the one that the checkpoint holds."""
    net.to(device)
    same_start_everywhere(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    if checkpoint is None or not checkpoint.path.exists():
        return optimizer, [], copy.deepcopy(net.state_dict())
    history, best_weights = checkpoint.restore(net, optimizer)
    logger.info("Training continues after epoch %d", len(history))
    return optimizer, history, best_weights


def _train_epoch(net, loss, batches, optimizer, epoch, settings, label) -> float:
    net.train()
    device = next(net.parameters()).device
    rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / max(1, settings.num_epochs)))
    total, count = 0.0, 0
    bar = tqdm(batches, desc=f"{label} {epoch + 1}/{settings.num_epochs}", leave=False, disable=_is_quiet(settings))
    for step, batch in enumerate(bar):
        is_warming_up = epoch == 0 and step < settings.warmup_steps
        for group in optimizer.param_groups:
            group["lr"] = rate * (step + 1) / settings.warmup_steps if is_warming_up else rate
        share = tuple(tensor.to(device, non_blocking=True) for tensor in share_of_this_process(batch))
        optimizer.zero_grad(set_to_none=True)
        value = torch.zeros((), device=device)
        if len(share[0]):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.amp):
                value = loss(net, share)
        if not is_finite_everywhere(value):
            raise ValueError(
                f"The loss became {value.item() if not value.isfinite() else 'infinite in another process'} in epoch "
                f"{epoch}. Look for NaN or infinite values in the recording, or lower learning_rate (now "
                f"{settings.learning_rate})."
            )
        if len(share[0]):
            value.backward()
            total += value.item() * len(share[0])
            count += len(share[0])
        average_gradients(net, len(share[0]) / len(batch[0]))
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.gradient_clip)
        optimizer.step()
        bar.set_postfix(loss=f"{total / max(count, 1):.4f}", refresh=False)
    same_buffers_everywhere(net)
    return total / count if count else math.nan


def _should_stop(history, patience) -> bool:
    losses = [row["validation_loss"] for row in history]
    if len(losses) <= patience or math.isnan(losses[-1]):
        return False
    return min(losses[-patience:]) > min(losses[:-patience])


def _is_quiet(settings) -> bool:
    return not settings.progress_bar or rank() > 0
