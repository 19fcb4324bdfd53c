"""
The quick set of sorters on two engines: `python benchmarks/sorting/engines.py` writes benchmarks/results/engines.json.

Every case runs in a process of its own, once one after the other and once on a local dask cluster of two workers. Cases
that are there already, e.g. from `benchmarks/sorting/sorters.py` on the same seed, are not run again. Accuracies must
not depend on the engine; the time of the set is the sum over its cases, warm-up included, as one worker would need.
"""

import argparse
import json
from pathlib import Path

from si_deepsort.benchmarking.peers import CORE_SORTERS
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.study import QUICK_RECORDINGS, plan_cases, run_cases

ROOT = Path(__file__).parents[2]


def main():
    """Parse the command line, run what is missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--duration", type=float, default=60.0, help="in s")
    parser.add_argument("--loop-folder", type=Path, default=ROOT / "benchmarks" / "cache" / "sorters")
    parser.add_argument("--dask-folder", type=Path, default=ROOT / "benchmarks" / "cache" / "sorters_dask")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "engines.json")
    arguments = parser.parse_args()
    cases = plan_cases(QUICK_RECORDINGS, CORE_SORTERS, seeds=[arguments.seed], duration_s=arguments.duration)
    dask = run_cases(cases, arguments.dask_folder, engine="dask", num_workers=2)
    loop = run_cases(cases, arguments.loop_folder)
    rows = []
    for first, second in zip(loop, dask, strict=True):
        rows.append(
            dict(
                recording=first["case"]["recording"]["name"],
                sorter=first["case"]["sorter"],
                accuracy_loop=first.get("mean_accuracy"),
                accuracy_dask=second.get("mean_accuracy"),
                identical_units=first.get("units") == second.get("units"),
                total_cpu_s=first.get("total_cpu_s"),
            )
        )
    document = dict(
        **provenance(seeds=[arguments.seed]),
        cases=rows,
        num_identical=sum(row["identical_units"] for row in rows),
        total_cpu_minutes=sum(row["total_cpu_s"] for row in rows) / 60,
    )
    write_results(document, arguments.json)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
