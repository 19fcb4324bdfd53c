"""Figures of the report on events: average event, distributions, gallery of single events, trace."""

import numpy as np
import pandas
from matplotlib.figure import Figure
from spikeinterface.core import BaseRecording

from .columns import DECISION, REJECT
from .traces import scaled_traces, unit_of
from .waveform import biexponential, peak_time_ms, tau_of_rise_ms

# Events in the gallery, and in each of its rows.
GALLERY_SIZE, GALLERY_COLUMNS = 60, 5
# The trace is shown in strips of this length, in s, at most so many of them, with at most so many points each.
STRIP_S, MAX_STRIPS, SHOWN_FRAMES = 10.0, 12, 20_000
# Shown before the onset, and after it in multiples of the median length of an event within limits, in ms.
BEFORE_MS, LENGTHS_AFTER, SHORTEST_AFTER_MS, LONGEST_AFTER_MS = 6.0, 2.0, 15.0, 200.0
# Most events in the average; more do not change it visibly.
MAX_AVERAGED = 500
# The rate is shown in bins of a round length, at least so many of them over the recording.
NUM_RATE_BINS = 20
KEPT_COLOR, DOUBTFUL_COLOR, REJECTED_COLOR, TRACE_COLOR = "tab:red", "tab:orange", "0.6", "0.3"
# Row of the first event as a spreadsheet shows it: the heading is row 1.
FIRST_ROW = 2


def plot_average(recording: BaseRecording, events: pandas.DataFrame) -> Figure:
    """
    Average of the events without overlap, aligned at the onset, with the spread and the average fit.

    Parameters
    ----------
    recording : BaseRecording
    events : pandas.DataFrame

    Returns
    -------
    matplotlib.figure.Figure
    """
    alone = events[~events["overlap"]] if (~events["overlap"]).any() else events
    alone = alone.iloc[np.unique(np.linspace(0, len(alone) - 1, MAX_AVERAGED).astype(int))]
    times_ms = _time_axis(recording, events)
    excerpts, fits = zip(*(_aligned(recording, event, times_ms) for _, event in alone.iterrows()), strict=True)
    with np.errstate(all="ignore"):
        middle, spread = np.nanmean(excerpts, axis=0), np.nanstd(excerpts, axis=0)
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.fill_between(times_ms, middle - spread, middle + spread, color="0.8", linewidth=0)
    axis.plot(times_ms, middle, color="k", linewidth=1.2, label=f"average of {len(alone)} events")
    axis.plot(times_ms, np.nanmean(fits, axis=0), color=KEPT_COLOR, linewidth=1, label="average fit")
    axis.set_xlabel("time after the onset (ms)")
    axis.set_ylabel(f"difference from baseline ({unit_of(recording)})")
    axis.legend(frameon=False, fontsize=8)
    return figure


