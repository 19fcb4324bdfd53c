"""
Known units: learn from the first third of a recording, sort the rest with it, and compare with the default.

    python benchmarks/sorting/known_units.py --json benchmarks/results/known_units.json
        [--recordings tetrode plain] [--seeds 201 202] [--duration 45] [--labelled-share 1] [--folder FOLDER]

Accuracy is SpikeInterface's, with the true units of the rest: 0 for a unit that no found unit matches by half. With a
`--labelled-share` below 1, only this share of the units is labelled, and the others have to be found as new ones.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter

from si_deepsort import train_classifier
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.report import markdown_table, write_results
from si_deepsort.benchmarking.score import bootstrap_interval
from si_deepsort.training.classification.train import ClassifierTrainingSettings

RECORDINGS = ("tetrode", "linear32", "neuropixels1", "plain")
LABELLED_PART = 1 / 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", nargs="+", default=list(RECORDINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202, 203])
    parser.add_argument("--duration", type=float, default=45.0, help="s of a recording, labelled part included")
    parser.add_argument("--labelled-share", type=float, default=1.0, help="share of the units that is labelled")
    parser.add_argument("--folder", type=Path, help="where recordings are kept; the user's cache folder by default")
    parser.add_argument("--json", help="file for the results")
    arguments = parser.parse_args()
    rows, origin = [], provenance(seeds=arguments.seeds)  # before results make the checkout differ from its commit
    for name in arguments.recordings:
        for seed in arguments.seeds:
            rows.append(study(name, seed, arguments))
            print(rows[-1], file=sys.stderr, flush=True)
            if arguments.json:
                write_results(make_document(rows, arguments, origin), arguments.json)
    for table in make_document(rows, arguments, origin)["tables"].values():
        print(markdown_table(table))


def study(name: str, seed: int, arguments) -> dict:
    """Scores of the default and of known units on one recording."""
    recording, truth = ground_truth_recording(name, seed, arguments.duration, cache=arguments.folder)
    border = round(LABELLED_PART * recording.get_num_frames())
    first, rest = recording.frame_slice(0, border), recording.frame_slice(border, recording.get_num_frames())
    labels, truth = truth.frame_slice(0, border), truth.frame_slice(border, recording.get_num_frames())
    num_labelled = max(1, round(arguments.labelled_share * len(truth.unit_ids)))
    chosen = np.random.default_rng(seed).permutation(truth.unit_ids)[:num_labelled]
    labels = labels.select_units([unit for unit in truth.unit_ids if unit in set(chosen)])
    row = {"recording": name, "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        quiet = ClassifierTrainingSettings(seed=seed, progress_bar=False, device="cpu")
        model = train_classifier(first, labels, folder=Path(folder) / "model", settings=quiet)
        row["training_cpu_s"] = time.process_time() - start
        known_ids = model.info.settings["unit_ids"]
        for method, options in (("default", {}), ("known", {"classifier": model})):
            start = time.process_time()
            sorting = run_sorter(
                "deepsort", rest, folder=Path(folder) / method, job_kwargs=dict(n_jobs=1, progress_bar=False), **options
            )
            row[f"{method}_cpu_s"] = time.process_time() - start
            row |= {f"{method}_{key}": value for key, value in score(truth, sorting, known_ids, method).items()}
    return row


def score(truth: si.BaseSorting, sorting: si.BaseSorting, known_ids: list, method: str) -> dict:
    """Mean accuracy, accuracy of known units, false units, and spikes of known units that are called new."""
    known_ids = [unit for unit in truth.unit_ids if str(unit) in set(map(str, known_ids))]
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    accuracies = comparison.get_performance()["accuracy"].astype(float)
    scores = {
        "accuracy": float(accuracies.mean()),
        "accuracy_known": float(accuracies.loc[known_ids].mean()),
        "num_false": len(comparison.get_false_positive_units()),
    }
    if method == "known":
        new = [unit for unit in sorting.unit_ids if str(unit) not in set(map(str, known_ids))]
        counts = comparison.match_event_count.loc[known_ids, new].to_numpy().sum()
        num_spikes = sum(len(truth.get_unit_spike_train(unit)) for unit in known_ids)
        named = [unit for unit in sorting.unit_ids if str(unit) in set(map(str, known_ids))]
        best = comparison.best_match_21
        right = [unit for unit in named if str(best.get(unit, "")) == str(unit)]
        scores |= {"called_new": float(counts / num_spikes), "num_named": len(named), "num_named_right": len(right)}
    return scores


def make_document(rows: list[dict], arguments, origin: dict) -> dict:
    """Results, with the commit, command, seeds and machine that made them."""
    return {
        **origin,
        "duration_s": arguments.duration,
        "labelled_share": arguments.labelled_share,
        "results": rows,
        "tables": {"known_units": make_table(rows)},
    }


def make_table(rows: list[dict]) -> dict:
    """Accuracies by recording, and the paired difference over all of them with its interval."""
    table = [make_row(name, [row for row in rows if row["recording"] == name]) for name in names_of(rows)]
    table.append(make_row("all", rows))
    differences = [row["known_accuracy"] - row["default_accuracy"] for row in rows]
    low, high = bootstrap_interval(differences) if len(differences) > 1 else (np.nan, np.nan)
    caption = (
        f"Units labelled in the first third, the rest sorted. Known minus default: {np.mean(differences):.3f} "
        f"[{low:.3f}, {high:.3f}] over {len(rows)} recordings (95 %)."
    )
    columns = ["recording", "default", "with known units", "false units, default", "false units, known", "called new"]
    return {"columns": columns, "rows": table, "caption": caption}


def names_of(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["recording"] for row in rows))


def make_row(name: str, rows: list[dict]) -> list[str]:
    means = {key: np.mean([row[key] for row in rows]) for key in rows[0] if key not in ("recording", "seed")}
    return [
        name,
        f"{means['default_accuracy']:.3f}",
        f"{means['known_accuracy']:.3f}",
        f"{means['default_num_false']:.1f}",
        f"{means['known_num_false']:.1f}",
        f"{means['known_called_new']:.1%}",
    ]


if __name__ == "__main__":
    main()
