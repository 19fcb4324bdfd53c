"""Figures of all units together: peaks over time and depth, traces with spikes, and spike trains."""

from typing import TYPE_CHECKING

import numpy as np
import spikeinterface.core as si

from .measured import MeasuredUnits
from .sampled_peaks import SampledPeaks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Seconds that are shown: at usual rates, single spikes are still told apart.
RASTER_S = 10.0
# Units that have their names at the axis.
MOST_NAMES = 30
# Peaks in the drift map, at most: more hide each other.
MOST_PEAKS = 25_000
# Peaks above this quantile of the sizes share one colour, so that a few artefacts do not make all others look alike.
LARGEST_QUANTILE = 0.98
# Seconds of traces that are shown, and channels, at most: single waveforms are seen, and the figure fits a screen.
TRACES_S, MOST_TRACES = 0.06, 24
# Part of a trace in ms that is coloured around a spike.
MS_BEFORE, MS_AFTER = 0.5, 1.0
# Depths that are shown beyond the contacts in um: units lie up to this far from their nearest contact.
MARGIN_UM = 60.0
# Height of the figures in inches.
MAP_HEIGHT, TRACES_HEIGHT = 6.0, 7.0


def raster(units: MeasuredUnits) -> "Figure":
    """Spikes of each unit in the first seconds, units in the order of depth."""
    # Figure, not pyplot: nothing is kept alive and no window is opened.
    from matplotlib.figure import Figure

    order = np.argsort(units.unit_locations[:, 1], kind="stable")
    num_units = len(order)
    figure = Figure(figsize=(10, min(2 + 0.16 * num_units, 9)), layout="constrained")
    axes = figure.add_subplot()
    duration = min(RASTER_S, units.duration_s)
    trains = [units.spike_times_s[unit][units.spike_times_s[unit] <= duration] for unit in order]
    axes.eventplot(trains, colors="0.2", linelengths=0.8, linewidths=0.8)
    step = max(1, num_units // MOST_NAMES)
    axes.set_yticks(np.arange(num_units)[::step], [str(units.unit_ids[unit]) for unit in order[::step]], fontsize=7)
    axes.set(xlabel="time (s)", ylabel="unit, from the lowest to the highest", xlim=(0, duration))
    return figure


def drift_map(peaks: SampledPeaks, units: MeasuredUnits) -> "Figure":
    """Sampled peaks over time and depth, once by size, and once by the unit that they belong to."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, MAP_HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    shown = np.linspace(0, len(peaks.times_s) - 1, min(len(peaks.times_s), MOST_PEAKS)).astype(int)
    # The largest are drawn last, over the others.
    shown = shown[np.argsort(peaks.sizes[shown], kind="stable")]
    times, depths, found = peaks.times_s[shown], peaks.depths_um[shown], peaks.units[shown]
    dots = dict(s=4, linewidths=0, rasterized=True)
    top = float(np.quantile(peaks.sizes, LARGEST_QUANTILE)) if len(peaks.sizes) else 1.0
    image = left.scatter(times, depths, c=peaks.sizes[shown], cmap="viridis_r", vmax=top, **dots)
    figure.colorbar(image, ax=left, label=f"size of the peak ({units.amplitude_unit})", pad=0.01)
    left.set(xlabel="time (s)", ylabel="depth (um)", title="all peaks", xlim=(0, units.duration_s))
    right.scatter(times[found < 0], depths[found < 0], c="0.75", **dots)
    colors = unit_colors(units)
    right.scatter(times[found >= 0], depths[found >= 0], c=colors[found[found >= 0]], **dots)
    right.set(xlabel="time (s)", title=f"{peaks.explained_share:.0%} belong to units (colours); grey: to none")
    low, high = units.channel_locations[:, 1].min() - MARGIN_UM, units.channel_locations[:, 1].max() + MARGIN_UM
    left.set_ylim(low, high)
    if len(units.unit_ids) <= MOST_NAMES:
        for unit, name in enumerate(units.unit_ids):
            depth = units.unit_locations[unit, 1]
            if low < depth < high:
                place = dict(xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points")
                right.annotate(str(name), (1, depth), fontsize=7, va="center", color=colors[unit], **place)
    for axes in (left, right):
        for start in units.segment_starts_s[1:-1]:
            axes.axvline(start, color="0.5", linewidth=0.8, linestyle=":")
    return figure


def traces_with_spikes(units: MeasuredUnits, recording: si.BaseRecording) -> "Figure":
    """
    A few milliseconds of band-passed traces around the largest unit, with the spikes of all units there in colour.

    Parameters
    ----------
    units : MeasuredUnits
    recording : BaseRecording
        Band-passed traces.
    """
    from matplotlib.figure import Figure

    channels, start_s = _busy_place(units)
    segment = int(np.searchsorted(units.segment_starts_s, start_s, side="right")) - 1
    rate = recording.sampling_frequency
    first = round((start_s - units.segment_starts_s[segment]) * rate)
    traces = recording.get_traces(
        segment_index=segment,
        start_frame=first,
        end_frame=min(first + round(TRACES_S * rate), recording.get_num_frames(segment)),
        channel_ids=recording.channel_ids[channels],
        return_in_uV=units.amplitude_unit == "uV",
    )
    times_ms = 1000 * np.arange(len(traces)) / rate
    spacing = max(float(np.quantile(np.abs(traces), 0.999)), 1e-9)
    figure = Figure(figsize=(12, TRACES_HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(times_ms, traces / spacing + np.arange(len(channels)), color="0.6", linewidth=0.6)
    colors, named = unit_colors(units), set()
    for unit, name in enumerate(units.unit_ids):
        near = set(units.near_channels(unit)) & set(channels.tolist())
        for time_ms in 1000 * (units.spike_times_s[unit] - start_s):
            inside = (times_ms >= time_ms - MS_BEFORE) & (times_ms <= time_ms + MS_AFTER)
            if not near or not inside.any():
                continue
            for row in np.flatnonzero(np.isin(channels, list(near))):
                label = None if name in named else f"unit {name}"
                named.add(name)
                axes.plot(times_ms[inside], traces[inside, row] / spacing + row, color=colors[unit], label=label)
    axes.set_yticks(np.arange(len(channels)), [str(name) for name in recording.channel_ids[channels]], fontsize=7)
    axes.set(xlabel=f"time (ms) after {start_s:.3f} s", ylabel="channel, from the lowest to the highest")
    if named:
        figure.legend(loc="outside right upper", fontsize=8)
    return figure


def unit_colors(units: MeasuredUnits) -> np.ndarray:
    """A colour for each unit, RGBA; units that lie next to each other have different ones."""
    from matplotlib import colormaps

    order = np.argsort(np.argsort(units.unit_locations[:, 1], kind="stable"), kind="stable")
    # Without the grey, in which peaks of no unit are drawn.
    palette = np.delete(colormaps["tab10"](np.arange(10))[:, :3], 7, axis=0)
    return np.concatenate([palette[order % len(palette)], np.ones((len(order), 1))], axis=1)


def _busy_place(units: MeasuredUnits) -> tuple[np.ndarray, float]:
    """Channels around the largest unit, from the lowest to the highest, and the time at which most units fire there."""
    largest = int(np.abs(units.templates).max(axis=(1, 2)).argmax())
    place = units.channel_locations[units.main_channel(largest)]
    distance = np.linalg.norm(units.channel_locations - place, axis=1)
    channels = np.argsort(distance, kind="stable")[:MOST_TRACES]
    channels = channels[np.lexsort((units.channel_locations[channels, 0], units.channel_locations[channels, 1]))]
    near = [unit for unit in range(len(units.unit_ids)) if units.main_channel(unit) in channels]
    starts = units.spike_times_s[largest] - TRACES_S / 2
    segment = np.searchsorted(units.segment_starts_s, units.spike_times_s[largest], side="right")
    starts = np.clip(starts, units.segment_starts_s[segment - 1], None)
    counts = np.zeros(len(starts))
    for unit in near:
        first, last = (np.searchsorted(units.spike_times_s[unit], starts + shift) for shift in (0, TRACES_S))
        counts += last > first
    return channels, float(starts[counts.argmax()])
