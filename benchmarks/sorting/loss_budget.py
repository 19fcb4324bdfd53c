"""
Where the sorter loses spikes and units: a budget of losses for each of its steps.

`python benchmarks/sorting/loss_budget.py synchronous_dense tetrode --seeds 0 1 --duration 60 --json FILE` sorts each
recording with deepsort, keeps the results of its steps, and compares every one with the true spikes. Settings of the
sorter follow as `--set name=value`. With `--folder`, finished runs are kept there and only evaluated again.

A row tells, for one step, what became of the true spikes (found; in a second unit of the same neuron; only in a unit of
collisions; absorbed by a unit of another neuron; missed), how many found spikes double another or match no spike, what
the units are (matches; collisions; merges of two neurons; splits; background), how many are fragments (no match, but
made of spikes of one neuron), the mean accuracy, and how many true units were lost and gained since the step before.
"""

import argparse
import ast
import tempfile
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.coincidence import coincidences
from si_deepsort.benchmarking.losses import FATES, KINDS, MATCH_ACCURACY, step_losses
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.score import LOST_ACCURACY, LOST_MIN_SPIKES, LOST_SNR

# Units whose main channels are closer than this can collide or absorb each other.
NEAR_UM = 100.0
# A spike is missed as a peak if there is none this close to it.
PEAK_UM, PEAK_MS = 75.0, 0.5
# Spikes of each unit that its main channel is found from, and frames on both sides of them.
NUM_AVERAGED, HALF_WIDTH = 100, 15
COLUMNS = ("spikes", *FATES, "double", "false", "units", *KINDS, "fragments", "accuracy", "lost", "gained")


