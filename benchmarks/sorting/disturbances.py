"""
What the room and the experiment cost: the same recordings with and without hum, shared noise, artefacts, blanks and a
dying channel.

`python benchmarks/sorting/disturbances.py` writes benchmarks/results/disturbances.json. Each kind of recording is
sorted undisturbed first. True spikes that a blank hides count as missed.
"""

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_linear_probe
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core.generate import generate_ground_truth_recording
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recipes import RECIPES
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.synthesis import synthesize
from si_deepsort.generation.disturbances import line_noise

ROOT = Path(__file__).parents[2]
SEEDS = (7, 11)
SMALL_S, LARGE_S = 40.0, 60.0
RATE = 30_000.0
# An offset as amplifiers of 12 bits have it, in counts, and the size of a count in uV.
OFFSET, GAIN_UV = 2048, 0.5
# Blanks of zeros: so many in a second, each of this duration in ms.
BLANKS_HZ, BLANK_MS = 5.0, 10.0


def small_probe(seed: int) -> tuple[np.ndarray, si.BaseRecording, si.BaseSorting]:
    """Traces of 8 channels and 5 neurons by SpikeInterface's generator, the recording itself and its true spikes."""
    probe = generate_linear_probe(8, ypitch=25.0)
    probe.set_device_channel_indices(np.arange(8))
    recording, truth = generate_ground_truth_recording(
        durations=[SMALL_S], num_channels=8, num_units=5, seed=seed, probe=probe, sampling_frequency=RATE
    )
    return recording.get_traces(0).astype("float64"), recording, truth


def with_traces(traces, recording, dtype="float32"):
    """Other traces on the same probe."""
    changed = si.NumpyRecording([traces.astype(dtype)], RATE)
    changed.set_probe(recording.get_probe())
    return changed


def with_hum(seed: int, amplitude_uV: float, harmonics: float = 0.0, line_hz: float = 50.0):
    """The small probe with the mains on all channels."""
    traces, recording, truth = small_probe(seed)
    frames = np.arange(len(traces))
    hum = line_noise(frames, sampling_frequency=RATE, line_hz=line_hz, harmonics=harmonics)
    return with_traces(traces + amplitude_uV * hum[:, None], recording), truth


def in_counts(seed: int, blanked: bool):
    """The small probe in counts with an offset, with and without blanks of zeros."""
    traces, recording, truth = small_probe(seed)
    counts = np.round(traces / GAIN_UV) + OFFSET
    if blanked:
        starts = np.arange(RATE / BLANKS_HZ / 2, len(counts) - RATE, RATE / BLANKS_HZ).astype(int)
        counts[starts[:, None] + np.arange(round(BLANK_MS * RATE / 1000))] = 0
    return with_traces(counts, recording, "int16"), truth


