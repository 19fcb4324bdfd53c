"""Cell types of animals that training never saw, beside the usual threshold on the duration of the spike."""

import argparse
from pathlib import Path

import numpy as np

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.cell_types.predict import UNSURE
from si_deepsort.training.cell_types.cells import KnownCells, load_cells
from si_deepsort.training.cell_types.train import NARROW_MS, fit_probability
from si_deepsort.training.cell_types.validate import accuracy_interval, leave_one_animal_out


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path, help="cells.npz of CellExplorer's ground truth")
    parser.add_argument("output", nargs="?", default="benchmarks/results/cell_types.json")
    options = parser.parse_args()
    cells = load_cells(options.cells)
    rows = [score(name, probability, cells) for name, probability in predictions(cells).items()]
    command = f"python benchmarks/assessment/cell_types.py {options.cells.name}"
    document = provenance(seeds=0, command=command) | dict(
        num_cells=len(cells.labels),
        num_excitatory=int(cells.is_excitatory.sum()),
        num_animals=len(np.unique(cells.animals)),
        num_excitatory_animals=len(np.unique(cells.animals[cells.is_excitatory])),
        scores=rows,
        tables=dict(cell_types=as_table(rows, cells)),
    )
    write_results(document, options.output)
    for row in rows:
        print(row)


def predictions(cells: KnownCells) -> dict[str, np.ndarray]:
    """Probability that each cell is excitatory, by the name of the method."""
    threshold = (cells.features[:, 0] > NARROW_MS).astype(float)
    return {
        "model (duration and bursts)": leave_one_animal_out(cells, fit_probability),
        f"duration above {NARROW_MS:g} ms": threshold,
        "duration above a fitted threshold": leave_one_animal_out(cells, fit_threshold),
    }


def fit_threshold(features: np.ndarray, is_excitatory: np.ndarray):
    """The threshold on the duration with the best balanced accuracy, in the middle of those that share it."""
    candidates = np.sort(features[:, 0])
    middle = (candidates[1:] + candidates[:-1]) / 2
    above = features[:, :1] > middle
    scores = (above[is_excitatory].mean(axis=0) + (~above[~is_excitatory]).mean(axis=0)) / 2
    threshold = np.median(middle[scores == scores.max()])
    return lambda wanted: (wanted[:, 0] > threshold).astype(float)


def score(name: str, probability: np.ndarray, cells: KnownCells) -> dict:
    """Scores of one method."""
    is_right = (probability > 0.5) == cells.is_excitatory
    is_sure = (probability <= UNSURE[0]) | (probability >= UNSURE[1])
    return dict(
        method=name,
        balanced_accuracy=accuracy_interval(is_right, cells),
        excitatory_right=float(is_right[cells.is_excitatory].mean()),
        inhibitory_right=float(is_right[~cells.is_excitatory].mean()),
        share_sure=float(is_sure.mean()),
        accuracy_where_sure=float(is_right[is_sure].mean()),
    )


def as_table(rows: list[dict], cells: KnownCells) -> dict:
    """The table for the documentation."""
    shown = []
    for row in rows:
        interval = row["balanced_accuracy"]
        shown.append(
            [
                row["method"],
                f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]",
                f"[{interval['bootstrap_low']:.3f}, {interval['bootstrap_high']:.3f}]",
                f"{row['excitatory_right']:.3f}",
                f"{row['inhibitory_right']:.3f}",
                f"{row['share_sure']:.2f}",
            ]
        )
    num_excitatory = len(np.unique(cells.animals[cells.is_excitatory]))
    return dict(
        title="Cell types of animals that training never saw",
        caption=f"{cells.is_excitatory.sum()} excitatory cells of {num_excitatory} animals, "
        f"{(~cells.is_excitatory).sum()} inhibitory cells of {len(np.unique(cells.animals[~cells.is_excitatory]))} "
        "animals, one animal left out at a time. 95 % intervals: over animals, widened by Wilson's interval for the "
        "number of animals, and by a bootstrap over animals alone.",
        columns=["method", "balanced accuracy", "bootstrap", "excitatory right", "inhibitory right", "sure"],
        rows=shown,
    )


if __name__ == "__main__":
    main()
