"""
Calibrate the intervals of a trained assessor on sortings of recordings that none of its members saw.

`python -m si_deepsort.training.assessment.recalibrate --examples EXAMPLES --folder FOLDER [--model assessment]`
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...assessment.predict import MOST_FEW_CHANNELS, run_network, widened
from ...nets.assessor import Assessor
from ...zoo import load_network
from ..trained_model import TrainedModel, finish_training
from .calibrate import EDGES, interval_factors
from .data import load_examples
from .train import NEXT_STEP

# Columns of the quantiles in the output of the network.
PARTS = {"precision": slice(0, 3), "recall": slice(3, 6)}
# Share of the values of new recordings that intervals are to hold, and shares that each end may leave out of the values
# that it is calibrated on, of which the first that reaches this is taken.
COVERAGE, TAILS = 0.9, tuple(np.round(np.arange(0.05, 0.009, -0.0025), 4))


def recalibrate(model: Assessor | str | Path, examples: str | Path, folder: str | Path | None) -> TrainedModel:
    """
    Calibrate the intervals of a network anew (split conformal prediction); all else stays as it is.

    In training each unit is judged by the one member that did not see its recording. Users have the mean of all
    members, whose errors are smaller, so that intervals from training hold too many values. And units of one recording
    are alike, so that intervals hold fewer values of a new recording than of those that they were calibrated on: the
    share that they leave out of these is chosen so that they hold nine of ten values of recordings that were left out.

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
    families = loaded.families()[loaded.sortings]
    is_few = loaded.whole["num_channels"][loaded.sortings] <= MOST_FEW_CHANNELS
    widening: dict[str, dict] = {"few_channels": {}, "many_channels": {}}
    scores, tails = dict(net.info.comparisons), {}
    for name, part in PARTS.items():
        quantiles, values = outputs.mean(axis=0)[:, part], getattr(loaded, name)
        for tail in TAILS:
            coverage = are_inside_if_left_out(quantiles, values, families, is_few, EDGES[name], tail).mean()
            if coverage >= COVERAGE:
                break
        scores[f"{name}_coverage"], tails[name] = f"{coverage:.3f}", f"{tail:g}"
        for group, own in (("few_channels", is_few), ("many_channels", ~is_few)):
            widening[group][name] = interval_factors(quantiles, values, EDGES[name], tail=tail, is_own=own)
    said = (
        f"calibrated on {len(loaded.names)} sortings ({len(loaded.units)} units) of {loaded.num_recordings} further "
        "generated recordings, by python -m si_deepsort.training.assessment.recalibrate --examples EXAMPLES --folder "
        "FOLDER, on examples made by benchmarks/assessment/calibration_examples.py; left out at each end: "
        + ", ".join(f"{tail} of {name}" for name, tail in tails.items())
    )
    info = replace(
        net.info,
        training=net.info.training | {"intervals": said},
        settings=net.info.settings | {"widening": widening},
    )
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=True)


def are_inside_if_left_out(
    quantiles: np.ndarray,
    values: np.ndarray,
    families: np.ndarray,
    is_few: np.ndarray,
    edges: tuple[float, ...],
    tail: float,
) -> np.ndarray:
    """
    Whether each value lies inside its interval, (num_units,), bool; intervals are calibrated without its recording.

    Parameters
    ----------
    quantiles : np.ndarray, shape (num_units, 3), float
    values : np.ndarray, shape (num_units,), float
        True values.
    families : np.ndarray, shape (num_units,), int
        Family of the recording of each unit, see `ExampleSet.families`.
    is_few : np.ndarray, shape (num_units,), bool
        Whether the recording has few channels.
    edges : tuple of float
        As for `interval_factors`.
    tail : float
        Share that each end leaves out of the values that it is calibrated on.
    """
    inside = np.zeros(len(values), dtype=bool)
    for family in np.unique(families):
        for group in (is_few, ~is_few):
            own, others = (families == family) & group, families != family
            if own.any():
                factors = interval_factors(quantiles[others], values[others], edges, tail=tail, is_own=group[others])
                bounds = widened(quantiles[own], factors)
                inside[own] = (bounds[:, 0] <= values[own]) & (values[own] <= bounds[:, 2])
    return inside


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
