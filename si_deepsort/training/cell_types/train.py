"""
Train the bundled model of cell types.

`python -m si_deepsort.training.cell_types.train cells.npz --folder si_deepsort/models/cell-type` makes it again, to the
last bit. The cells are those of CellExplorer (BSD-3-Clause, Petersen et al. 2021).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...cell_types.predict import FREQ_MAX, FREQ_MIN, UNSURE
from ...nets.cell_type import CellTypeClassifier, CellTypeConfig
from ...zoo import ModelInfo
from ..trained_model import TrainedModel, finish_training
from .cells import KnownCells, load_cells
from .validate import accuracy_interval, leave_one_animal_out

# Inverse strength of the ridge on the standardised features: the default of scikit-learn, not tuned.
RIDGE_C = 1.0
# Durations up to this are narrow: the rule that CellExplorer and SpikeInterface's users apply, in ms.
NARROW_MS = 0.425


def fit_classifier(features: np.ndarray, is_excitatory: np.ndarray) -> CellTypeClassifier:
    """
    Logistic regression in which both types weigh the same.

    Parameters
    ----------
    features : np.ndarray, shape (num_cells, num_features), float64
    is_excitatory : np.ndarray, shape (num_cells,), bool

    Returns
    -------
    CellTypeClassifier
        In evaluation mode.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=RIDGE_C, class_weight="balanced").fit((features - mean) / scale, is_excitatory)
    net = CellTypeClassifier(CellTypeConfig())
    with torch.no_grad():
        net.mean.copy_(torch.from_numpy(mean))
        net.scale.copy_(torch.from_numpy(scale))
        net.linear.weight.copy_(torch.from_numpy(model.coef_))
        net.linear.bias.copy_(torch.from_numpy(model.intercept_))
    return net.eval()


def fit_probability(features: np.ndarray, is_excitatory: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The same as a function from features to probabilities, for `leave_one_animal_out`."""
    net = fit_classifier(features, is_excitatory)

    def predict(wanted: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(net(torch.from_numpy(wanted.astype("float32")))).numpy()

    return predict


def train_cell_types(cells: KnownCells, folder: str | Path | None, *, command: str = "") -> TrainedModel:
    """
    Train on all cells; the scores are those of leaving out one animal at a time.

    Parameters
    ----------
    cells : KnownCells
    folder : str | Path | None
        Where the model is saved; None does not save it.
    command : str, default: ""
        How it can be trained again, for the card.

    Returns
    -------
    TrainedModel
    """
    net = fit_classifier(cells.features, cells.is_excitatory)
    probability = leave_one_animal_out(cells, fit_probability)
    is_right = (probability > 0.5) == cells.is_excitatory
    interval = accuracy_interval(is_right, cells)
    is_sure = (probability <= UNSURE[0]) | (probability >= UNSURE[1])
    num_animals = [len(np.unique(cells.animals[cells.is_excitatory == kind])) for kind in (True, False)]
    data = (
        f"{cells.is_excitatory.sum()} excitatory cells of {num_animals[0]} animals and {(~cells.is_excitatory).sum()} "
        f"inhibitory cells of {num_animals[1]} animals (mouse; hippocampus, visual cortex and others), known by "
        "optogenetic tagging or juxtacellular recording: ground truth of CellExplorer, Petersen et al. 2021"
    )
    shared = dict(data="animals left out one at a time")
    metrics = {
        "balanced_accuracy": {name: interval[name] for name in ("value", "low", "high")} | shared,
        "share_sure": dict(value=float(is_sure.mean()), **shared),
        "accuracy_where_sure": dict(value=float(is_right[is_sure].mean()), **shared),
    }
    info = ModelInfo(
        name="cell-type",
        task="cell_type",
        input_unit="trough to peak in ms, burst index",
        training=dict(command=command, seed=None, data=data, data_license="BSD-3-Clause"),
        metrics=metrics,
        settings=dict(freq_min=FREQ_MIN, freq_max=FREQ_MAX),
    )
    words = f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f}), animals left out"
    step = "si_deepsort.predict_cell_types(sorting, recording, model={model})"
    return finish_training(net, info, folder, scores={"balanced accuracy": words}, next_step=step, prints=True)


def main() -> None:
    """Read the cells, train and save."""
    parser = argparse.ArgumentParser(description="Train the bundled model of cell types.")
    parser.add_argument("cells", type=Path, help="cells.npz of CellExplorer's ground truth")
    parser.add_argument("--folder", type=Path, default=Path("si_deepsort/models/cell-type"))
    options = parser.parse_args()
    command = f"python -m si_deepsort.training.cell_types.train {options.cells.name} --folder {options.folder}"
    train_cell_types(load_cells(options.cells), options.folder, command=command)


if __name__ == "__main__":
    main()
