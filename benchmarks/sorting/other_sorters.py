"""
deepsort beside the sorters that are slower or rarely ahead, on few recordings.

`python benchmarks/sorting/other_sorters.py` writes benchmarks/results/other_sorters.json. Kilosort4 is made for GPUs:
it gets 20 s of recording here. What `benchmarks/sorting/sorters.py` has run already is not run again.
"""

from pathlib import Path

from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.study import QUICK_RECORDINGS, plan_cases, run_cases
from si_deepsort.benchmarking.summary import summarize

ROOT = Path(__file__).parents[2]
SEED = 101
SORTERS = ("deepsort", "tridesclous2", "mountainsort5", "herdingspikes")
SHORT_S = 20.0


def main():
    """Run what is missing and sum up."""
    cases = plan_cases(QUICK_RECORDINGS, SORTERS, seeds=[SEED])
    short = plan_cases(QUICK_RECORDINGS[:2], ("deepsort", "kilosort4"), seeds=[SEED], duration_s=SHORT_S)
    folder = ROOT / "benchmarks" / "cache" / "sorters"
    command = "python benchmarks/sorting/other_sorters.py"
    document = summarize(run_cases(cases, folder), command=command)
    on_short = summarize(run_cases(short, folder), command=command)
    tables = {"other_sorters": document["tables"]["sorters"], "kilosort4": on_short["tables"]["sorters"]}
    tables["kilosort4"]["caption"] = f"The same on the first {SHORT_S:g} s, on a CPU."
    document |= dict(name="other_sorters", tables=tables, summary=[*document["summary"], *on_short["summary"]])
    document["cases"] += on_short["cases"]
    write_results(document, ROOT / "benchmarks" / "results" / "other_sorters.json")


if __name__ == "__main__":
    main()
