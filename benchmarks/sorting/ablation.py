"""
deepsort with classical steps and with networks, each by itself and both: `python benchmarks/sorting/ablation.py`.

The same recordings are sorted with each flow; differences of accuracy are paired by unit. The results are written to
benchmarks/results/ablation.json after each sorting, and what is there is not run again by the same commit.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from spikeinterface.sorters import run_sorter

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.score import paired_difference, score_sorting

RESULTS = Path(__file__).parents[1] / "results" / "ablation.json"
RECORDINGS = ("tetrode", "linear32", "neuropixels1", "hybrid", "synchronous_dense")
FLOWS = {
    "classical": dict(detection="energy", embedding="pca"),
    "CNN detector": dict(detection="cnn", embedding="pca"),
    "autoencoder": dict(detection="energy", embedding="autoencoder"),
    "both networks": dict(detection="cnn", embedding="autoencoder"),
    "both, GRU": dict(detection="gru", embedding="autoencoder"),
    "both, DBSCAN": dict(detection="cnn", embedding="autoencoder", clustering="dbscan"),
}
REFERENCE = "classical"


def sort_once(name: str, seed: int, duration_s: float, flow: str) -> dict:
    """Sort a recording with one flow; scores, CPU time and what it was."""
    recording, truth = ground_truth_recording(name, seed, duration_s)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        sorting = run_sorter(
            "deepsort",
            recording,
            folder=Path(folder) / "run",
            job_kwargs=dict(n_jobs=1, progress_bar=False),
            **FLOWS[flow],
        )
        cpu_s = time.process_time() - start
        score = score_sorting(truth, sorting)
    return dict(recording=name, seed=seed, flow=flow, cpu_s=round(cpu_s, 1), **score)


def summary(runs: list[dict]) -> list[dict]:
    """For each flow: mean accuracy, false units, lost large units, CPU time, and the paired difference."""
    rows = []
    reference = {(run["recording"], run["seed"]): run for run in runs if run["flow"] == REFERENCE}
    for flow in dict.fromkeys(run["flow"] for run in runs):
        own = [run for run in runs if run["flow"] == flow and (run["recording"], run["seed"]) in reference]
        theirs = [reference[run["recording"], run["seed"]] for run in own]
        pooled = [np.concatenate([run["units"]["accuracy"] for run in each]) for each in (own, theirs)]
        by_recording = [run["mean_accuracy"] - other["mean_accuracy"] for run, other in zip(own, theirs, strict=True)]
        rows.append(
            dict(
                flow=flow,
                num_recordings=len(own),
                accuracy=float(np.mean([run["mean_accuracy"] for run in own])),
                by_unit=paired_difference(*pooled),
                by_recording=paired_difference(by_recording, np.zeros(len(by_recording))),
                false_units=float(np.mean([run["counts"]["num_false_positive"] for run in own])),
                lost_large=int(sum(run["counts"]["num_lost_large"] for run in own)),
                cpu_s=float(np.mean([run["cpu_s"] for run in own])),
            )
        )
    return rows


def table(rows: list[dict]) -> dict:
    """The summary as a table."""
    columns = ["flow", "accuracy", "minus classical, paired by unit", "false units", "lost large units", "CPU-s"]
    caption = "Mean accuracy over all true units; the interval is one of 95 %."
    return dict(
        caption=caption,
        columns=columns,
        rows=[
            [
                row["flow"],
                f"{row['accuracy']:.3f}",
                "{difference:+.4f} [{low:+.4f}, {high:+.4f}]".format(**row["by_unit"]),
                f"{row['false_units']:.1f}",
                row["lost_large"],
                f"{row['cpu_s']:.1f}",
            ]
            for row in rows
        ],
    )


def main() -> None:
    """Run what is missing and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", nargs="+", default=list(RECORDINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[201, 202, 203])
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--flows", nargs="+", default=list(FLOWS)[:4], choices=FLOWS)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    head = dict(**provenance(seeds=options.seeds), duration_s=options.duration_s)
    earlier = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    runs = earlier.get("runs", []) if earlier.get("commit") == head["commit"] else []
    for seed in options.seeds:
        for name in options.recordings:
            for flow in options.flows:
                if any((run["recording"], run["seed"], run["flow"]) == (name, seed, flow) for run in runs):
                    continue
                runs.append(sort_once(name, seed, options.duration_s, flow))
                print(name, seed, flow, round(runs[-1]["mean_accuracy"], 3), runs[-1]["counts"], flush=True)
                rows = summary(runs)
                write_results(head | dict(summary=rows, tables={"ablation": table(rows)}, runs=runs), options.json)


if __name__ == "__main__":
    main()
