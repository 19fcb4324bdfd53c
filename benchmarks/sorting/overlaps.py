"""
Rare neurons whose spikes nearly all overlap with others, and noise that is louder for seconds: deepsort and peers.

`python benchmarks/sorting/overlaps.py` writes benchmarks/results/overlaps.json. Probes, templates and injection are
SpikeInterface's, with parameters beyond its usual ones. Rates are spread evenly over their logarithm, so that some
neurons have 30 spikes. Times and amplitudes of spikes vary: templates are moved by eighths of a sample.
"""

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core.generate import (
    InjectTemplatesRecording,
    generate_ground_truth_recording,
    generate_templates,
    generate_unit_locations,
)
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  registers the sorter
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results

ROOT = Path(__file__).parents[2]
SEEDS, SORTERS = (201, 202), ("deepsort", "lupin")
RATE, DURATION_S, REFRACTORY_S, UPSAMPLING = 30_000, 30.0, 0.002, 8
MS_BEFORE, MS_AFTER = 1.0, 3.0
# Bursts: spikes, intervals in s (mean and standard deviation), and the size of each spike relative to the one before.
BURST_SPIKES, BURST_INTERVAL_S, BURST_INTERVAL_SD_S, BURST_DECAY = 3, 0.005, 0.001, 0.85
# Mean duration in s of up and of down states.
UP_S, DOWN_S = 0.4, 0.3
# Copied spikes: the share of a neuron's spikes that its neighbour copies, and the sd of their lag in s.
COPIED_SHARE, COPIED_SD_S = 0.2, 0.0004
# Period in s of the level of noise.
NOISE_PERIOD_S = 7.0
# A neuron is large if its largest peak has this many standard deviations of the mean noise.
LARGE_SNR = 10.0


@dataclass(frozen=True)
class Kind:
    """
    A kind of recording.

    Attributes
    ----------
    description : str
    channels, units : int
    noise_uV : float
    unit_params : dict
        Ranges of SpikeInterface's parameters of units.
    states, bursts, copies : bool
        Whether neurons fire in up states alone, in bursts, and copy spikes of their neighbours.
    louder : float
        Part of its mean by which the level of noise rises and falls.
    """

    description: str
    channels: int = 32
    units: int = 20
    noise_uV: float = 6.0
    unit_params: dict = field(default_factory=dict)
    states: bool = False
    bursts: bool = False
    copies: bool = False
    louder: float = 0.0


KINDS = {
    "usual": Kind("neither"),
    "wide": Kind("footprints decay over 40 to 90 um", unit_params=dict(spatial_decay=(40.0, 90.0))),
    "states": Kind("neurons fire in up states alone", states=True),
    "bursts": Kind("three spikes in about 10 ms, each .85 times the one before", bursts=True),
    "copies": Kind("a fifth of a neuron's spikes are copied by its neighbour", units=40, copies=True),
    "few channels": Kind("10 neurons on 8 channels", channels=8, units=10),
    "louder noise": Kind("noise between half and one and a half of its mean level", noise_uV=8.0, louder=0.5),
    "much louder noise": Kind("noise between .3 and 1.7 of its mean level", noise_uV=8.0, louder=0.7),
}


