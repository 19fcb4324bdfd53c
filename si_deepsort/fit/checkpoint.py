"""Save the state of a training after each epoch, and continue an interrupted training from it."""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

# Values of each tensor of a batch by which the batches of an interrupted training are recognised. Eight float32 values
# of two recordings do not agree by chance.
NUM_FIRST_VALUES = 8


def first_values(
    validation_batches: Callable[[], Iterable[tuple[torch.Tensor, ...]]],
    training_batches: Callable[[int], Iterable[tuple[torch.Tensor, ...]]],
) -> list[list[float]]:
    """
    The first values of each tensor of all validation batches (of one training batch if there are none).

    They are saved with a checkpoint, so that a folder is not taken for the training on other recordings.
    """
    batches = list(validation_batches()) or list(itertools.islice(training_batches(0), 1))
    return [tensor.flatten()[:NUM_FIRST_VALUES].double().tolist() for batch in batches for tensor in batch]


class Checkpoint:
    """
    State of a training in one safetensors file, replaced atomically; plain values are in its JSON header.

    Parameters
    ----------
    folder : Path
        Made when the first state is saved.
    first_values : list of list of float
        As `first_values` returns them. A file with others belongs to another training.
    """

    def __init__(self, folder: Path, first_values: list[list[float]]):
        self.path = folder / "training.safetensors"
        self.first_values = first_values

    def save(
        self,
        net: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        best_weights: dict[str, torch.Tensor],
        history: list[dict[str, float]],
    ) -> None:
        """Replace the file by the state after an epoch."""
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

    def restore(
        self, net: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
        """
        Put the saved weights and the state of the optimizer back; return the history and the best weights so far.

        Raises
        ------
        ValueError
            If the file cannot be read, or belongs to another network or to other batches.
        """
        remedy = f"Remove {self.path} to start anew, or choose another folder."
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = {name: json.loads(value) for name, value in file.metadata().items()}
                # Copies: the tensors themselves may be mapped to the file, which Windows then does not replace.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
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
