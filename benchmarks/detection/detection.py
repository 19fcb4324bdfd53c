"""
The spike detectors beside those of SpikeInterface: `python benchmarks/detection/detection.py --json FILE`.

Recordings are made from biophysical templates that no detector was trained on. Each detector runs at a low threshold;
its own score is then swept to the point where 95 % of what it reports, over all recordings of one front end, are
spikes of the known units. A detection of a far background unit counts as wrong for every detector alike ("strict");
a second column leaves those detections out. The networks and the detection by energy see white traces; of each peer's
settings the best on these recordings is shown for each kind of traces. `find_peaks` drops the second peaks of large
spikes from the peaks of any method; each detector is shown with and without this step, for which its scores serve as
sizes if it has no others. The CPU time of the network holds what it learns of a recording beforehand.
"""

import argparse
import os
import time
import warnings
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from paired import against_best, margins_table
from probeinterface import Probe
from true_spikes import SNR_EDGES, Truth

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.detection.node import ENERGY_THRESHOLD, SHADOW_RATIO
from si_deepsort.detection.peak_times import extremum_frames
from si_deepsort.detection.prepare import prepare_detector
from si_deepsort.detection.second_peaks import are_second_peaks
from si_deepsort.generation import INDEPENDENT_POISSON, GenerationSettings, generate_recording
from si_deepsort.noise import noise_levels, sample_traces
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.whiten import whiten_time_space

LAYOUTS = {"linear32": 26, "neuropixels1_64": 40, "neuropixels2_64": 40, "tetrode": 8}
PRECISION = 0.95
RADIUS_UM, EXCLUSIVE_MS = 60.0, 0.4
# Name of the cost in the results.
CPU_S = "cpu_s_per_recorded_s_of_32_channels"
# Names of the bins of SNR.
BINS = [f"{low:g}-{high:g}" if np.isfinite(high) else f"over {low:g}" for low, high in pairwise(SNR_EDGES)]
# Smallest size of a peak that the detection by energy reports here.
SMALLEST_SIZE = 4.0
# Settings of the peers, radius in um, exclusion in ms and sign: those of our detector, and SpikeInterface's defaults.
PEER_SETTINGS = {"same exclusion, negative": (RADIUS_UM, EXCLUSIVE_MS, "neg"), "default": (50.0, 1.0, "neg")}


def biophysical_recording(folder: Path, layout: str, seed: int, duration_s: float):
    """A recording of one layout, its spikes and those of the far units."""
    data = np.load(folder / f"{layout}.npz")
    templates = data["templates_uV"].astype("float32")
    if templates.ndim == 4:
        templates = templates[len(templates) // 2]
    rng = np.random.default_rng([seed, sum(map(ord, layout))])
    templates = templates[rng.permutation(len(templates))[: LAYOUTS[layout]]]
    peaks_uV = np.exp(rng.uniform(np.log(18), np.log(200), len(templates)))
    templates *= (peaks_uV / np.abs(templates).max(axis=(1, 2)))[:, None, None]
    probe = Probe(ndim=2)
    probe.set_contacts(data["contact_positions_um"][:, :2], shapes="circle", shape_params={"radius": 6})
    probe.create_auto_shape()
    settings = GenerationSettings(duration_s=duration_s, seed=seed, **INDEPENDENT_POISSON)
    recording, sorting = generate_recording(probe, settings, templates_uV=templates, nbefore=60)
    far = recording._kwargs["parent_recording"]._kwargs["sorting"]
    return recording, sorting, far


def front_ends(recording):
    """The traces that detectors are given: band-passed, and whitened over time and channels, as in the sorter."""
    filtered = band_pass(recording, freq_min=150.0, freq_max=7000.0)
    filtered = filtered.save(format="memory", progress_bar=False)
    yield "band-pass", filtered
    yield "whitened", whiten_time_space(filtered)


def own_scores(whitening, recording, model: str):
    """Peaks with their score, a network's probability or the size of the energy, and their size; and the CPU time."""
    traces = recording.get_traces()
    detector = prepare_detector(recording, "gru" if model == "energy" else model, whitening=whitening)
    default_threshold = ENERGY_THRESHOLD if model == "energy" else detector.threshold

    def scored(stretch):
        if model != "energy":
            return detector.judged(stretch, margin=detector.margin)
        found = detector.finder.find(stretch, threshold=SMALLEST_SIZE, margin=detector.margin)
        found = found.where(found.shares >= SHADOW_RATIO)
        return found, found.sizes

    def moved(stretch, found):
        return extremum_frames(stretch, detector.finder.filters, found.frames, found.channels)

    moved(traces[:10_000], scored(traces[:10_000])[0])
    parts, chunk, start = [], 30_000, time.process_time()
    if model != "energy":
        prepare_detector(recording, model, whitening=whitening)
    cpu_s = time.process_time() - start
    for first in range(0, len(traces), chunk):
        begin = max(0, first - detector.margin)
        stretch = traces[begin : first + chunk + detector.margin]
        start = time.process_time()
        found, scores = scored(stretch)
        moved(stretch, found.where(scores >= default_threshold))
        cpu_s += time.process_time() - start
        # Peaks that `find_peaks` would not report are moved for the sweep alone.
        parts.append((moved(stretch, found) + begin, found.channels, scores, found.sizes))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True)), cpu_s