def train(kind: Kind, rate_hz: float, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spike times of a neuron in frames."""
    num_frames = len(states)
    num_spikes = rng.poisson(rate_hz * num_frames / RATE / (BURST_SPIKES if kind.bursts else 1))
    times = rng.choice(np.flatnonzero(states), num_spikes)
    if kind.bursts:
        intervals_s = rng.normal(BURST_INTERVAL_S, BURST_INTERVAL_SD_S, (num_spikes, BURST_SPIKES))
        intervals_s[:, 0] = 0.0
        times = (times[:, None] + np.round(RATE * np.cumsum(intervals_s, axis=1)).astype(int)).ravel()
    return after_refractory(times, num_frames)


def after_refractory(times: np.ndarray, num_frames: int) -> np.ndarray:
    """The times inside of a recording, ascending, without those that follow another one too soon."""
    margin, kept = round(MS_AFTER * RATE / 1000), [-RATE]
    for time_ in np.sort(times[(times > margin) & (times < num_frames - margin)]):
        if time_ - kept[-1] >= REFRACTORY_S * RATE:
            kept.append(time_)
    return np.array(kept[1:], dtype=int)


def up_states(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frames in up states, (num_frames,), bool."""
    is_up, frame, state = np.zeros(num_frames, dtype=bool), 0, True
    while frame < num_frames:
        end = frame + int(rng.exponential(UP_S if state else DOWN_S) * RATE) + 1
        is_up[frame:end], frame, state = state, end, not state
    return is_up


def trains_of(kind: Kind, locations: np.ndarray, num_frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Spike times of all neurons in frames."""
    states = up_states(num_frames, rng) if kind.states else np.ones(num_frames, dtype=bool)
    rates_hz = np.exp(rng.uniform(np.log(1.0), np.log(20.0), kind.units))
    trains = [train(kind, rate, states, rng) for rate in rates_hz]
    if kind.copies:
        by_depth, copies = np.argsort(locations[:, 1]), {}
        for one, other in pairwise(by_depth):
            own = trains[one][rng.random(len(trains[one])) < COPIED_SHARE]
            copies[other] = own + np.round(rng.normal(0, COPIED_SD_S * RATE, len(own))).astype(int)
        trains = [
            after_refractory(np.concatenate([own, copies.get(unit, own[:0])]), num_frames)
            for unit, own in enumerate(trains)
        ]
    return trains


def amplitudes_of(kind: Kind, spikes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Amplitude of each spike relative to its template; spikes of a burst shrink."""
    amplitudes = np.clip(rng.normal(1.0, 0.08, len(spikes)), 0.5, 1.5)
    for unit in range(kind.units if kind.bursts else 0):
        own = np.flatnonzero(spikes["unit_index"] == unit)
        follows = np.diff(spikes["sample_index"][own], prepend=-RATE) <= 2 * BURST_INTERVAL_S * RATE
        for place in np.flatnonzero(follows):
            amplitudes[own[place]] = BURST_DECAY * amplitudes[own[place - 1]]
    return amplitudes


def make_recording(kind: Kind, seed: int) -> tuple[si.BaseRecording, si.BaseSorting, np.ndarray]:
    """A recording, its true spikes, and the SNR of its neurons."""
    rng, num_frames = np.random.default_rng(seed), round(DURATION_S * RATE)
    usual, _ = generate_ground_truth_recording(durations=[0.1], num_channels=kind.channels, num_units=1, seed=0)
    probe = usual.get_probe()
    positions = probe.contact_positions
    locations = generate_unit_locations(
        kind.units, positions, margin_um=10.0, minimum_z=5.0, maximum_z=40.0, minimum_distance=8.0, seed=seed
    )
    templates = generate_templates(
        positions,
        locations,
        RATE,
        MS_BEFORE,
        MS_AFTER,
        seed=seed,
        upsample_factor=UPSAMPLING,
        unit_params=kind.unit_params,
    )
    trains = dict(enumerate(trains_of(kind, locations, num_frames, rng)))
    truth = si.NumpySorting.from_unit_dict([trains], RATE)
    spikes = truth.to_spike_vector()
    level = 1 + kind.louder * np.sin(2 * np.pi * np.arange(num_frames) / RATE / NOISE_PERIOD_S)
    noise = kind.noise_uV * level[:, None] * rng.standard_normal((num_frames, kind.channels))
    parent = si.NumpyRecording([noise.astype("float32")], RATE)
    parent.set_probe(probe)
    recording = InjectTemplatesRecording(
        truth,
        templates,
        nbefore=round(MS_BEFORE * RATE / 1000),
        amplitude_factor=amplitudes_of(kind, spikes, rng),
        parent_recording=parent,
        upsample_vector=rng.integers(0, UPSAMPLING, len(spikes)),
    )
    return recording, truth, np.abs(templates[..., 0]).max(axis=(1, 2)) / kind.noise_uV


def measure(sorter: str, recording, truth, snr: np.ndarray, folder: Path) -> dict:
    """Accuracy, large neurons lost, false units and CPU time of a sorter."""
    start = time.process_time()
    sorting = run_sorter(sorter, recording, folder=folder)
    cpu_s = time.process_time() - start
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    accuracy = comparison.get_performance()["accuracy"].astype(float).to_numpy()
    return dict(
        sorter=sorter,
        accuracy=[round(float(one), 4) for one in accuracy],
        large_units_lost=int(np.sum((snr >= LARGE_SNR) & (accuracy < 0.5))),
        units=len(sorting.unit_ids),
        false_units=len(comparison.get_false_positive_units()),
        cpu_s_per_s=round(cpu_s / DURATION_S, 3),
    )


def as_table(records: list[dict]) -> dict:
    """One row for each kind, means over seeds for each sorter."""
    sorters = list(dict.fromkeys(one["sorter"] for one in records))
    rows = []
    for name in dict.fromkeys(one["kind"] for one in records):
        row = [name, KINDS[name].description]
        for sorter in sorters:
            own = [one for one in records if (one["kind"], one["sorter"]) == (name, sorter)]
            lost, false = (np.mean([one[key] for one in own]) for key in ("large_units_lost", "false_units"))
            row.append(f"{np.mean([np.mean(one['accuracy']) for one in own]):.3f} / {lost:g} / {false:g}")
        rows.append(row)
    caption = (
        f"Mean accuracy / neurons above an SNR of {LARGE_SNR:g} lost / false units, means over {len(SEEDS)} seeds."
    )
    return dict(caption=caption, columns=["recording", "what is unusual", *sorters], rows=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--sorters", nargs="*", default=list(SORTERS))
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "overlaps.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    records = []
    for name in arguments.kinds:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                recording, truth, snr = make_recording(KINDS[name], seed)
                saved = recording.save(folder=Path(folder) / "recording", verbose=False)
                for sorter in arguments.sorters:
                    records.append(dict(kind=name, seed=seed, snr=[round(float(one), 2) for one in snr]))
                    records[-1] |= measure(sorter, saved, truth, snr, Path(folder) / sorter)
                    told = {key: value for key, value in records[-1].items() if key not in ("accuracy", "snr")}
                    print(f"{np.mean(records[-1]['accuracy']):.3f}", told, flush=True)
    document = dict(**provenance(seeds=arguments.seeds), records=records, tables={"overlaps": as_table(records)})
    write_results(document, arguments.json)


if __name__ == "__main__":
    main()
