"""
Make the figures of the explanation, one for each step of the sorter: `python docs/step_figures.py`.

A generated recording of 20 s is sorted, and what each step kept in the output folder is drawn.
"""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import spikeinterface.full as si

import si_deepsort  # noqa: F401  adds the sorter
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording

matplotlib.use("agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent / "explanation" / "images"
# Frames before and after a spike that belong to its waveform, and frames of traces that are shown.
BEFORE, AFTER = 30, 50
SHOWN = 900
WIDTH, DPI = 9, 90
# Peaks whose waveforms are averaged for a template.
MOST_AVERAGED = 200


def main() -> None:
    settings = GenerationSettings(duration_s=20.0, num_units=7, num_far_units=30, amplitude_min_uV=60.0, seed=8)
    generated, _ = generate_recording(named_probe("linear32").get_slice(range(12)), settings)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recording = generated.save(folder=folder / "recording", progress_bar=False)
        sorting = si.run_sorter("deepsort", recording, folder=folder / "out", seed=0)
        output = folder / "out" / "sorter_output"
        steps = {name: np.load(output / "steps" / f"{name}.npy") for name in ("peaks", "clusters", "matched")}
        dropped = pd.read_csv(output / "dropped.csv")
        filtered = filtered_recording(recording, freq_min=150.0, freq_max=7000.0, with_reference=True)
        lazy = white_recording(filtered, motion=None, order=24, radius_um=100.0, seed=0)
        white = lazy.get_traces().astype("float32")
        FOLDER.mkdir(exist_ok=True)
        start = _busiest(sorting)
        front_end(recording, filtered, white, start)
        peaks(white, steps["peaks"], start)
        clusters(white, steps["clusters"])
        units(white, sorting)
        matching(white, sorting, start)
        output_figure(sorting, dropped)


def front_end(recording, filtered, white, start: int) -> None:
    """The same traces as recorded, filtered and white."""
    shown = {
        "as recorded (uV)": recording.get_traces(start_frame=start, end_frame=start + SHOWN),
        "band-passed and referenced (uV)": filtered.get_traces(start_frame=start, end_frame=start + SHOWN),
        "white (noise levels)": white[start : start + SHOWN],
    }
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.4), layout="constrained")
    for axes, (title, traces) in zip(panels, shown.items(), strict=True):
        _stacked(axes, traces[:, :6])
        axes.set(title=title, xlabel="time (ms)", yticks=[])
    _save(figure, "front_end")