def peer_scores(recording, method: str, radius_um: float, exclusive_ms: float, peak_sign: str):
    """Peaks of a SpikeInterface detector at a low threshold with their score, and the CPU time."""
    from spikeinterface.core.node_pipeline import run_node_pipeline
    from spikeinterface.sortingcomponents.peak_detection.method_list import detect_peak_methods
    from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

    levels = noise_levels(sample_traces(recording))
    params = dict(peak_sign=peak_sign, exclude_sweep_ms=exclusive_ms, radius_um=radius_um)
    detector_class = detect_peak_methods[method]
    if method == "locally_exclusive":
        node = detector_class(recording, noise_levels=levels, detect_threshold=2.5, **params)
    else:
        prototype, _, _ = get_prototype_and_waveforms_from_recording(
            recording, n_peaks=5000, ms_before=0.5, ms_after=1.5, seed=0, noise_levels=levels
        )
        params |= dict(prototype=prototype, ms_before=0.5, random_chunk_kwargs=dict(seed=0))
        node = _scored(detector_class)(recording, detect_threshold=3.0, **params)
    quiet = dict(progress_bar=False, n_jobs=1)
    run_node_pipeline(recording.frame_slice(0, 30_000), [node], quiet)
    start = time.process_time()
    peaks = run_node_pipeline(recording, [node], quiet, squeeze_output=True)
    cpu_s = time.process_time() - start
    scores = np.abs(peaks["amplitude"])
    if method == "locally_exclusive":
        scores = scores / levels[peaks["channel_index"]]
    return (peaks["sample_index"], peaks["channel_index"], scores, scores), cpu_s


def _scored(detector_class):
    """The matched filter, its peaks' amplitude replaced by what it thresholds."""

    class Scored(detector_class):
        def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
            (peaks,) = super().compute(traces, start_frame, end_frame, segment_index, max_margin)
            filtered = self.get_convolved_traces(traces).reshape(self.num_z_factors, self.num_templates, -1)
            levels = self.abs_thresholds / self.detect_threshold
            filtered = np.max(filtered / levels[:, :, None], axis=0)
            times, channels = peaks["sample_index"] - self.nbefore, peaks["channel_index"]
            scores = filtered[channels, times]
            if self.num_templates > self.num_channels:
                scores = np.maximum(scores, filtered[channels + self.num_channels, times])
            peaks["amplitude"] = scores
            return (peaks,)

    return Scored


def second_peaks_cpu_s(outputs, truths, threshold):
    """CPU time in which the second peaks among those above a threshold are found."""
    start = time.process_time()
    for (*peaks, scores, sizes), truth in zip(outputs, truths, strict=True):
        keep = scores >= threshold
        are_second_peaks(*(values[keep] for values in (*peaks, sizes)), truth.distances, truth.frequency)
    return time.process_time() - start


def at_threshold(outputs, truths, threshold, *, leave_out_far, with_second_peaks):
    """Precision, and of each unit of all recordings its bin of SNR, its spikes, and those found; (3, num_units)."""
    units = []
    num_right = num_reported = 0
    for (frames, channels, scores, sizes), truth in zip(outputs, truths, strict=True):
        keep = scores >= threshold
        frames, channels = frames[keep], channels[keep]
        if not with_second_peaks:
            keep = ~are_second_peaks(frames, channels, sizes[keep], truth.distances, truth.frequency)
            frames, channels = frames[keep], channels[keep]
        found, right, far = truth.match(frames, channels)
        num_right += right
        num_reported += len(frames) - (far if leave_out_far else 0)
        counts = (np.bincount(own, minlength=len(truth.unit_bins)) for own in (truth.units, truth.units[found]))
        units.append([truth.unit_bins, *counts])
    return num_right / max(num_reported, 1), np.concatenate(units, axis=1)


