"""
Sort generated recordings that the training of the assessor did not see, for the calibration of its intervals.

    python benchmarks/assessment/calibration_examples.py --folder FOLDER [--seeds 11-11] [--kinds NAME,NAME]

Kinds are those of the training, whose seeds end at 4 (`make_examples.py`); all templates are generated, so that the
weights may be shared, and none is one of the recordings by which `assess.py` measures. Each recording is sorted by
deepsort, and by lupin or spykingcircus2. An interrupted run goes on where it stopped.
"""

import argparse
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from make_examples import PEERS, sorted_spikes
from simple_recordings import SIMPLE_KINDS, simple_recording

from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.training.assessment.examples import make_all_examples

NAMES = (
    "crowded_linear32",
    "synchronous_small_generated",
    "plain",
    "synchronous_dense_generated",
    "linear32_generated",
    "bursting_generated",
    "crowded_tetrode",
    "tetrode_generated",
)
DURATION_S = 30.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", default="11-11", help="first and last seed")
    parser.add_argument("--kinds", default=",".join((*NAMES, *SIMPLE_KINDS)), help="names of recordings")
    parser.add_argument("--cpu-s", type=float, default=np.inf, help="stop after so many CPU seconds")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    first, last = map(int, options.seeds.split("-"))
    for seed in range(first, last + 1):
        for number, name in enumerate((*NAMES, *SIMPLE_KINDS)):
            if time.process_time() > options.cpu_s:
                return
            if name in options.kinds.split(","):
                make_one(name, seed, PEERS[(number + seed) % len(PEERS)], options.folder)


def make_one(name: str, seed: int, peer: str, folder: Path):
    """Examples of one recording, sorted by deepsort and by one other sorter."""
    case = f"{name}-{seed}-{DURATION_S:g}"
    if (folder / "done" / case).exists():
        return
    recording, truth = (simple_recording if name in SIMPLE_KINDS else ground_truth_recording)(name, seed, DURATION_S)
    if name in SIMPLE_KINDS:
        # Sorters take recordings from disk alone.
        recording = recording.save(folder=folder / "recordings" / case, overwrite=True)
    elif recording.get_annotation("templates_origin") != "generated":
        raise ValueError(f"{name} is not generated here, and its templates may not be used for what is shipped.")
    sortings = {}
    for sorter in ("deepsort", peer):
        found = sorted_spikes(recording, sorter, folder / "sortings" / case / sorter, False, seed)
        if found is not None:
            sortings[sorter] = found
    make_all_examples(recording, truth, sortings, folder / "examples", name=case, num_degraded=0, seed=seed)
    shutil.rmtree(folder / "recordings" / case, ignore_errors=True)
    (folder / "done").mkdir(exist_ok=True)
    (folder / "done" / case).touch()
    print(f"{case}: {time.process_time():.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