def peaks(white, found, start: int) -> None:
    """White traces with the peaks in them; larger dots are larger peaks."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")
    spacing = _stacked(axes, white[start : start + SHOWN])
    inside = found[(found["sample_index"] >= start) & (found["sample_index"] < start + SHOWN)]
    axes.scatter(
        (inside["sample_index"] - start) / 30,
        inside["channel_index"] * spacing,
        s=5 * np.abs(inside["amplitude"]),
        facecolors="none",
        edgecolors="tab:red",
    )
    axes.set(xlabel="time (ms)", yticks=[], ylabel="channels", title="peaks that stand out by their energy")
    _save(figure, "peaks")


def clusters(white, spikes) -> None:
    """Two principal components of the waveforms on the busiest channels, coloured by cluster."""
    sizes = np.bincount(spikes["unit_index"])
    largest = np.argsort(-sizes)[:6]
    shown = spikes[np.isin(spikes["unit_index"], largest)]
    waveforms = _waveforms(white, shown["sample_index"])
    flat = waveforms.reshape(len(waveforms), -1)
    centered = flat - flat.mean(axis=0)
    projected = centered @ np.linalg.svd(centered, full_matrices=False)[2][:3].T
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.4), layout="constrained")
    for axes, (x, y) in zip(panels, ((0, 1), (0, 2)), strict=True):
        for number, unit in enumerate(largest):
            own = shown["unit_index"] == unit
            axes.scatter(projected[own, x], projected[own, y], s=6, color=f"C{number}", linewidths=0)
        axes.set(xlabel=f"component {x + 1}", ylabel=f"component {y + 1}")
    figure.suptitle("peaks of the six largest clusters")
    _save(figure, "clusters")


def units(white, sorting) -> None:
    """Templates of all units in white traces."""
    templates = _templates(white, sorting)
    spacing = max(map(_spacing, templates)) / 2
    figure, panels = plt.subplots(1, len(templates), figsize=(WIDTH, 3.4), layout="constrained", sharey=True)
    for number, (axes, template) in enumerate(zip(np.atleast_1d(panels), templates, strict=True)):
        _stacked(axes, template, color=f"C{number}", spacing=spacing)
        axes.set(title=f"unit {sorting.unit_ids[number]}", xlabel="ms", yticks=[])
    _save(figure, "units")


def matching(white, sorting, start: int) -> None:
    """Traces, the sum of the matched templates, and what is left."""
    templates = _templates(white, sorting)
    fitted = np.zeros_like(white)
    for template, unit_id in zip(templates, sorting.unit_ids, strict=True):
        for frame in sorting.get_unit_spike_train(unit_id):
            if BEFORE <= frame < len(white) - AFTER:
                window = slice(frame - BEFORE, frame + AFTER)
                scale = (white[window] * template).sum() / np.square(template).sum()
                fitted[window] += scale * template
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.4), layout="constrained", sharey=True)
    shown = {"white traces": white, "sum of the templates": fitted, "residual": white - fitted}
    for axes, (title, traces) in zip(panels, shown.items(), strict=True):
        _stacked(axes, traces[start : start + SHOWN], spacing=_spacing(white[start : start + SHOWN]))
        axes.set(title=title, xlabel="time (ms)", yticks=[])
    _save(figure, "matching")


def output_figure(sorting, dropped) -> None:
    """Units that are kept and those that are left out, by size and number of spikes."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")
    counts = sorting.count_num_spikes_per_unit(outputs="array")
    axes.scatter(sorting.get_property("snr"), counts, color="tab:blue", label="kept")
    for number, (reason, rows) in enumerate(dropped.groupby("reason")):
        axes.scatter(rows["snr"], rows["num_spikes"], marker="x", color=f"C{number + 1}", label=f"left out: {reason}")
    axes.set(xscale="log", yscale="log", xlabel="signal-to-noise ratio", ylabel="spikes")
    figure.legend(loc="outside right upper", fontsize=8)
    _save(figure, "output")


def _busiest(sorting) -> int:
    """First frame of the stretch in which most units fire."""
    starts = np.arange(30_000, 500_000, SHOWN // 2)
    counts = np.zeros(len(starts))
    for unit_id in sorting.unit_ids:
        train = sorting.get_unit_spike_train(unit_id)
        counts += np.searchsorted(train, starts + SHOWN - AFTER) > np.searchsorted(train, starts + BEFORE)
    return int(starts[counts.argmax()])


def _waveforms(white, frames) -> np.ndarray:
    inside = frames[(frames >= BEFORE) & (frames < len(white) - AFTER)]
    return np.stack([white[frame - BEFORE : frame + AFTER] for frame in inside])


def _templates(white, sorting) -> list[np.ndarray]:
    trains = (sorting.get_unit_spike_train(unit_id)[:MOST_AVERAGED] for unit_id in sorting.unit_ids)
    return [np.median(_waveforms(white, train), axis=0) for train in trains]


def _spacing(traces) -> float:
    return 1.2 * float(np.quantile(np.abs(traces), 0.999))


def _stacked(axes, traces, *, color="0.25", spacing=None) -> float:
    """Traces above each other; gives the distance between two of them."""
    spacing = spacing or _spacing(traces)
    times_ms = np.arange(len(traces)) / 30
    axes.plot(times_ms, traces + spacing * np.arange(traces.shape[1]), color=color, linewidth=0.6)
    return spacing


def _save(figure, name: str) -> None:
    figure.savefig(FOLDER / f"{name}.png", dpi=DPI)
    plt.close(figure)


if __name__ == "__main__":
    main()