def main_channels(recording, sorting) -> np.ndarray:
    """Channel on which the average of each unit is largest, (num_units,) int."""
    traces = recording.get_traces(return_in_uV=False)
    channels = np.zeros(len(sorting.unit_ids), dtype=int)
    for index, unit in enumerate(sorting.unit_ids):
        frames = sorting.get_unit_spike_train(unit)
        frames = frames[(frames >= HALF_WIDTH) & (frames < len(traces) - HALF_WIDTH)]
        frames = frames[:: max(len(frames) // NUM_AVERAGED, 1)]
        if len(frames):
            windows = traces[frames[:, None] + np.arange(-HALF_WIDTH, HALF_WIDTH + 1)].astype("float32")
            channels[index] = np.ptp(windows.mean(axis=0), axis=0).argmax()
    return channels


def step_spikes(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Peaks and labelled spikes that the steps of a finished run left, each by name in the order of the steps."""
    peaks, spikes = {}, {}
    for file in sorted((folder / "sorter_output" / "steps").glob("*.npy"), key=lambda file: file.stat().st_mtime_ns):
        result = np.load(file)
        if "unit_index" in (result.dtype.names or ()):
            spikes[file.stem] = result
        elif "channel_index" in (result.dtype.names or ()):
            peaks[file.stem] = result
    return peaks, spikes


def has_peak(peaks, frames, channels, locations, sampling_frequency: float) -> np.ndarray:
    """Which true spikes have a peak near their main channel, (num_spikes,) bool."""
    peaks = peaks[np.argsort(peaks["sample_index"], kind="stable")]
    spike, peak = coincidences(frames, peaks["sample_index"], round(PEAK_MS * sampling_frequency / 1000))
    apart = np.linalg.norm(locations[channels[spike]] - locations[peaks["channel_index"][peak]], axis=1)
    return np.isin(np.arange(len(frames)), spike[apart <= PEAK_UM])


def looked_at(frames, found_frames, sampling_frequency: float) -> np.ndarray:
    """Which spikes lie in seconds that a step looked at: early steps leave out stretches of long recordings."""
    seconds = (frames // sampling_frequency).astype(int)
    return np.isin(seconds, np.unique((found_frames // sampling_frequency).astype(int)))


def budget(recording, truth, folder: Path) -> dict:
    """The losses of every step of a finished run."""
    frequency = recording.get_sampling_frequency()
    locations = recording.get_channel_locations()[:, :2]
    channels = main_channels(recording, truth)
    is_near = np.linalg.norm(locations[channels][:, None] - locations[channels], axis=-1) <= NEAR_UM
    vector = truth.to_spike_vector()
    frames, units = vector["sample_index"].astype(int), vector["unit_index"].astype(int)
    peaks, spikes = step_spikes(folder)
    final = si.load(folder / "sorter_output" / "sorting")
    spikes["final"] = final.to_spike_vector()
    steps, all_losses, before = {}, {}, None
    seen = {name: has_peak(own, frames, channels[units], locations, frequency) for name, own in peaks.items()}
    for name, own in spikes.items():
        is_seen = looked_at(frames, own["sample_index"], frequency)
        found = (own["sample_index"].astype(int), own["unit_index"].astype(int))
        losses = step_losses(frames[is_seen], units[is_seen], *found, is_near=is_near, sampling_frequency=frequency)
        is_found = losses.accuracy >= MATCH_ACCURACY
        before = is_found if before is None else before
        steps[name] = dict(
            spikes=int(is_seen.sum()),
            **losses.fates(),
            double=losses.num_doubled,
            false=losses.num_unexplained,
            units=len(losses.kind),
            fragments=losses.num_fragments,
            **{f"{kind}_units": count for kind, count in losses.kinds().items()},
            accuracy=round(float(losses.accuracy.mean()), 4),
            lost_units=[str(unit) for unit in truth.unit_ids[before & ~is_found]],
            gained_units=[str(unit) for unit in truth.unit_ids[is_found & ~before]],
        )
        all_losses[name] = losses
        before = is_found
    return dict(
        missed_peaks={name: int((~own).sum()) for name, own in seen.items()},
        steps=steps,
        lost_large=_lost_large(truth, units, all_losses),
        true_units=_unit_table(truth, units, seen, all_losses["final"]),
    )


def _unit_table(truth, units, seen, losses) -> list[dict]:
    """What became of the spikes of each true unit in the end."""
    rows = []
    for index, unit in enumerate(truth.unit_ids):
        is_member = units == index
        row = dict(
            unit=str(unit), snr=round(float(truth.get_property("gt_snr")[index]), 2), spikes=int(is_member.sum())
        )
        row["accuracy"] = round(float(losses.accuracy[index]), 4)
        row["missed_peaks"] = {name: int((~own[is_member]).sum()) for name, own in seen.items()}
        counts = np.bincount(losses.fate[is_member], minlength=len(FATES))
        rows.append({**row, **dict(zip(FATES, counts.tolist(), strict=True))})
    return rows


def _lost_large(truth, units, losses) -> list[dict]:
    """Large units that the result lacks: their accuracy at each step, and the neuron of the unit that absorbed most."""
    snr, counts = truth.get_property("gt_snr"), np.bincount(units, minlength=len(truth.unit_ids))
    is_lost = (snr >= LOST_SNR) & (counts >= LOST_MIN_SPIKES) & (losses["final"].accuracy < LOST_ACCURACY)
    lost = []
    for unit in np.flatnonzero(is_lost):
        absorbed_by = {}
        for name, own in losses.items():
            absorber = own.main[own.absorber[unit]] if own.absorber[unit] >= 0 else -1
            absorbed_by[name] = [str(truth.unit_ids[absorber]) if absorber >= 0 else None, int(own.num_absorbed[unit])]
        lost.append(
            dict(
                unit=str(truth.unit_ids[unit]),
                snr=round(float(snr[unit]), 1),
                spikes=int(counts[unit]),
                accuracy={name: round(float(own.accuracy[unit]), 3) for name, own in losses.items()},
                absorbed_by=absorbed_by,
            )
        )
    return lost


def print_budget(result: dict):
    """Print a budget as a table."""
    missed = ", ".join(f"{name} miss {count}" for name, count in result["missed_peaks"].items())
    print(f"\n{result['recording']}, seed {result['seed']}, {result['duration_s']:g} s: {missed}")
    print(f"{'step':20s}" + "".join(f"{column:>11s}" for column in COLUMNS))
    for name, step in result["steps"].items():
        values = [step.get(column, step.get(f"{column}_units")) for column in COLUMNS]
        # Fates of spikes and kinds of units share names.
        values[COLUMNS.index("match") : COLUMNS.index("fragments")] = [step[f"{kind}_units"] for kind in KINDS]
        texts = [str(len(value)) if isinstance(value, list) else f"{value:g}" for value in values]
        print(f"{name:20s}" + "".join(f"{text:>11s}" for text in texts))
    for unit in result["lost_large"]:
        print(f"LOST unit {unit['unit']}, SNR {unit['snr']}, {unit['spikes']} spikes: accuracy {unit['accuracy']}")
        print(f"     spikes absorbed by units of: {unit['absorbed_by']}")


def main():
    """Sort, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the recordings")
    parser.add_argument("--duration", type=float, default=60.0, help="in s")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the sorter")
    parser.add_argument("--folder", type=Path, help="keep the runs here, and evaluate those that are here already")
    parser.add_argument("--json", type=Path, help="write the budgets here")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    settings = {name: _value(text) for name, text in (part.split("=", 1) for part in arguments.set)}
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.recordings:
            for seed in arguments.seeds:
                recording, truth = ground_truth_recording(name, seed, arguments.duration)
                folder = (arguments.folder or Path(temporary)) / f"{name}-{seed}-{arguments.duration:g}s"
                if not (folder / "sorter_output" / "sorting").exists():
                    run_sorter("deepsort", recording, folder=folder, remove_existing_folder=True, **settings)
                source = dict(recording=name, seed=seed, duration_s=arguments.duration, settings=settings)
                source["version"] = si_deepsort.__version__
                results.append({**source, **budget(recording, truth, folder)})
                print_budget(results[-1])
                if arguments.json:
                    write_results(provenance(seeds=arguments.seeds) | dict(results=results), arguments.json)


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    main()