def plot_distributions(events: pandas.DataFrame) -> Figure:
    """Histograms of amplitude, interval, rise and decay, above their cumulative plots."""
    unit = events.attrs.get("unit", "a.u.")
    shown = (
        (events["amplitude"], f"amplitude ({unit})"),
        (events["interval_s"], "interval (s)"),
        (events["rise_ms"], "rise, 10 to 90 % (ms)"),
        (events["decay_ms"], "decay time constant (ms)"),
    )
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(2, len(shown), sharex="col")
    for (upper, lower), (values, label) in zip(axes.T, shown, strict=True):
        values = np.sort(values.dropna().to_numpy(float))
        if len(values):
            upper.hist(values, bins=min(40, max(5, len(values) // 4)), color="0.4")
            lower.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color="k")
        lower.set_ylim(0, 1.02)
        lower.set_xlabel(label)
    axes[0, 0].set_ylabel("events")
    axes[1, 0].set_ylabel("part of the events up to here")
    return figure


def plot_course(recording: BaseRecording, events: pandas.DataFrame) -> Figure:
    """Amplitude and rate of the events over the whole recording, its sweeps joined: whether it was stable."""
    rate = recording.get_sampling_frequency()
    lengths_s = [recording.get_num_frames(segment) / rate for segment in range(recording.get_num_segments())]
    starts_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    times_s = starts_s[events["segment"].to_numpy(int)] + events["onset_s"].to_numpy()
    step_s = _round_length(starts_s[-1] / NUM_RATE_BINS)
    edges_s = np.append(np.arange(0, starts_s[-1], step_s), starts_s[-1])
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(times_s, events["amplitude"], ".", color=TRACE_COLOR, markersize=4)
    upper.set_ylabel(f"amplitude ({unit_of(recording)})")
    lower.stairs(np.histogram(times_s, edges_s)[0] / np.diff(edges_s), edges_s, color="k")
    lower.set_ylabel(f"events per s\n(bins of {step_s:g} s)")
    lower.set_xlabel("time (s), sweeps joined")
    lower.set_xlim(0, starts_s[-1])
    lower.set_ylim(bottom=0)
    return figure


def plot_gallery(recording: BaseRecording, events: pandas.DataFrame) -> Figure:
    """
    Single events at one common scale, the doubtful first, with fit, onset, peak, end and the row in the table.

    Parameters
    ----------
    recording : BaseRecording
    events : pandas.DataFrame
        All events, in the order of the table; rejected ones too.

    Returns
    -------
    matplotlib.figure.Figure
    """
    confidence = events["confidence"].fillna(1.0).to_numpy()
    chosen = np.lexsort((confidence, ~events["doubtful"].to_numpy(bool)))[:GALLERY_SIZE]
    times_ms = _time_axis(recording, events)
    num_rows = -(-len(chosen) // GALLERY_COLUMNS)
    figure = Figure(figsize=(11, 0.5 + 1.7 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, GALLERY_COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, row in zip(axes, chosen, strict=False):
        _plot_event(axis, recording, events.iloc[row], times_ms, FIRST_ROW + row)
    largest = np.nanpercentile(np.abs(events["amplitude"].iloc[chosen]), 98)
    noise = 4 * events.attrs.get("noise_level", 0.0)
    down = events.attrs.get("polarity", 1) < 0
    axes[0].set_xlim(times_ms[0], times_ms[-1])
    axes[0].set_ylim(*((-1.2 * largest, noise) if down else (-noise, 1.2 * largest)))
    _scale_bars(axes[0], times_ms, largest, unit_of(recording))
    return figure


def plot_strips(recording: BaseRecording, events: pandas.DataFrame) -> tuple[Figure, int, int]:
    """
    The trace in strips of 10 s, evenly spread over the recording if there are too many.

    Returns
    -------
    figure : matplotlib.figure.Figure
    num_shown, num_strips : int
    """
    rate = recording.get_sampling_frequency()
    strips = [
        (segment, start)
        for segment in range(recording.get_num_segments())
        for start in np.arange(0, max(recording.get_num_frames(segment) / rate, 1e-9), STRIP_S)
    ]
    shown = [strips[index] for index in np.unique(np.linspace(0, len(strips) - 1, MAX_STRIPS).astype(int))]
    figure = Figure(figsize=(11, 0.3 + 1.5 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False).ravel()
    for axis, (segment, start) in zip(axes, shown, strict=True):
        first, values = _excerpt(recording, segment, start, start + STRIP_S)
        step = max(1, len(values) // SHOWN_FRAMES)
        axis.plot(first + np.arange(len(values))[::step] / rate, values[::step], color=TRACE_COLOR, linewidth=0.4)
        here = events[(events["segment"] == segment) & events["onset_s"].between(start, start + STRIP_S)]
        for _, event in here.iterrows():
            axis.axvspan(event["onset_s"], event["end_s"], color=_color(event), alpha=0.35, linewidth=0)
        axis.set_xlim(start, start + STRIP_S)
        axis.set_ylim(*_limits(values, events))
        axis.set_ylabel(f"sweep {segment}\n({unit_of(recording)})", fontsize=7)
        axis.tick_params(labelsize=7)
    axes[-1].set_xlabel("time (s)", fontsize=8)
    return figure, len(shown), len(strips)


def _plot_event(axis, recording, event, times_ms, row):
    values, fit = _aligned(recording, event, times_ms)
    color = _color(event)
    axis.plot(times_ms, values, color=TRACE_COLOR, linewidth=0.6)
    axis.axvspan(0, 1000 * (event["end_s"] - event["onset_s"]), color=color, alpha=0.12, linewidth=0)
    if np.isfinite(event["amplitude"]):
        axis.plot(times_ms, fit, color="tab:red", linewidth=0.9)
        axis.plot(1000 * (event["peak_s"] - event["onset_s"]), event["amplitude"], "o", color="tab:red", markersize=3)
        axis.plot(0, 0, "^", color="k", markersize=3)
    confidence = "by hand" if np.isnan(event["confidence"]) else f"p {event['confidence']:.2f}"
    name = f"row {row} | sweep {event['segment']} | {event['onset_s']:.3f} s | {confidence}"
    axis.set_title(name, fontsize=7.5, color="k" if color == KEPT_COLOR else color)


def _color(event):
    if DECISION in event and event[DECISION] == REJECT:
        return REJECTED_COLOR
    return DOUBTFUL_COLOR if event["doubtful"] else KEPT_COLOR


def _time_axis(recording, events):
    """Times around an onset, in ms, at the rate of the recording."""
    step_ms = 1000 / recording.get_sampling_frequency()
    length_ms = 1000 * float(np.nanmedian(events["end_s"] - events["onset_s"]))
    after_ms = np.clip(LENGTHS_AFTER * length_ms, SHORTEST_AFTER_MS, LONGEST_AFTER_MS)
    return np.arange(-BEFORE_MS, after_ms, step_ms)


def _aligned(recording, event, times_ms):
    """Trace around one event less its local baseline (NaN outside of the recording), and the fitted event."""
    start_s, stop_s = (event["onset_s"] + edge / 1000 for edge in (times_ms[0], times_ms[-1]))
    first_s, values = _excerpt(recording, int(event["segment"]), start_s, stop_s)
    own_ms = 1000 * (first_s + np.arange(len(values)) / recording.get_sampling_frequency() - event["onset_s"])
    trace = np.interp(times_ms, own_ms, values, left=np.nan, right=np.nan)
    if not np.isfinite(event["amplitude"]):
        return trace - np.nanmedian(trace), np.full(len(times_ms), np.nan)
    tau_rise = tau_of_rise_ms(event["rise_ms"], event["decay_ms"])
    begins_ms = 1000 * (event["peak_s"] - event["onset_s"]) - float(peak_time_ms(tau_rise, event["decay_ms"]))
    fit = event["amplitude"] * biexponential(times_ms - begins_ms, tau_rise, event["decay_ms"])
    near = times_ms < 1000 * (event["end_s"] - event["onset_s"])
    return trace - np.nanmedian((trace - fit)[near]), fit


def _scale_bars(axis, times_ms, largest, unit):
    """A horizontal and a vertical bar of round lengths, at the right of the first panel."""
    width, height = _round_length((times_ms[-1] - times_ms[0]) / 4), _round_length(largest / 2)
    low, high = axis.get_ylim()
    left, bottom = times_ms[-1] - width, low + 0.05 * (high - low) if abs(low) > abs(high) else high - height
    axis.plot([left, left, left + width], [bottom + height, bottom, bottom], color="k", linewidth=1.5)
    words = axis.annotate(
        f"{width:g} ms, {height:g} {unit}",
        (times_ms[-1], bottom),
        (0, -9),
        textcoords="offset points",
        fontsize=7.5,
        horizontalalignment="right",
    )
    words.set_in_layout(False)  # else the first column would be wider than the others


def _round_length(length):
    """The largest of 1, 2, 5, 10, 20, ... that is not longer."""
    if not length > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))


def _limits(values, events):
    """Range of the events and the noise; a test pulse may leave the picture."""
    values = values[np.isfinite(values)]
    low, middle, high = np.percentile(values, [1, 50, 99]) if len(values) else (0.0, 0.0, 1.0)
    amplitudes = np.abs(events["amplitude"].dropna())
    largest = 1.3 * np.percentile(amplitudes, 99) if len(amplitudes) else 0.0
    direction = events.attrs.get("polarity", 1)
    margin = 0.5 * (high - low) or 1.0
    return min(low, middle - largest * (direction < 0)) - margin, max(high, middle + largest * (direction > 0)) + margin


def _excerpt(recording, segment, start_s, end_s):
    rate = recording.get_sampling_frequency()
    start = max(0, int(start_s * rate))
    stop = min(recording.get_num_frames(segment), int(end_s * rate) + 2)
    return start / rate, scaled_traces(recording, segment, start, max(start + 1, stop))
