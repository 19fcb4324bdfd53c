"""
Neurons between the shanks of a probe: deepsort beside lupin on four shanks of eight contacts, 200 um apart.

`python benchmarks/sorting/shanks.py` writes benchmarks/results/shanks.json. The recordings are of SpikeInterface's
generator, whose neurons lie anywhere, and are often seen on two shanks.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_multi_shank
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core.generate import generate_ground_truth_recording
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results

ROOT = Path(__file__).parents[2]
SEEDS = (201, 202, 203)
NUM_SHANKS, CONTACTS_PER_SHANK, PITCH_UM = 4, 8, 200.0
NUM_UNITS, DURATION_S, RATE = 24, 30.0, 30_000.0


def four_shanks(seed: int) -> tuple[si.BaseRecording, si.BaseSorting]:
    """A recording with neurons between the shanks, and their spikes."""
    probe = generate_multi_shank(
        num_shank=NUM_SHANKS, num_columns=2, num_contact_per_column=CONTACTS_PER_SHANK // 2, shank_pitch=(PITCH_UM, 0)
    )
    probe.set_device_channel_indices(np.arange(NUM_SHANKS * CONTACTS_PER_SHANK))
    return generate_ground_truth_recording(
        durations=[DURATION_S], num_units=NUM_UNITS, seed=seed, sampling_frequency=RATE, probe=probe
    )


def measure(seed: int, sorter: str, folder: Path) -> dict:
    """Accuracy, false units and CPU time of a sorter."""
    recording, truth = four_shanks(seed)
    saved, begun = recording.save(folder=folder / "recording", verbose=False), time.process_time()
    sorting = run_sorter(sorter, saved, folder=folder / "sorted")
    cpu_s = time.process_time() - begun
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    return dict(
        seed=seed,
        sorter=sorter,
        true_units=NUM_UNITS,
        units=len(sorting.unit_ids),
        accuracy=round(float(comparison.get_performance()["accuracy"].astype(float).mean()), 4),
        false_units=len(comparison.get_false_positive_units()),
        cpu_s=round(cpu_s, 1),
    )


def as_table(results: list[dict], sorters: list[str]) -> dict:
    """One row for each sorter, means over seeds."""
    rows = []
    for sorter in sorters:
        own = [one for one in results if one["sorter"] == sorter]
        if own:
            units, accuracy, false = (
                np.mean([one[key] for one in own]) for key in ("units", "accuracy", "false_units")
            )
            each = ", ".join(f"{one['accuracy']:.3f}" for one in own)
            rows.append([sorter, f"{accuracy:.3f}", each, f"{units:.1f}", f"{false:.1f}"])
    columns = ["sorter", "mean accuracy", "of each recording", "units", "false units"]
    caption = f"{NUM_SHANKS} shanks {PITCH_UM:g} um apart, {NUM_UNITS} neurons anywhere, {DURATION_S:g} s."
    return dict(caption=caption, columns=columns, rows=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sorters", nargs="*", default=["deepsort", "lupin"])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "shanks.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    results = []
    for seed in arguments.seeds:
        for sorter in arguments.sorters:
            with tempfile.TemporaryDirectory() as folder:
                results.append(measure(seed, sorter, Path(folder)))
            print(results[-1], flush=True)
    document = dict(
        **provenance(seeds=arguments.seeds),
        sorter=si_deepsort.DEEPSORT,
        records=results,
        tables={"shanks": as_table(results, arguments.sorters)},
    )
    write_results(document, arguments.json)


if __name__ == "__main__":
    main()
