"""
The training loop of all networks.

It shows a progress bar, stops early on validation batches, is seeded, saves checkpoints without pickle, continues an
interrupted training where it stopped, and averages gradients over processes when it is started by `torchrun`. The
batches, the loss and the augmentation belong to the training functions in `si_deepsort/training`.
"""

import copy
import itertools
import json
import logging
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as distributed
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from .inference import choose_device
from .settings import Settings, setting

logger = logging.getLogger(__name__)

Batch = tuple[torch.Tensor, ...]

# Values of each tensor of a batch by which the batches of an interrupted training are recognised. Eight float32 values
# of two recordings do not agree by chance.
NUM_FIRST_VALUES = 8
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
    training_batches : callable
        `training_batches(epoch)` returns the batches of one epoch. A batch is a tuple of tensors whose first axis is
        the batch. The same epoch must give the same batches.
    validation_batches : callable
        `validation_batches()` returns the same held-out batches at each call.
    settings : FitSettings
    checkpoint_folder : str | Path | None, default: None
        The state is saved here after each epoch. If the folder holds a state, training continues from it, and ends
        with the weights that it would have had without the interruption. None saves nothing.
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
        checkpoint = None
        if checkpoint_folder is not None:
            first_values = _first_values(validation_batches, training_batches)
            checkpoint = _Checkpoint(Path(checkpoint_folder), first_values)
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
            if checkpoint is not None and _rank() == 0:
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


def _begin(net, device, settings, checkpoint):
    """Optimizer, history and best weights of a new training, or of the one that the checkpoint holds."""
    net.to(device)
    _same_start_everywhere(net)
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
        share = tuple(tensor.to(device, non_blocking=True) for tensor in _share_of_this_process(batch))
        optimizer.zero_grad(set_to_none=True)
        value = torch.zeros((), device=device)
        if len(share[0]):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.amp):
                value = loss(net, share)
        if not _is_finite_everywhere(value):
            raise ValueError(
                f"The loss became {value.item() if not value.isfinite() else 'infinite in another process'} in epoch "
                f"{epoch}. Look for NaN or infinite values in the recording, or lower learning_rate (now "
                f"{settings.learning_rate})."
            )
        if len(share[0]):
            value.backward()
            total += value.item() * len(share[0])
            count += len(share[0])
        _average_gradients(net, len(share[0]) / len(batch[0]))
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.gradient_clip)
        optimizer.step()
        bar.set_postfix(loss=f"{total / max(count, 1):.4f}", refresh=False)
    _same_buffers_everywhere(net)
    return total / count if count else math.nan


def _should_stop(history, patience) -> bool:
    losses = [row["validation_loss"] for row in history]
    if len(losses) <= patience or math.isnan(losses[-1]):
        return False
    return min(losses[-patience:]) > min(losses[:-patience])


def _first_values(validation_batches, training_batches) -> list[list[float]]:
    """
    The first values of each tensor of all validation batches (of one training batch if there are none).

    They are saved with a checkpoint, so that a folder is not taken for the training on other recordings.
    """
    batches = list(validation_batches()) or list(itertools.islice(training_batches(0), 1))
    return [tensor.flatten()[:NUM_FIRST_VALUES].double().tolist() for batch in batches for tensor in batch]


class _Checkpoint:
    """State of a training in one safetensors file, replaced atomically; plain values are in its JSON header."""

    def __init__(self, folder: Path, first_values: list[list[float]]):
        self.path = folder / "training.safetensors"
        self.first_values = first_values

    def save(self, net, optimizer, best_weights, history):
        tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best_weights.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".partial")
        notes = {"history": json.dumps(history), "first_values": json.dumps(self.first_values)}
        save_file(tensors, temporary, metadata=notes)
        os.replace(temporary, self.path)

    def restore(self, net, optimizer):
        """Put the saved weights and the state of the optimiser back; return the history and the best weights so far."""
        remedy = f"Remove {self.path} to start anew, or choose another folder."
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = {name: json.loads(value) for name, value in file.metadata().items()}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise ValueError(f"The checkpoint cannot be read: {error}. {remedy}") from error
        if not _are_close(notes.get("first_values", self.first_values), self.first_values):
            raise ValueError(f"The checkpoint belongs to a training on other data. {remedy}")
        try:
            net.load_state_dict(_strip("net.", tensors))
        except RuntimeError as error:
            raise ValueError(f"The checkpoint belongs to another network: {error}. {remedy}") from error
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _strip("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return notes["history"], _strip("best.", tensors)


def _are_close(first, second) -> bool:
    # Not equality: filtered traces differ in the last digits between machines and numbers of threads.
    return [len(one) for one in first] == [len(other) for other in second] and all(
        math.isclose(value, other, rel_tol=1e-2, abs_tol=1e-3)
        for pair in zip(first, second, strict=True)
        for value, other in zip(*pair, strict=True)
    )


def _strip(prefix, tensors):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _rank() -> int:
    return distributed.get_rank() if _is_distributed() else 0


def _is_quiet(settings) -> bool:
    return not settings.progress_bar or _rank() > 0


def _share_of_this_process(batch: Batch) -> Batch:
    if not _is_distributed():
        return batch
    return tuple(tensor[_rank() :: distributed.get_world_size()] for tensor in batch)


def _is_finite_everywhere(value: torch.Tensor) -> bool:
    """Whether a loss is finite in all processes: all must stop together, or the others wait for one forever."""
    is_finite = torch.isfinite(value).all().float()
    if _is_distributed():
        distributed.all_reduce(is_finite, op=distributed.ReduceOp.MIN)
    return bool(is_finite)


def _same_start_everywhere(net):
    if _is_distributed():
        for tensor in net.state_dict().values():
            distributed.broadcast(tensor, src=0)


def _same_buffers_everywhere(net):
    # Running means differ between processes; with them validation, and when to stop, would differ too.
    if _is_distributed():
        for buffer in net.buffers():
            distributed.broadcast(buffer, src=0)


def _average_gradients(net, weight: float):
    """Gradient of the whole batch, from those of each process's share of it, which may be of unequal size."""
    if _is_distributed():
        for parameter in net.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad *= weight
            distributed.all_reduce(parameter.grad)