def with_dead_channel(seed: int):
    """A channel of the small probe is 0 in the second half."""
    traces, recording, truth = small_probe(seed)
    traces[len(traces) // 2 :, 3] = 0
    return with_traces(traces, recording), truth


def with_shared_noise(seed: int, num_channels: int, noise_uV: float, slope: float = 0.0):
    """Traces of SpikeInterface's generator with slow noise that all channels share, more of it on the last ones."""
    recording, truth = generate_ground_truth_recording(
        durations=[SMALL_S], num_channels=num_channels, num_units=num_channels, seed=seed, sampling_frequency=RATE
    )
    traces = recording.get_traces(0).astype("float64")
    spectrum = np.fft.rfft(np.random.default_rng([seed, 1]).standard_normal(len(traces)))
    spectrum /= np.maximum(np.fft.rfftfreq(len(traces), 1 / RATE), 0.5) ** 0.9
    shared = np.fft.irfft(spectrum, len(traces))
    gains = 1 + slope * np.linspace(-0.5, 0.5, num_channels)
    return with_traces(traces + noise_uV * np.outer(shared / shared.std(), gains), recording), truth


def with_artefacts(seed: int, disturbed: bool):
    """The benchmark recording `artefacts`, and its like without artefacts and hum."""
    recipe = RECIPES["artefacts"]
    recipe = recipe if disturbed else replace(recipe, disturbances=None)
    return synthesize(recipe, seed=seed, duration_s=LARGE_S)


# Kind -> condition -> recording and true sorting for a seed; the first condition is undisturbed.
KINDS = {
    "hum, 8 channels": {
        "none": lambda seed: with_hum(seed, 0.0),
        "50 Hz, .1 mV": lambda seed: with_hum(seed, 100.0),
        "50 Hz, 1 mV": lambda seed: with_hum(seed, 1000.0),
        "50 Hz, 5 mV": lambda seed: with_hum(seed, 5000.0),
        "60 Hz, 1 mV, with harmonics": lambda seed: with_hum(seed, 1000.0, harmonics=0.1, line_hz=60.0),
    },
    "shared noise, tetrode": {
        "none": lambda seed: with_shared_noise(seed, 4, 0.0),
        "30 uV in the band of spikes": lambda seed: with_shared_noise(seed, 4, 300.0),
    },
    "shared noise, 16 channels": {
        "none": lambda seed: with_shared_noise(seed, 16, 0.0),
        "30 uV, three times as much on the last channel as on the first": lambda seed: with_shared_noise(
            seed, 16, 300.0, slope=1.0
        ),
    },
    "offset, 8 channels": {
        "none": lambda seed: in_counts(seed, False),
        "blanks of zeros, 5 % of the time": lambda seed: in_counts(seed, True),
    },
    "dying channel, 8 channels": {
        "none": lambda seed: with_hum(seed, 0.0),
        "channel 3 of 8 dies": with_dead_channel,
    },
    "artefacts, 32 channels": {
        "none": lambda seed: with_artefacts(seed, False),
        "4 mV, 50 ms, 5/s, and hum": lambda seed: with_artefacts(seed, True),
    },
}


def measure(recording, truth, folder: Path) -> dict:
    """Accuracy and false units of deepsort on a recording."""
    saved = recording.save(folder=folder / "recording", verbose=False)
    sorting = run_sorter("deepsort", saved, folder=folder / "sorted")
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    performance = comparison.get_performance()
    return dict(
        units=len(sorting.unit_ids),
        true_units=len(truth.unit_ids),
        accuracy=round(float(performance["accuracy"].astype(float).mean()), 4),
        recall=round(float(performance["recall"].astype(float).mean()), 4),
        false_units=len(comparison.get_false_positive_units()),
    )


def as_table(results: list[dict]) -> dict:
    """One row for each condition, means over seeds."""
    rows = []
    for kind, conditions in KINDS.items():
        for condition in conditions:
            own = [one for one in results if (one["kind"], one["condition"]) == (kind, condition)]
            if own:
                means = (np.mean([one[key] for one in own]) for key in ("accuracy", "recall"))
                false = np.mean([one["false_units"] for one in own])
                rows.append([kind, condition, *(f"{value:.3f}" for value in means), f"{false:.1f}"])
    columns = ["recording", "disturbance", "mean accuracy", "mean recall", "false units"]
    return dict(caption="deepsort on the same recordings with and without disturbances.", columns=columns, rows=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "disturbances.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    results = []
    for kind in arguments.kinds:
        for condition, make in KINDS[kind].items():
            for seed in arguments.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    results.append(dict(kind=kind, condition=condition, seed=seed))
                    results[-1] |= measure(*make(seed), Path(folder))
                print(results[-1], flush=True)
    document = dict(
        **provenance(seeds=arguments.seeds),
        sorter=si_deepsort.DEEPSORT,
        records=results,
        tables={"disturbances": as_table(results)},
    )
    write_results(document, arguments.json)


if __name__ == "__main__":
    main()
