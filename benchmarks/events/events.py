"""
Miniature potentials: `python benchmarks/events/events.py --json benchmarks/results/events.json [--only PART ...]`.

Whole recordings that training never saw; one-to-one matching of onsets within 3 ms; thresholds fixed beforehand: the
networks have those of their config, the peers those that are best on two other simulated recordings (for real noise: on
the other three traces). With --only, the other parts stay as they are in the file.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas
import spikeinterface.core as si
import torch
from event_peers import PEERS, Template
from event_scores import network_method, pooled, tuned_peer
from other_maker_parts import (
    LEARNING_SEEDS,
    MORE_SEEDS,
    OTHER_SEEDS,
    OTHER_TUNING_SEEDS,
    learnt_marks,
    more_currents,
    other_maker,
    other_maker_tables,
)
from sklearn.metrics import roc_auc_score

from si_deepsort import load_model
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.events.matching import match_events
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import SimulationSettings, colored_noise, event_sum, event_table, simulate_events
from si_deepsort.events.traces import read_trace, scaled_traces
from si_deepsort.events.waveform import tau_of_rise_ms

DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))
TEST_SEEDS, TUNING_SEEDS = range(500, 505), (590, 591)
DURATION_S = 60.0
# Recordings of postsynaptic currents among the files of pyABF; the others there are of other kinds.
RECORDED_CURRENTS = ("171116sh_0020", "2018-11-26_mini_analysis_converted")
NOISES = {
    "white": {},
    "below 1 kHz": dict(low_pass_hz=1000.0),
    "slope 0.5": dict(noise_slope=0.5),
    "slope 1": dict(noise_slope=1.0, noise_corner_hz=100.0),
    "voltage clamp": dict(noise_slope=0.7, low_pass_hz=3000.0),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True, help="file to write")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="parts to measure again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(options.json)
    results = json.loads(path.read_text(encoding="utf-8")) if options.only and path.exists() else {}
    seeds = {"test": list(TEST_SEEDS), "tuning of the peers": list(TUNING_SEEDS)}
    seeds |= {"other maker": list(OTHER_SEEDS), "tuning of the peers on it": list(OTHER_TUNING_SEEDS)}
    seeds |= {"marked traces": list(LEARNING_SEEDS), "more receptor currents": list(MORE_SEEDS)}
    results |= provenance(seeds=seeds, earlier=results)
    for name in options.only or PARTS:
        results[name] = PARTS[name]()
        print(name, json.dumps(results[name], indent=1), flush=True)
        results["tables"] = tables(results)
        write_results(results, path)


def endplate():
    """The end-plate stand-in: 10 kHz, 1 event/s, drift, artefacts; noise drawn for each recording."""
    tests = [stand_in(seed) for seed in TEST_SEEDS]
    tuning = [stand_in(seed) for seed in TUNING_SEEDS]
    template = Template(0.85, 5.0, 10_000.0)
    methods = {
        "events-unet": network_method("events-unet"),
    }
    methods |= {name: tuned_peer(name, tuning, template, 1) for name in PEERS}
    return {name: pooled(method, tests) for name, method in methods.items()}


def stand_in(seed, **changes):
    noise_sd = np.random.default_rng([seed, 1]).uniform(0.05, 0.14)
    return simulate_events("endplate", seed=seed, duration_s=DURATION_S, noise_sd=noise_sd, **changes)


def whole_cell():
    """Simulated currents on real whole-cell noise (Winchester_EVENTER), of which the model never saw any trace."""
    path = DATA / "eventer_mepsc" / "train.npz"
    with np.load(path) as content:
        rate = float(content["fs"])
        tests = [
            (
                si.NumpyRecording([content[f"Train{index}_trace_pA"][:, None]], rate),
                pandas.DataFrame(dict(onset_s=np.sort(content[f"Train{index}_event_samples"]) / rate)),
            )
            for index in (1, 2, 3, 4)
        ]
    results = {"events-unet": pooled(network_method("events-unet"), tests)}
    template = Template(0.8, 4.5, rate / 4)
    for name in PEERS:
        methods = {
            id(test[0]): tuned_peer(name, [other for other in tests if other is not test], template, -1)
            for test in tests
        }
        results[name] = pooled(lambda trace, methods=methods: methods[id(trace)](trace), tests)
    return results


def cerebellar_windows():
    """Windows of 12 ms of real cerebellar recordings (miniML), scored by the highest confidence in each."""
    import h5py

    labels, scores = [], []
    for path in sorted((DATA / "miniml_mepsc").glob("*.h5")):
        with h5py.File(path) as file:
            windows, labelled = file["events"][:].astype("float32"), file["scores"][:]
        recording = si.NumpyRecording([window[:, None] for window in windows], 50_000.0)
        events = segment_events(recording, polarity=-1, threshold=0.0)
        best = events.groupby("segment").confidence.max().reindex(range(len(windows)), fill_value=0.0).to_numpy()
        labels.append(labelled[labelled < 2])
        scores.append(best[labelled < 2])
    labels, scores = np.concatenate(labels), np.concatenate(scores)
    is_found = scores >= load_model("events-unet").info.settings["threshold"]
    return dict(
        auc=float(roc_auc_score(labels, scores)),
        recall=float(is_found[labels == 1].mean()),
        false_alarms=float(is_found[labels == 0].mean()),
        num_windows=len(labels),
    )


def recorded_currents():
    """Real unlabelled recordings (pyABF): rates, and recall of injected events by amplitude."""
    results = {}
    for path in (DATA / "pyabf_psc" / f"{name}.abf" for name in RECORDED_CURRENTS):
        recording = read_trace(path)
        events = segment_events(recording, polarity=-1)
        results[path.stem] = dict(
            events_per_s=len(events) / events.attrs["duration_s"],
            median_amplitude=float(events.amplitude.median()),
            median_decay_ms=float(events.decay_ms.median()),
            noise_level=events.attrs["noise_level"],
            unit=events.attrs["unit"],
            recall_of_injected=injected_recall(recording, events.attrs["noise_level"]),
        )
    return results


def injected_recall(recording, noise_level, per_s=1.0):
    """Recall of injected events (rise 0.5, decay 5 ms) by amplitude in noise levels."""
    rate, curve = recording.get_sampling_frequency(), {}
    for multiple in (1.0, 1.5, 2.0, 3.0, 5.0):
        traces, injected = [], []
        rng = np.random.default_rng(1)
        for segment in range(recording.get_num_segments()):
            num_frames = recording.get_num_frames(segment)
            onsets = np.arange(0.5, num_frames / rate - 0.5, 1 / per_s)
            onsets = onsets + rng.uniform(-0.2, 0.2, len(onsets))
            size = np.full(len(onsets), -multiple * noise_level)
            tau = np.full(len(onsets), float(tau_of_rise_ms(0.5, 5.0)))
            events = event_table(onsets, size, tau, np.full(len(onsets), 5.0), np.full(len(onsets), 0.5))
            trace = scaled_traces(recording, segment, 0, num_frames) + event_sum(events, num_frames, rate)
            traces.append(trace.astype("float32")[:, None])
            injected.append(onsets)
        found = segment_events(si.NumpyRecording(traces, rate), polarity=-1)
        matched = sum(
            len(match_events(onsets, found.onset_s[found.segment == segment]))
            for segment, onsets in enumerate(injected)
        )
        curve[f"{multiple:g}"] = matched / sum(map(len, injected))
    return curve


def false_events():
    """False events per second on 200 s of pure noise of several spectra, both polarities."""
    rates = {}
    for name, changes in NOISES.items():
        settings = SimulationSettings(duration_s=200.0, **changes)
        noise = colored_noise(2_000_000, settings, np.random.default_rng(77)).astype("float32")
        recording = si.NumpyRecording([noise[:, None]], 10_000.0)
        rates[name] = sum(len(segment_events(recording, polarity=sign)) for sign in (1, -1)) / 400.0
    return rates


def speed():
    """CPU seconds for 10 minutes at 40 kHz with 2 events per second, the polarity detected."""
    recording, _ = simulate_events("current", sampling_frequency=40_000.0, duration_s=600.0, seed=7)
    net = load_model("events-unet")
    start = time.process_time()
    segment_events(recording, net)
    return dict(cpu_s=time.process_time() - start)


def tables(results):
    """Tables for the README of the parts that were measured."""
    columns = ["method", "precision", "recall", "F1", "lowest F1", "IoU"]
    made = {}
    for name, part, caption in (
        ("events-endplate", "endplate", "End-plate stand-in, 5 x 60 s, 10 kHz, about 1 event/s, drift and artefacts."),
        (
            "events-whole-cell",
            "whole_cell",
            "160 simulated currents on real whole-cell noise that no method was made on.",
        ),
    ):
        keys = ("precision", "recall", "f1", "lowest_f1", "iou")
        rows = [
            [method] + [f"{scores[key]:.3f}" if key in scores else "" for key in keys]
            for method, scores in results.get(part, {}).items()
        ]
        made[name] = dict(columns=columns, rows=rows, caption=caption)
    rows = []
    if "windows" in results:
        rows.append(["real cerebellar windows, never trained on: ROC-AUC", f"{results['windows']['auc']:.3f}"])
    if "noise" in results:
        worst = max(results["noise"].values())
        rows.append(["false events per s on pure noise, worst of five spectra", f"{worst:.3f}"])
    if "speed" in results:
        rows.append(["CPU-s for 10 minutes at 40 kHz", f"{results['speed']['cpu_s']:.1f}"])
    for size, value in results.get("recorded", {}).get("171116sh_0020", {}).get("recall_of_injected", {}).items():
        rows.append([f"recall of events of {size} noise levels, injected into a real recording", f"{value:.2f}"])
    made["events-other"] = dict(columns=["measured", "value"], rows=rows, caption="The same model on other data.")
    return {name: table for name, table in (made | other_maker_tables(results)).items() if table["rows"]}


PARTS = {
    "endplate": endplate,
    "other_maker": other_maker,
    "learnt": learnt_marks,
    "more_currents": more_currents,
    "whole_cell": whole_cell,
    "windows": cerebellar_windows,
    "recorded": recorded_currents,
    "noise": false_events,
    "speed": speed,
}

if __name__ == "__main__":
    main()
