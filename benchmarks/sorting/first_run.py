"""
What a sorter costs the process that runs it once: without the warm-up that other tables have, compilation counts.

`python benchmarks/sorting/first_run.py` writes benchmarks/results/first_run.json. Most users sort one recording per
process.
"""

from pathlib import Path

from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.study import plan_cases, run_cases
from si_deepsort.benchmarking.summary import summarize

ROOT = Path(__file__).parents[2]
SEED = 101
RECORDINGS = ("linear32", "neuropixels1")
SORTERS = ("deepsort", "lupin", "spykingcircus2")


def main():
    """Run what is missing and sum up."""
    cases = plan_cases(RECORDINGS, SORTERS, seeds=[SEED], warm_up=False)
    results = run_cases(cases, ROOT / "benchmarks" / "cache" / "first_run")
    document = summarize(results, command="python benchmarks/sorting/first_run.py")
    document |= dict(name="first_run", tables={"first_run": first_run_table(results)})
    write_results(document, ROOT / "benchmarks" / "results" / "first_run.json")


def first_run_table(results) -> dict:
    """CPU time of each sorter on each recording, and of the peer relative to deepsort."""
    cost = {(one["case"]["sorter"], one["case"]["recording"]["name"]): one["cpu_s_per_s"] for one in results}
    rows = [
        [
            sorter,
            *(f"{cost[sorter, name]:.2f} ({cost[sorter, name] / cost['deepsort', name]:.1f})" for name in RECORDINGS),
        ]
        for sorter in SORTERS
    ]
    caption = (
        "CPU-seconds per recorded second of the only run in a process, on 60 s, what it compiles included (relative to "
        "deepsort)."
    )
    return dict(caption=caption, columns=["sorter", *RECORDINGS], rows=rows)


if __name__ == "__main__":
    main()
