"""
The bundled detectors on a real single channel, and their speed: `python benchmarks/detection/detection_real.py --json
FILE`.

The channel (20 kHz, 40 s) has one expert-sorted unit with positive-going spikes; no network was trained on it and
every threshold is the model's own. Threshold crossings at 5 noise levels are shown beside them. Detections of other,
unlabelled units count as wrong; "standing out" leaves them out by the heights of the channel's own events, without
labels (`find_peaks(only_standing_out=True)`). That rule was devised with these trials in view: its rows are no held-out
result.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe

TOLERANCE_MS = 0.5
# Seed of the generated recordings on which the speed is measured.
SPEED_SEED = 9
QUIET = dict(progress_bar=False, n_jobs=1)


def starling(folder: Path):
    """The recording (three segments) as it is and band-passed, and the labelled peaks of each segment."""
    data = np.load(folder / "starling_single_unit" / "trials_1_to_3.npz")
    frequency = float(data["fs"])
    traces = [data[f"trace_{trial}"][:, None].astype("float32") for trial in (1, 2, 3)]
    recording = si.NumpyRecording(traces, frequency)
    filtered = spre.bandpass_filter(recording, freq_min=150.0, freq_max=7000.0, dtype="float32")
    labels = [data[f"spike_samples_{trial}"] for trial in (1, 2, 3)]
    return {"as recorded": recording, "band-pass": filtered}, labels, frequency


def score(peaks, labels, frequency):
    """Recall of the labels and precision of the peaks."""
    found = correct = 0
    for segment, spikes in enumerate(labels):
        samples = peaks["sample_index"][peaks["segment_index"] == segment]
        near = np.abs(samples[:, None] - spikes[None]) <= TOLERANCE_MS * frequency / 1000
        found += int(near.any(axis=0).sum())
        correct += min(int(near.any(axis=1).sum()), int(near.any(axis=0).sum()))
    num_labels = sum(map(len, labels))
    return dict(
        recall=round(found / num_labels, 4),
        precision=round(correct / max(len(peaks), 1), 4),
        num_peaks=len(peaks),
        num_labels=num_labels,
    )


def speed(method: str, layout: str, duration_s: float):
    """CPU seconds per recorded second of a band-passed 30 kHz recording, its noise level measured in the same time."""
    recording, _ = generate_recording(
        named_probe(layout),
        GenerationSettings(duration_s=duration_s, num_units=5 if layout == "single" else 26, seed=SPEED_SEED),
    )
    recording = spre.bandpass_filter(recording, freq_min=150.0, freq_max=7000.0, dtype="float32")
    recording = recording.save(format="memory", progress_bar=False)
    find_peaks(recording.frame_slice(0, 30_000), method=method, job_kwargs=QUIET)
    start = time.process_time()
    find_peaks(recording, method=method, job_kwargs=QUIET)
    return round((time.process_time() - start) / duration_s, 4)


def main():
    """Run everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path(__file__).parents[1] / "results" / "detection_real.json")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")))
    parser.add_argument("--methods", nargs="+", default=["cnn", "gru", "energy", "locally_exclusive"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    recordings, labels, frequency = starling(options.data)
    rows, speeds = [], []
    for method in options.methods:
        for name, recording in recordings.items():
            for only_standing_out in (False, True):
                peaks = find_peaks(recording, method=method, only_standing_out=only_standing_out, job_kwargs=QUIET)
                kept = "standing out" if only_standing_out else "all"
                rows.append(dict(method=method, traces=name, kept=kept, **score(peaks, labels, frequency)))
                print(rows[-1], flush=True)
        for layout, duration_s in (("single", 60.0), ("linear32", 20.0)):
            cost = speed(method, layout, duration_s)
            speeds.append(dict(method=method, layout=layout, cpu_s_per_recorded_s=cost))
            print(speeds[-1], flush=True)
    document = dict(
        **provenance(seeds=[SPEED_SEED]),
        tolerance_ms=TOLERANCE_MS,
        results=rows,
        speed=speeds,
        tables={
            "detection_real": dict(
                columns=["detector", "traces", "events kept", "recall", "precision"],
                rows=[[row["method"], row["traces"], row["kept"], row["recall"], row["precision"]] for row in rows],
            ),
            "detection_speed": dict(
                columns=["detector", "probe", "CPU-s per recorded s"],
                rows=[[row["method"], row["layout"], row["cpu_s_per_recorded_s"]] for row in speeds],
            ),
        },
    )
    write_results(document, options.json)


if __name__ == "__main__":
    main()
