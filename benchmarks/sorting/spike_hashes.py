"""
Hash the spike trains of short recordings: a change that only moves code must leave every hash as it is.

`python benchmarks/sorting/spike_hashes.py [FILE.json]` sorts the recordings below with one thread and prints a SHA-256
hash of each spike vector. If FILE.json holds hashes of an earlier version, the exit status is 1 when a hash differs;
otherwise the hashes are written to it. Templates are generated, so that the script needs no other data.
"""

import hashlib
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from spikeinterface.sorters import run_sorter
from threadpoolctl import threadpool_limits

import si_deepsort  # noqa: F401
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording

# Seed of the recordings.
SEED = 1
# Name of the recording, its duration in s, and settings of the sorter.
CASES = {
    "tetrode": ("tetrode_generated", 30.0, {}),
    "linear32": ("linear32_generated", 30.0, {}),
    "linear32 autoencoder, dbscan": ("linear32_generated", 20.0, dict(embedding="autoencoder", clustering="dbscan")),
    "linear32 cnn, no matching": ("linear32_generated", 20.0, dict(detection="cnn", matching=None)),
    "drift": ("neuropixels2_drift_generated", 40.0, {}),
}


def spike_hash(name: str, duration_s: float, settings: dict, folder: Path) -> dict:
    """Sort a recording; return the number of units and spikes and the hash of the spike vector."""
    recording, _ = ground_truth_recording(name, seed=SEED, duration_s=duration_s)
    sorting = run_sorter("deepsort", recording, folder=folder, job_kwargs=dict(n_jobs=1), **settings)
    spikes = sorting.to_spike_vector()
    columns = [np.ascontiguousarray(spikes[field], dtype="int64") for field in ("segment_index", "sample_index")]
    columns.append(np.ascontiguousarray(spikes["unit_index"], dtype="int64"))
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
    return dict(units=len(sorting.unit_ids), spikes=len(spikes), sha256=digest)


def main():
    """Sort all cases, print their hashes, and compare or write them."""
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    warnings.simplefilter("ignore")
    hashes = provenance(seeds=[SEED])
    for case, (name, duration_s, settings) in CASES.items():
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
            hashes[case] = spike_hash(name, duration_s, settings, Path(folder) / "out")
        print(case, hashes[case], flush=True)
    if len(sys.argv) > 1:
        file = Path(sys.argv[1])
        if file.exists():
            before = json.loads(file.read_text(encoding="utf-8"))
            different = [case for case in CASES if before.get(case) != hashes[case]]
            print("different:", different or "none")
            sys.exit(bool(different))
        file.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
