"""
Calibrate the intervals of a trained assessor on sortings of recordings that none of its members saw.

`python -m si_deepsort.training.assessment.recalibrate --examples EXAMPLES --folder FOLDER [--model assessment]`
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...assessment.predict import run_network, widened
from ...nets.assessor import Assessor
from ...zoo import load_network
from ..trained_model import TrainedModel, finish_training
from .calibrate import EDGES, interval_factors
from .data import ExampleSet, load_examples
from .train import NEXT_STEP

# Columns of the quantiles in the output of the network.
PARTS = {"precision": slice(0, 3), "recall": slice(3, 6)}


def recalibrate(model: Assessor | str | Path, examples: str | Path, folder: str | Path | None) -> TrainedModel:
    """
    Calibrate the intervals of a network anew (split conformal prediction); all else stays as it is.

    In training each unit is judged by the one member that did not see its recording. Users have the mean of all
    members, whose errors are smaller, so that intervals from training hold too many values.

    Parameters
    ----------
    model : Assessor | str | Path
        A trained assessor, its name or its folder.
    examples : str | Path
        Folder of examples of whole sortings, of recordings that training did not use.
    folder : str | Path | None
        Where the model is saved; None does not save it.

    Raises
    ------
    ValueError
        If there are no examples.
    """
    loaded, net = load_examples(examples), load_network(model, Assessor, purpose="assessment")
    outputs, _ = run_network(net, loaded.units, loaded.pairs, loaded.spikes, loaded.spike_units)
    mean = outputs.mean(axis=0)
    widening = {
        name: interval_factors(mean[:, part], getattr(loaded, name), EDGES[name]) for name, part in PARTS.items()
    }
    scores = dict(net.info.comparisons)
    for name, part in PARTS.items():
        coverage = coverage_of_new_families(mean[:, part], getattr(loaded, name), loaded, EDGES[name])
        scores[f"{name}_coverage"] = f"{coverage:.3f}"
    said = (
        f"calibrated on {len(loaded.names)} sortings ({len(loaded.units)} units) of {loaded.num_recordings} further "
        "generated recordings, by python -m si_deepsort.training.assessment.recalibrate --examples EXAMPLES --folder "
        "FOLDER, on examples made by benchmarks/assessment/calibration_examples.py"
    )
    info = replace(
        net.info,
        training=net.info.training | {"intervals": said},
        settings=net.info.settings | {"widening": widening},
    )
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=True)


def coverage_of_new_families(
    quantiles: np.ndarray, values: np.ndarray, examples: ExampleSet, edges: tuple[float, ...]
) -> float:
    """
    Share of the units inside their interval, each family of recordings judged by intervals calibrated without it.

    Parameters
    ----------
    quantiles : np.ndarray, shape (num_units, 3), float
    values : np.ndarray, shape (num_units,), float
        True values.
    examples : ExampleSet
        Of these units.
    edges : tuple of float
        As for `interval_factors`.
    """
    families = examples.families()[examples.sortings]
    inside = np.zeros(len(values), dtype=bool)
    for family in np.unique(families):
        own = families == family
        bounds = widened(quantiles[own], interval_factors(quantiles[~own], values[~own], edges))
        inside[own] = (bounds[:, 0] <= values[own]) & (values[own] <= bounds[:, 2])
    return float(inside.mean())


def main(arguments: list[str] | None = None) -> None:
    """Command line of the calibration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--model", default="assessment")
    options = parser.parse_args(arguments)
    recalibrate(options.model, options.examples, options.folder)


if __name__ == "__main__":
    main()
