"""
Neurons whose spikes shrink in bursts or change slowly: does each of them become one unit?

`python benchmarks/sorting/one_neuron_one_unit.py` writes benchmarks/results/one_neuron_one_unit.json. The real
recording is of one Purkinje cell, whose spikes are known from a threshold. It is read from the folder in
SI_DEEPSORT_DATA (default ../shared/data), is used for evaluation only, and is left out if it is not there. The others
are generated.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe
from scipy.signal import find_peaks
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.coincidence import coincidences, one_to_one
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.score import score_sorting
from si_deepsort.noise import MAD_TO_SD

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))
SAMPLING_FREQUENCY = 15_000.0
# A true spike is a trough deeper than this many median absolute deviations, one within so many ms.
TRUE_MADS, TRUE_MS = 10.0, 3.0
# A unit's spike is true if it lies this close to a true one, after the constant lag of the unit is taken out, in ms.
SAME_MS, MOST_LAG_MS = 0.4, 1.5
# Standard deviation of the white noise that is added, relative to the noise level of the recording.
ADDED_NOISE = (0.0, 0.05)


def purkinje_cell(added_noise: float, seed: int):
    """The recording of one cell, and the frames of its spikes."""
    trace = np.fromfile(DATA / "purkinje_cell_attached" / "purkinje_cell_attached.raw", dtype="float32")
    trace -= np.median(trace)
    deviation = np.median(np.abs(trace))
    frames, _ = find_peaks(-trace, height=TRUE_MADS * deviation, distance=round(TRUE_MS * SAMPLING_FREQUENCY / 1000))
    noise = np.random.default_rng(seed).standard_normal(len(trace)).astype("float32")
    noisy = trace + added_noise * MAD_TO_SD * deviation * noise
    recording = si.NumpyRecording([noisy[:, None]], SAMPLING_FREQUENCY)
    probe = Probe(ndim=2)
    probe.set_contacts([[0, 0]])
    probe.set_device_channel_indices([0])
    recording.set_probe(probe)
    return recording, frames


def recall_and_precision(frames: np.ndarray, true_frames: np.ndarray) -> tuple[float, float]:
    """Recall and precision of a unit, whose spike times may have a lag from the true ones, the same for all."""
    if len(frames) == 0:
        return 0.0, 0.0
    spike, true = coincidences(frames, true_frames, round(MOST_LAG_MS * SAMPLING_FREQUENCY / 1000))
    lags = frames[spike] - true_frames[true]
    lag = round(np.median(lags)) if len(lags) else 0
    is_same = np.abs(lags - lag) <= round(SAME_MS * SAMPLING_FREQUENCY / 1000)
    spike, true, apart = spike[is_same], true[is_same], np.abs(lags - lag)[is_same]
    pairs, _ = one_to_one(true, spike, apart, owners=np.zeros(len(frames), dtype=int))
    return len(pairs) / len(true_frames), len(pairs) / len(frames)


def measure_cell(added_noise: float, seed: int, folder: Path) -> dict:
    """Units that one cell becomes, the largest recall and its precision, and what all units find together."""
    recording, true_frames = purkinje_cell(added_noise, seed)
    saved = recording.save(folder=folder / "recording", verbose=False)
    sorting = run_sorter("deepsort", saved, folder=folder / "sorting")
    trains = [sorting.get_unit_spike_train(unit).astype(int) for unit in sorting.unit_ids]
    scores = [recall_and_precision(frames, true_frames) for frames in trains]
    recall, precision = max(scores, default=(0.0, 0.0))
    return {
        "recording": "Purkinje cell, real",
        "added_noise": added_noise,
        "duration_s": round(recording.get_total_duration(), 1),
        "seed": seed,
        "neurons": 1,
        "units": len(trains),
        "fragments": len(trains) - 1,
        "recall": round(recall, 4),
        "precision": round(precision, 4),
        "spikes": [len(frames) for frames in trains],
        "recall_and_precision": [[round(value, 4) for value in score] for score in scores],
    }


def measure_generated(name: str, seed: int, duration_s: float, folder: Path) -> dict:
    """Accuracy, and false units that are made of spikes of one neuron."""
    recording, truth = ground_truth_recording(name, seed, duration_s)
    sorting = run_sorter("deepsort", recording, folder=folder / "sorting")
    score = score_sorting(truth, sorting)
    counts, units = score["counts"], score["units"]
    return {
        "recording": name,
        "added_noise": 0.0,
        "duration_s": duration_s,
        "seed": seed,
        "neurons": len(truth.unit_ids),
        "units": len(sorting.unit_ids),
        "fragments": counts["num_fragments"],
        "false": counts["num_false_positive"],
        "lost_large": counts["num_lost_large"],
        "accuracy": round(score["mean_accuracy"], 4),
        "recall": round(float(np.mean(units["recall"])), 4),
        "precision": round(float(np.mean(units["precision"])), 4),
    }


def as_table(records: list[dict]) -> dict:
    """The table of the README."""
    columns = {
        "recording": "recording",
        "duration_s": "s",
        "seed": "seed",
        "added_noise": "noise added",
        "neurons": "neurons",
        "units": "units",
        "fragments": "fragments",
        "recall": "recall",
        "precision": "precision",
    }
    rows = [[record.get(key) for key in columns] for record in records]
    caption = "Neurons whose spikes change; recall and precision of the best unit of each, on average:"
    return dict(caption=caption, columns=list(columns.values()), rows=rows)


def main():
    """Sort, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", nargs="*", default=["bursting", "changing"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--durations", type=float, nargs="+", default=[15.0, 30.0, 60.0], help="in s")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "one_neuron_one_unit.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    cases = []
    if DATA.exists():
        cases += [(measure_cell, (noise, seed)) for noise in ADDED_NOISE for seed in arguments.seeds[: 1 + (noise > 0)]]
    cases += [
        (measure_generated, (name, seed, duration_s))
        for name in arguments.recordings
        for seed in arguments.seeds
        for duration_s in arguments.durations
    ]
    records = []
    for measure, values in cases:
        with tempfile.TemporaryDirectory() as folder:
            records.append(measure(*values, Path(folder)))
        print(records[-1], flush=True)
        document = dict(
            **provenance(seeds=arguments.seeds),
            sorter=si_deepsort.DEEPSORT,
            records=records,
            tables={"one-neuron-one-unit": as_table(records)},
        )
        write_results(document, arguments.json)


if __name__ == "__main__":
    main()
