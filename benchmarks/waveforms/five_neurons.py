"""
Five neurons on one noisy channel, learnt from one labelled recording: who fired when in five noisier recordings?

    python benchmarks/waveforms/five_neurons.py --json FILE [--seeds 0 1 2] [--methods subtraction networks]
    python benchmarks/waveforms/five_neurons.py --folder DIR

The first form makes a stand-in of the recordings from the waveforms in `ee32009_waveforms` and scores it. The second
reads `labelled.npz` (trace, sampling_frequency, spike_samples, spike_classes) and `target_*.npz` (trace,
sampling_frequency) from DIR and writes `target_*_spikes.npz` (spike_samples, spike_classes) there. Everything is tuned
on the labelled recording alone, with noise like each target's added to it; labels of a target are never seen.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from spikeinterface.core import NumpyRecording, NumpySorting

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import markdown_table, write_results
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import apply_front_end
from si_deepsort.known_units.assign import assign_peaks
from si_deepsort.known_units.unit_library import find_units, learn_units, remove_baseline, tune_threshold
from si_deepsort.noise import match_traces
from si_deepsort.training.classification.train import ClassifierTrainingSettings, train_classifier
from si_deepsort.training.detection.score import score_grid
from si_deepsort.training.detection.train import DetectorTrainingSettings, train_detector
from si_deepsort.training.detection.tune import EXCLUSIVE_TIMES_MS, THRESHOLDS

DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")) / "ee32009_waveforms"
FREQUENCY = 25_000.0
NUM_FRAMES = 1_440_000
RATES = (7.95, 7.66, 7.05, 7.71, 7.41)
ONSET = 20  # of a spike, in its template
LABELLED_NOISE = 0.30
NOISE = {"D2": 0.45, "D3": 0.65, "D4": 1.1, "D5": 1.6, "D6": 2.2}
WEIGHTS = {"D2": 0.1, "D3": 0.15, "D4": 0.2, "D5": 0.25, "D6": 0.3}
DRIFT = 2.0
TOLERANCE_FRAMES = 50
# Front end of the detector.
WHITEN = [{"name": "whiten", "params": {}}]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="recordings made elsewhere")
    parser.add_argument("--json", help="file for the results of the stand-in")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), default=["subtraction"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.folder is not None:
        run_folder(arguments.folder, METHODS[arguments.methods[0]])
    else:
        run_stand_in(arguments)


def find_by_subtraction(labelled: dict, targets: dict, seed: int = 0) -> dict:
    """Templates, a threshold for each target's noise, and a search over overlapping pairs; the default."""
    classes, unit_indices = np.unique(labelled["spike_classes"], return_inverse=True)
    trace, frames = labelled["trace"][:, None], labelled["spike_samples"]
    library = learn_units(trace, frames, unit_indices, len(classes), labelled["sampling_frequency"])
    found = {}
    for name, target in targets.items():
        start = time.process_time()
        tuning = tune_threshold(
            library, trace, frames, unit_indices, target["trace"][:, None], tolerance_frames=TOLERANCE_FRAMES, seed=seed
        )
        spikes, units, _ = find_units(
            target["trace"][:, None], library, log_odds_threshold=tuning["log_odds_threshold"]
        )
        found[name] = {
            "spike_samples": spikes,
            "spike_classes": classes[units],
            "threshold": tuning["log_odds_threshold"],
            "f1_on_copy": tuning["f1"],
            "cpu_s": time.process_time() - start,
        }
    return found