def recall_at_precision(outputs, truths, **choices):
    """The lowest threshold with the wanted precision, by bisection on the ranks of the scores."""
    scores = np.unique(np.concatenate([output[2] for output in outputs]))
    low, high = 0, len(scores) - 1
    while low < high:
        middle = (low + high) // 2
        if at_threshold(outputs, truths, scores[middle], **choices)[0] >= PRECISION:
            high = middle
        else:
            low = middle + 1
    precision, units = at_threshold(outputs, truths, scores[low], **choices)
    hits, total = (np.bincount(units[0], weights=own, minlength=len(SNR_EDGES) - 1) for own in (units[2], units[1]))
    row = dict(
        threshold=float(scores[low]),
        precision=round(precision, 4),
        recall=round(float(hits.sum() / total.sum()), 4),
        recall_by_snr=[round(float(value), 4) for value in hits / np.maximum(total, 1)],
    )
    return row, units


def table(results):
    """The rows of the README: each network, and each peer with the setting that served it best."""
    best = {}
    for row in results:
        key = row["front_end"], row["detector"].split(",")[0], row["with_second_peaks"]
        if key not in best or row["strict"]["recall"] > best[key]["strict"]["recall"]:
            best[key] = row
    rows = [
        [*key[:2], "kept" if key[2] else "dropped", *row["strict"]["recall_by_snr"], row[CPU_S]]
        for key, row in best.items()
    ]
    caption = f"Recall at {PRECISION:.0%} precision, by the SNR of the unit (peak / noise level after the band-pass)."
    return dict(
        columns=["traces", "detector", "second peaks", *BINS, "CPU-s per s, 32 channels"], rows=rows, caption=caption
    )


def main():
    """Run everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path(__file__).parents[1] / "results" / "detection.json")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")))
    parser.add_argument("--models", nargs="+", default=["cnn", "gru"])
    parser.add_argument("--peers", nargs="*", default=["locally_exclusive", "matched_filtering"])
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--duration-s", type=float, default=30.0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    truths, outputs, cpu_s, channel_s = collect(options)
    results, units = [], {}
    for ((front_end, detector), found), second in product(outputs.items(), (True, False)):
        row = dict(front_end=front_end, detector=detector, with_second_peaks=second)
        for name, leave_out_far in (("strict", False), ("far_left_out", True)):
            choices = dict(leave_out_far=leave_out_far, with_second_peaks=second)
            row[name], found_units = recall_at_precision(found, truths[front_end], **choices)
            if name == "strict":
                units[front_end, detector, second] = found_units
        own = 0.0 if second else second_peaks_cpu_s(found, truths[front_end], row["strict"]["threshold"])
        row[CPU_S] = round(32 * (cpu_s[front_end, detector] + own) / channel_s, 4)
        results.append(row)
        print(row, flush=True)
    margins = against_best(units, own=options.models)
    document = dict(
        **provenance(seeds=options.seeds),
        duration_s=options.duration_s,
        layouts=options.layouts,
        snr_edges=[edge if np.isfinite(edge) else None for edge in SNR_EDGES],
        spikes_by_snr=np.sum([np.bincount(t.bins, minlength=6) for t in truths["band-pass"]], axis=0).tolist(),
        results=results,
        margins=margins,
        tables={"detection": table(results), "detection_margins": margins_table(margins, BINS)},
    )
    write_results(document, options.json)


def collect(options):
    """Run every detector on every recording and front end."""
    truths, outputs, cpu_s, channel_s = {}, {}, {}, 0.0
    for layout in options.layouts:
        for seed in options.seeds:
            recording, sorting, far = biophysical_recording(
                options.data / "biophysical_templates", layout, seed, options.duration_s
            )
            channel_s += recording.get_num_channels() * options.duration_s
            unit_snrs = None
            for front_end, traces in front_ends(recording):
                white, traces = traces, traces.save(format="memory", progress_bar=False)
                truth = Truth(recording, sorting, far, traces, unit_snrs)
                unit_snrs = truth.unit_snrs
                truths.setdefault(front_end, []).append(truth)
                is_white = hasattr(white, "whitening")
                own = ["energy", *options.models] if is_white else []
                jobs = {model: partial(own_scores, white.whitening, traces, model) for model in own}
                for peer in options.peers:
                    for name, its_settings in PEER_SETTINGS.items():
                        jobs[f"{peer}, {name}"] = partial(peer_scores, traces, peer, *its_settings)
                for name, job in jobs.items():
                    found, cost = job()
                    outputs.setdefault((front_end, name), []).append(found)
                    cpu_s[front_end, name] = cpu_s.get((front_end, name), 0.0) + cost
                print(layout, seed, front_end, flush=True)
    return truths, outputs, cpu_s, channel_s


if __name__ == "__main__":
    main()
