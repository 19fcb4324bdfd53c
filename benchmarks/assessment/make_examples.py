"""
Sort generated recordings and make the examples that the assessor is trained on.

    python benchmarks/assessment/make_examples.py --folder FOLDER [--cpu-s 3600]

Templates of detailed neuron models and of real units may not be used for weights that are shipped, so that every
recording is generated: by this package, and by SpikeInterface (`simple_recordings.py`). Each is sorted by deepsort,
short ones by lupin or spykingcircus2 too, and some by both; tridesclous2 stays unseen. True sortings with known faults
are added, which cost no sorter. An interrupted run goes on where it stopped.
"""

import argparse
import json
import shutil
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from simple_recordings import SIMPLE_KINDS, simple_recording

from si_deepsort.benchmarking.peers import default_params, run_peer
from si_deepsort.benchmarking.recipes import RECIPES
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.repeatable import unseeded_generators_seeded
from si_deepsort.training.assessment.examples import make_all_examples

NAMES = (
    "crowded_linear32",
    "synchronous_small_generated",
    "crowded_tetrode",
    "plain",
    "synchronous_dense_generated",
    "tetrode_generated",
    "linear32_generated",
    "bursting_generated",
    "small_generated",
    "crowded_neuropixels1",
    "independent_dense_generated",
    "changing_generated",
    "neuropixels1_generated",
    "four_shanks",
    "rates_generated",
    "artefacts_generated",
    "neuropixels2_generated",
    "linear32_simulated_noise",
    "neuropixels2_drift_generated",
    "dense_generated",
    "jumps_generated",
)
# Durations in s, of which each recording has one.
DURATIONS_S = (20, 40, 30, 15, 60)
PEERS = ("lupin", "spykingcircus2")
# Recordings up to this duration in s are sorted by a peer as well, which takes longer than deepsort.
MOST_PEER_S = 15
# Recordings and seeds that both peers sort, whatever their duration: crowds, small units and rare neurons, where peers
# keep units of a few spikes and of far neurons.
SORTED_BY_BOTH = {
    ("crowded_linear32", 1),
    ("rates_generated", 1),
    ("small_generated", 1),
    ("crowded_neuropixels1", 1),
    ("artefacts_generated", 1),
    ("synchronous_small_generated", 2),
}
# Seeds of the recordings of SpikeInterface's generator, of which the first ones are sorted by one peer, too.
SIMPLE_SEEDS, SIMPLE_PEER_SEEDS = range(1, 5), range(1, 2)
# Sortings with known faults of each recording.
NUM_DEGRADED = 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", default="1-20", help="first and last seed")
    parser.add_argument("--only-simple", action="store_true", help="recordings of SpikeInterface's generator alone")
    parser.add_argument("--cpu-s", type=float, default=np.inf, help="stop after so many CPU seconds")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    for seed in SIMPLE_SEEDS:
        for number, name in enumerate(SIMPLE_KINDS):
            if time.process_time() > options.cpu_s:
                return
            peers = PEERS[(number + seed) % len(PEERS) :][:1] if seed in SIMPLE_PEER_SEEDS else ()
            make_one(
                name, seed, DURATIONS_S[(number + 2 * seed) % len(DURATIONS_S)], ("deepsort", *peers), options.folder
            )
    if options.only_simple:
        return
    first, last = map(int, options.seeds.split("-"))
    for seed in range(first, last + 1):
        for number, name in enumerate(NAMES):
            if time.process_time() > options.cpu_s:
                return
            duration_s = DURATIONS_S[(number + 2 * seed) % len(DURATIONS_S)]
            peers = PEERS[(number + seed) % len(PEERS) :][:1] if duration_s <= MOST_PEER_S else ()
            if (name, seed) in SORTED_BY_BOTH:
                peers = PEERS
            sorters = ("deepsort", *peers)
            make_one(name, seed, duration_s, sorters, options.folder)


def make_one(name: str, seed: int, duration_s: float, sorters: tuple[str, ...], folder: Path):
    """Examples of one recording; a sorter that fails is left out."""
    case = f"{name}-{seed}-{duration_s}"
    if (folder / "examples" / f"{case}.degraded{NUM_DEGRADED - 1}.npz").exists():
        return
    is_simple = name in SIMPLE_KINDS
    recording, truth = (simple_recording if is_simple else ground_truth_recording)(name, seed, float(duration_s))
    if not is_simple and recording.get_annotation("templates_origin") != "generated":
        raise ValueError(f"{name} is not generated here, and its templates may not be used to train what is shipped.")
    if is_simple:
        # Sorters take recordings from disk alone.
        recording = recording.save(folder=folder / "recordings" / case, overwrite=True)
    drifts = not is_simple and RECIPES[name].drift_um > 0
    sortings = {}
    for sorter in sorters:
        found = sorted_spikes(recording, sorter, folder / "sortings" / case / sorter, drifts, seed)
        if found is not None:
            sortings[sorter] = found
    make_all_examples(recording, truth, sortings, folder / "examples", name=case, num_degraded=NUM_DEGRADED, seed=seed)
    shutil.rmtree(folder / "recordings" / case, ignore_errors=True)
    print(f"{case}: {time.process_time():.0f} CPU s", flush=True)


def sorted_spikes(recording, sorter: str, folder: Path, drift: bool, seed: int):
    """Spike vector and number of units, from an earlier run or a new one; None if the sorter fails."""
    file, failed = folder / "sorting.npz", folder / "failed.json"
    if failed.exists():
        return None
    if not file.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with unseeded_generators_seeded(seed):
                sorting = run_peer(sorter, recording, folder / "run", **default_params(sorter, drift=drift))
        except Exception:
            failed.write_text(json.dumps(traceback.format_exc()[-2000:]), encoding="utf-8")
            return None
        np.savez(file, spikes=sorting.to_spike_vector(), num_units=len(sorting.unit_ids))
        shutil.rmtree(folder / "run", ignore_errors=True)
    stored = np.load(file)
    num_units = stored["num_units"] if "num_units" in stored else len(stored["unit_ids"])
    return stored["spikes"], int(num_units)


if __name__ == "__main__":
    main()