def find_by_networks(labelled: dict, targets: dict, seed: int = 0) -> dict:
    """A detector and a classifier trained on copies with each target's noise; overlaps resolved by subtraction."""
    frequency = labelled["sampling_frequency"]
    classes, unit_indices = np.unique(labelled["spike_classes"], return_inverse=True)
    sorting = NumpySorting.from_samples_and_labels([labelled["spike_samples"]], [unit_indices], frequency)
    clean = remove_baseline(labelled["trace"][:, None], frequency)
    found = {}
    for name, target in targets.items():
        start = time.process_time()
        noisy = remove_baseline(target["trace"][:, None], frequency)
        copies = [
            NumpyRecording([smoothed(match_traces(clean, noisy, frequency, seed=seed + 100 * k))], frequency)
            for k in range(3)
        ]
        quiet = dict(seed=seed, progress_bar=False, device="cpu")
        detector = train_detector(
            copies[:2], [sorting] * 2, front_end=WHITEN, settings=DetectorTrainingSettings(num_epochs=4, **quiet)
        ).net
        classifier = train_classifier(
            copies[:2], [sorting] * 2, ms_after=2.0, settings=ClassifierTrainingSettings(num_epochs=12, **quiet)
        ).net
        choices = dict(thresholds=THRESHOLDS, exclusive_times_ms=EXCLUSIVE_TIMES_MS, tolerance_ms=1.0)
        best = max(
            score_grid(apply_front_end(copies[2], WHITEN), sorting, detector, **choices), key=lambda row: row["f1"]
        )
        recording = NumpyRecording([smoothed(noisy)], frequency)
        chosen = {name: best[name] for name in ("threshold", "exclusive_ms")}
        options = dict(as_candidates=True, job_kwargs=dict(progress_bar=False))
        peaks = find_peaks(recording, method=detector, **chosen, **options)["sample_index"]
        scaled = in_noise_levels(recording.get_traces())
        units, _ = assign_peaks(scaled, peaks, classifier, min_probability=0.0)
        kept = units >= 0
        unit_ids = np.asarray(classifier.info.settings["unit_ids"], dtype=int)
        found[name] = {
            "spike_samples": peaks[kept]
            - int(np.median(np.atleast_1d(classifier.info.settings["label_offset_frames"]))),
            "spike_classes": classes[unit_ids[units[kept]]],
            "threshold": best["threshold"],
            "cpu_s": time.process_time() - start,
        }
    return found


METHODS = {"subtraction": find_by_subtraction, "networks": find_by_networks}


