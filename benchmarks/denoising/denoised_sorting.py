"""
Does denoising help sorting? `python benchmarks/denoising/denoised_sorting.py --out
benchmarks/results/denoised_sorting.json`.

Units are not of the generator that the sorter's detector was made from (`foreign_templates`). The same recordings, raw
and denoised, go through the same sorters with their defaults. The difference in accuracy is paired: per recording,
denoised minus raw; its interval comes from resampling recordings.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_linear_probe, generate_tetrode
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.foreign_templates import foreign_templates
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.generation import GenerationSettings, generate_recording
from si_deepsort.preprocessing import deep_interpolate, wavelet_denoise

DENOISERS = {
    "raw": lambda recording: recording,
    "interpolator-any, blend auto": lambda recording: deep_interpolate(recording),
    "interpolator-any, blend 0.3": lambda recording: deep_interpolate(recording, blend=0.3),
    "interpolator-any, blend 0.0": lambda recording: deep_interpolate(recording, blend=0.0),
    "wavelets": lambda recording: wavelet_denoise(recording),
}


def make_recording(layout: str, seed: int, duration_s: float):
    """A lazy recording and its true sorting."""
    probe = generate_tetrode() if layout == "tetrode" else generate_linear_probe(16, ypitch=25.0)
    settings = GenerationSettings(
        duration_s=duration_s,
        num_units=5 if layout == "tetrode" else 12,
        num_far_units=10,
        firing_rate_min=2.0,
        firing_rate_max=15.0,
        seed=30_000 + seed,
    )
    units = foreign_templates(probe, settings.num_units, seed=settings.seed)
    return generate_recording(probe, settings, templates_uV=units.templates_uV, nbefore=units.nbefore)


def saved(folder: Path, make):
    """What was saved in the folder, or what `make` gives, saved."""
    if not folder.exists():
        make().save(folder=folder, verbose=False, progress_bar=False)
    return si.load(folder)


def accuracy(sorter: str, recording, truth) -> tuple[float, float]:
    """Mean accuracy over the true units, and CPU-seconds."""
    start = time.process_time()
    sorting = run_sorter(sorter, recording, folder=Path(tempfile.mkdtemp()) / "out", verbose=False)
    cpu_s = time.process_time() - start
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    return float(comparison.get_performance(output="dataframe")["accuracy"].mean()), cpu_s


def paired_changes(rows: list[dict]) -> dict[str, dict]:
    """Sorter -> denoiser -> change in accuracy against raw, with a 95 % bootstrap interval over recordings."""
    found = {(row["sorter"], row["denoiser"], row["layout"], row["seed"]): row["accuracy"] for row in rows}
    changes: dict[str, dict] = {}
    for sorter, denoiser in dict.fromkeys(key[:2] for key in found):
        pairs = [
            (value, found[sorter, "raw", *key[2:]])
            for key, value in found.items()
            if key[:2] == (sorter, denoiser) and (sorter, "raw", *key[2:]) in found
        ]
        if pairs:
            after, before = np.array(pairs).T
            drawn = np.random.default_rng(0).integers(0, len(pairs), (5000, len(pairs)))
            low, high = np.percentile((after - before)[drawn].mean(axis=1), [2.5, 97.5])
            change = dict(value=float((after - before).mean()), low=float(low), high=float(high))
            changes.setdefault(sorter, {})[denoiser] = dict(num=len(pairs), accuracy=float(after.mean()), **change)
    return changes


def paired_table(changes: dict[str, dict]) -> dict:
    """The changes as a table for the README."""
    table = []
    for sorter, denoisers in changes.items():
        for denoiser, found in denoisers.items():
            change = "" if denoiser == "raw" else "{value:+.3f} ({low:+.3f} to {high:+.3f})".format(**found)
            table.append([sorter, denoiser, found["num"], f"{found['accuracy']:.3f}", change])
    columns = ["sorter", "traces", "recordings", "accuracy", "change (95 % interval)"]
    return {"denoised-sorting": {"columns": columns, "rows": table}}


def main():
    """Parse the command line and run; what the output file already holds is not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/denoised_sorting.json"))
    parser.add_argument("--sorters", default="lupin,spykingcircus2,deepsort")
    parser.add_argument("--denoisers", default="|".join(DENOISERS))
    parser.add_argument("--layouts", default="tetrode,linear16")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.mkdtemp()), help="keeps the recordings")
    parser.add_argument("--duration-s", type=float, default=40.0)
    arguments = parser.parse_args()
    si_deepsort.register()
    document = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {"rows": []}
    document |= provenance(seeds=[int(seed) for seed in arguments.seeds.split(",")], earlier=document)
    done = {(row["sorter"], row["denoiser"], row["layout"], row["seed"]) for row in document["rows"]}
    for seed in map(int, arguments.seeds.split(",")):
        for layout in arguments.layouts.split(","):
            lazy, truth = make_recording(layout, seed, arguments.duration_s)
            folder = arguments.folder / f"{layout}-{seed}-{arguments.duration_s:g}"
            recording = saved(folder / "recording", lambda lazy=lazy: lazy)
            for denoiser in arguments.denoisers.split("|"):
                wanted = [s for s in arguments.sorters.split(",") if (s, denoiser, layout, seed) not in done]
                if not wanted:
                    continue
                name = denoiser.replace(" ", "-").replace(",", "")
                denoised = saved(folder / name, lambda name=denoiser, raw=recording: DENOISERS[name](raw))
                for sorter in wanted:
                    value, cpu_s = accuracy(sorter, denoised, truth)
                    row = dict(sorter=sorter, denoiser=denoiser, layout=layout, seed=seed, accuracy=value, cpu_s=cpu_s)
                    print(row, flush=True)
                    document["rows"].append(row)
                    document["changes"] = paired_changes(document["rows"])
                    document["tables"] = paired_table(document["changes"])
                    write_results(document, arguments.out)


if __name__ == "__main__":
    main()
