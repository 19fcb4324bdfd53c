"""
How much deepsort's own seed changes: the same recordings sorted with three values of `seed`.

`python benchmarks/sorting/sorter_seeds.py` writes benchmarks/results/sorter_seeds.json.
"""

from pathlib import Path

import numpy as np

from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.study import plan_cases, run_cases
from si_deepsort.benchmarking.summary import summarize

ROOT = Path(__file__).parents[2]
RECORDINGS = ("tetrode", "linear32", "plain", "bursting", "synchronous_small")
RECORDING_SEED = 201
SORTER_SEEDS = (0, 1, 2)


def main():
    """Run what is missing and sum up."""
    by_seed = {}
    for seed in SORTER_SEEDS:
        params = dict(deepsort=dict(seed=seed))
        cases = plan_cases(RECORDINGS, ["deepsort"], seeds=[RECORDING_SEED], params=params)
        by_seed[seed] = run_cases(cases, ROOT / "benchmarks" / "cache" / "sorter_seeds" / f"seed{seed}")
    everything = [one for results in by_seed.values() for one in results]
    document = summarize(everything, command="python benchmarks/sorting/sorter_seeds.py")
    document |= dict(name="sorter_seeds", tables={"sorter_seeds": seeds_table(by_seed)})
    write_results(document, ROOT / "benchmarks" / "results" / "sorter_seeds.json")


def seeds_table(by_seed: dict) -> dict:
    """Mean accuracy of each recording by seed, and the standard deviation over seeds."""
    accuracy = np.array(
        [[one.get("mean_accuracy", np.nan) for one in results] for results in by_seed.values()], dtype=float
    )
    rows = [_row(name, values) for name, values in zip(RECORDINGS, accuracy.T, strict=True)]
    rows.append(_row("mean", accuracy.mean(axis=1)))
    caption = "Mean accuracy over all true units of the same recordings (60 s), sorted with three seeds."
    columns = ["recording", *(f"seed {seed}" for seed in by_seed), "standard deviation"]
    return dict(caption=caption, columns=columns, rows=rows)


def _row(name, values):
    return [name, *(f"{value:.3f}" for value in values), f"{np.std(values, ddof=1):.3f}"]


if __name__ == "__main__":
    main()