def smoothed(traces):
    """A short average: spikes of these neurons last a millisecond and more, the noise is white."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.asarray(traces, dtype="float32"), 4.0, axis=0)


def in_noise_levels(traces):
    """Traces in robust noise levels, as the classifier takes them."""
    centered = traces - np.median(traces, axis=0)
    return centered / (1.4826 * np.median(np.abs(centered), axis=0))


def run_folder(folder: Path, method):
    labelled = read_recording(folder / "labelled.npz")
    missing = {"spike_samples", "spike_classes"} - set(labelled)
    if missing:
        raise SystemExit(f"{folder / 'labelled.npz'} lacks {sorted(missing)}.")
    files = [file for file in sorted(folder.glob("target_*.npz")) if not file.stem.endswith("_spikes")]
    if not files:
        raise SystemExit(f"{folder} holds no target_*.npz.")
    for file in files:
        target = read_recording(file)
        if not np.isclose(target["sampling_frequency"], labelled["sampling_frequency"]):
            raise SystemExit(f"{file} has another sampling rate than labelled.npz, expected the same.")
        spikes = method(labelled, {file.stem: target})[file.stem]
        out = file.with_name(f"{file.stem}_spikes.npz")
        np.savez(out, spike_samples=spikes["spike_samples"], spike_classes=spikes["spike_classes"])
        print(f"{out}: {len(spikes['spike_samples'])} spikes, {spikes['cpu_s']:.1f} CPU-s", flush=True)


def read_recording(file: Path) -> dict:
    """Arrays of an npz file; the trace has one dimension, the labels are integers."""
    with np.load(file, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    arrays["trace"] = np.asarray(arrays["trace"], dtype=float).ravel()
    arrays["sampling_frequency"] = float(arrays["sampling_frequency"])
    if "spike_samples" in arrays:
        arrays["spike_samples"] = arrays["spike_samples"].ravel().astype(int)
        arrays["spike_classes"] = arrays["spike_classes"].ravel().astype(int)
    return arrays


def run_stand_in(arguments):
    if not DATA.exists():
        raise SystemExit(f"{DATA} is missing; set SI_DEEPSORT_DATA to the folder that holds ee32009_waveforms.")
    templates = np.load(DATA / "templates_clean_globalz_5x64.npy").astype(float)
    rows = []
    for seed in arguments.seeds:
        labelled = make_recording(templates, LABELLED_NOISE, 0.5, [seed, 0])
        truth = {
            name: make_recording(templates, sd, DRIFT, [seed, k + 1]) for k, (name, sd) in enumerate(NOISE.items())
        }
        targets = {name: {key: each[key] for key in ("trace", "sampling_frequency")} for name, each in truth.items()}
        for method in arguments.methods:
            for name, spikes in METHODS[method](labelled, targets, seed).items():
                rows.append({"method": method, "seed": seed, "recording": name, **score(truth[name], spikes)})
                print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, file=sys.stderr)
    table = summarize(rows, arguments.methods, arguments.seeds)
    print(markdown_table(table))
    document = {
        **provenance(seeds=arguments.seeds),
        "results": rows,
        "tables": {"five-neurons": table},
    }
    if arguments.json:
        write_results(document, arguments.json)


def make_recording(templates, noise_sd: float, drift: float, seed) -> dict:
    """A recording of five Poisson neurons; a neuron never overlaps itself, neurons overlap each other freely."""
    rng = np.random.default_rng(seed)
    num_samples = templates.shape[1]
    trace = noise_sd * rng.standard_normal(NUM_FRAMES)
    spike_samples, spike_classes = [], []
    for index, (template, rate) in enumerate(zip(templates, RATES, strict=True)):
        starts = np.sort(rng.integers(0, NUM_FRAMES - num_samples, rng.poisson(rate * NUM_FRAMES / FREQUENCY)))
        starts = starts[np.diff(starts, prepend=-num_samples) >= num_samples]
        for start in starts:
            trace[start : start + num_samples] += template
        spike_samples.append(starts + ONSET)
        spike_classes.append(np.full(len(starts), index + 1))
    times = np.arange(NUM_FRAMES) / FREQUENCY
    for frequency in (0.1, 0.37, 0.9, 1.7):
        trace += drift * rng.uniform(0.3, 1.0) * np.sin(2 * np.pi * (frequency * times + rng.random()))
    frames, classes = np.concatenate(spike_samples), np.concatenate(spike_classes)
    order = np.argsort(frames, kind="stable")
    return {
        "trace": trace,
        "sampling_frequency": FREQUENCY,
        "spike_samples": frames[order],
        "spike_classes": classes[order],
    }


def score(truth: dict, found: dict) -> dict:
    """F1 of detection and of classes (end to end), matched one to one within 50 samples, same class first."""
    order = np.argsort(found["spike_samples"], kind="stable")
    samples, classes = found["spike_samples"][order], found["spike_classes"][order]
    true_samples, true_classes = truth["spike_samples"], truth["spike_classes"]
    first = np.searchsorted(samples, true_samples - TOLERANCE_FRAMES)
    number = np.searchsorted(samples, true_samples + TOLERANCE_FRAMES, side="right") - first
    i = np.repeat(np.arange(len(true_samples)), number)
    j = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[i]
    is_wrong = true_classes[i] != classes[j]
    free_true, free_found = np.ones(len(true_samples), bool), np.ones(len(samples), bool)
    hits = np.zeros(2, dtype=int)
    per_class = dict.fromkeys(np.unique(true_classes).tolist(), 0)
    for pair in np.lexsort((np.abs(true_samples[i] - samples[j]), is_wrong)):
        if free_true[i[pair]] and free_found[j[pair]]:
            free_true[i[pair]] = free_found[j[pair]] = False
            hits += (1, not is_wrong[pair])
            per_class[int(true_classes[i[pair]])] += not is_wrong[pair]
    total = max(1, len(true_samples) + len(samples))
    f_detect, f_class = 2 * hits / total
    macro = np.mean(
        [2 * hit / max(1, (true_classes == k).sum() + (classes == k).sum()) for k, hit in per_class.items()]
    )
    values = {"f_detect": f_detect, "f_class": f_class, "f_class_macro": macro, "score": 0.3 * f_detect + 0.7 * f_class}
    extra = {key: found[key] for key in ("threshold", "f1_on_copy", "cpu_s") if key in found}
    return {key: float(value) for key, value in (values | extra).items()}


def summarize(rows, methods, seeds) -> dict:
    table = []
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        mean = {
            n: {k: np.mean([r[k] for r in own if r["recording"] == n]) for k in ("f_detect", "f_class", "score")}
            for n in NOISE
        }
        finals = [sum(WEIGHTS[r["recording"]] * r["score"] for r in own if r["seed"] == seed) for seed in seeds]
        table.append(
            [
                method,
                f"{np.mean(finals):.3f}",
                f"{min(finals):.3f} to {max(finals):.3f}",
                *(f"{mean[n]['f_detect']:.3f} / {mean[n]['f_class']:.3f}" for n in NOISE),
                f"{np.mean([r['cpu_s'] for r in own]):.0f}",
            ]
        )
    columns = ["method", "final score", "over seeds", *(f"{n}, noise {sd}" for n, sd in NOISE.items())]
    caption = (
        "Five neurons on one channel, tuned on the labelled recording alone: final score (F = .3 detection + .7 class, "
        "weighted over recordings) and F1 of detection / of classes, per recording; CPU-seconds per recording of 58 s."
    )
    return {"columns": [*columns, "CPU-s"], "rows": table, "caption": caption}


if __name__ == "__main__":
    main()
