"""What a training function returns: the network, its held-out scores, where it is saved, and what to do next."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..nets.network import Network
from ..zoo import CARD_FILE, ModelInfo, render_card, save_model
from ..zoo.model_folder import write_file
from .held_out_score import HeldOutScore


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedModel(os.PathLike):
    """
    A network that was just trained.

    A saved one can be given to every function that takes a model folder.

    Attributes
    ----------
    net : Network
        In evaluation mode, with its `info`.
    folder : Path | None
        Where it is saved; None if it is not.
    scores : dict of HeldOutScore or str
        Data that were held out -> the score there beside that of a simple method; text where there is no comparison.
    next_step : str
        Code that uses the model.
    """

    net: Network
    folder: Path | None
    scores: Mapping[str, HeldOutScore | str]
    next_step: str

    @property
    def is_better(self) -> bool | None:
        """Whether every held-out score is better than that of the simple method; None if nothing was compared."""
        compared = [score for score in self.scores.values() if isinstance(score, HeldOutScore)]
        return all(score.verdict == "better" for score in compared) if compared else None

    @property
    def info(self) -> ModelInfo:
        """What is saved with the weights; `info.metrics` holds the scores as numbers."""
        return self.net.info

    def __fspath__(self) -> str:
        """
        Folder of the model.

        Raises
        ------
        ValueError
            If it was not saved.
        """
        if self.folder is None:
            raise ValueError("The model was not saved. Train it with folder=..., or save it with save_model(...).")
        return str(self.folder)

    def __repr__(self) -> str:
        where = f"saved in {self.folder}" if self.folder is not None else "not saved: give folder=... to keep it"
        lines = [f"{name}: {value}" for name, value in self.scores.items()]
        title = f"{type(self.net).__name__} for {self.info.task}, {self.net.num_parameters():,} weights"
        return "\n  ".join([title, *lines, where, f"next: {self.next_step}"])


def finish_training(
    net: Network,
    info: ModelInfo,
    folder: str | Path | None,
    *,
    scores: Mapping[str, HeldOutScore | str],
    next_step: str,
    prints: bool,
) -> TrainedModel:
    """
    Save a network with its card, if a folder is given, and say how good it is.

    Parameters
    ----------
    net : Network
    info : ModelInfo
        It becomes the network's, with the scores as text.
    folder : str | Path | None
        None does not save it.
    scores : dict of HeldOutScore or str
        As in `TrainedModel`.
    next_step : str
        Code that uses the model; `{model}` stands for the folder.
    prints : bool
        Whether the summary is printed.
    """
    net.info = replace(info, comparisons={name: str(score) for name, score in scores.items()})
    saved = save_with_card(net, folder) if folder is not None else None
    model = f'"{saved.as_posix()}"' if saved is not None else "trained.net"
    trained = TrainedModel(net=net, folder=saved, scores=scores, next_step=next_step.replace("{model}", model))
    if prints:
        print(trained)
    return trained


def save_with_card(net: Network, folder: str | Path) -> Path:
    """Save a network with its info, and write the card from it."""
    saved = save_model(net, folder, net.info)
    write_file(saved / CARD_FILE, render_card(saved).encode())
    return saved
