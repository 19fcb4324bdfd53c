"""One HTML file to look at: the trace with its events, the doubtful ones first in a gallery, and histograms."""

import numpy as np

from ..html_report import embed_figure, fact_table, write_page
from .columns import DECISION, REJECT
from .traces import scaled_traces

GALLERY_SIZE = 60
STRIP_S = 10.0
MAX_STRIPS = 12
SHOWN_FRAMES = 20_000


def write_report(path, recording, events, *, title: str = "Miniature potentials"):
    """
    Write the report of one recording.

    Parameters
    ----------
    path : path
        Of the HTML file; it holds its pictures and needs no network.
    recording : BaseRecording
        With one channel, the one that was segmented.
    events : pandas.DataFrame
        From `segment_events`, with a column `decision` or without.
    title : str
    """
    import matplotlib

    matplotlib.use("Agg")
    kept = events[events[DECISION] != REJECT] if DECISION in events else events
    parts = [_summary(kept)]
    if len(events):
        parts += ["<h2>Distributions</h2>", _histograms(kept)]
        parts += ["<h2>Gallery, the doubtful first</h2>", _how_to_correct(), _gallery(recording, events)]
    else:
        parts.append("<p>No event was found. Lower --threshold or set --polarity if there should be some.</p>")
    parts += ["<h2>Trace</h2>", _strips(recording, events)]
    write_page(path, title, parts)


def _summary(events):
    unit = str(events.attrs.get("unit", "a.u."))
    duration = events.attrs.get("duration_s", float("nan"))
    rows = [("events", f"{len(events)}"), ("rate", f"{len(events) / duration:.3g} per s" if duration else "")]
    rows.append(("direction", "up" if events.attrs.get("polarity", 1) > 0 else "down"))
    rows.append(("noise level", f"{events.attrs.get('noise_level', float('nan')):.3g} {unit}"))
    for name, suffix in (("amplitude", unit), ("rise_ms", "ms"), ("decay_ms", "ms"), ("area", f"{unit} ms")):
        if len(events):
            low, middle, high = np.percentile(events[name], [25, 50, 75])
            rows.append(
                (f"median {name.removesuffix('_ms')}", f"{middle:.3g} {suffix} (quartiles {low:.3g}, {high:.3g})")
            )
    return fact_table(dict(rows))


def _how_to_correct():
    return (
        "<p>To correct, write <code>accept</code> or <code>reject</code> in the column <code>decision</code> of the "
        "CSV and run the same command again: the decisions are kept, rejected events are left out of the counts above. "
        "Each picture is named by its row (starting at 0).</p>"
    )


def _histograms(events):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8), layout="constrained")
    unit = events.attrs.get("unit", "a.u.")
    shown = (
        (events["amplitude"], f"amplitude ({unit})"),
        (events["interval_s"].dropna(), "interval (s)"),
        (events["rise_ms"], "rise 10-90 % (ms)"),
        (events["decay_ms"], "decay (ms)"),
    )
    for axis, (values, label) in zip(figure.subplots(1, 4), shown, strict=True):
        axis.hist(values, bins=min(40, max(5, len(values) // 4)), color="0.4")
        axis.set_xlabel(label)
    return embed_figure(figure, "Distributions of amplitude, interval, rise and decay")


def _gallery(recording, events):
    from matplotlib.figure import Figure

    chosen = events["confidence"].to_numpy().argsort(kind="stable")[:GALLERY_SIZE]
    num_rows = -(-len(chosen) // 6)
    figure = Figure(figsize=(11, 1.6 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, 6, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    rate = recording.get_sampling_frequency()
    for axis, row in zip(axes, chosen, strict=False):
        event = events.iloc[row]
        margin = max(0.01, 1.5 * (event["end_s"] - event["onset_s"]))
        start, values = _excerpt(recording, int(event["segment"]), event["onset_s"] - margin, event["end_s"] + margin)
        times = (start + np.arange(len(values)) / rate - event["onset_s"]) * 1000
        axis.plot(times, values, color="0.3", linewidth=0.6)
        axis.axvspan(0, (event["end_s"] - event["onset_s"]) * 1000, color="tab:red", alpha=0.15, linewidth=0)
        axis.set_title(f"{row}: p {event['confidence']:.2f}, {event['amplitude']:.3g}", fontsize=7)
    return embed_figure(figure, "Gallery of events")


def _strips(recording, events):
    """The trace in strips of 10 s, evenly spread over the recording if there are too many."""
    from matplotlib.figure import Figure

    rate = recording.get_sampling_frequency()
    strips = [
        (segment, start)
        for segment in range(recording.get_num_segments())
        for start in np.arange(0, max(recording.get_num_frames(segment) / rate, 1e-9), STRIP_S)
    ]
    shown = [strips[index] for index in np.unique(np.linspace(0, len(strips) - 1, MAX_STRIPS).astype(int))]
    figure = Figure(figsize=(11, 1.5 * len(shown)), layout="constrained")
    for axis, (segment, start) in zip(figure.subplots(len(shown), 1, squeeze=False).ravel(), shown, strict=True):
        first, values = _excerpt(recording, segment, start, start + STRIP_S)
        step = max(1, len(values) // SHOWN_FRAMES)
        axis.plot(first + np.arange(len(values))[::step] / rate, values[::step], color="0.3", linewidth=0.4)
        here = events[(events["segment"] == segment) & events["onset_s"].between(start, start + STRIP_S)]
        for _, event in here.iterrows():
            color = "tab:red" if event["confidence"] > 0.8 else "tab:orange"
            axis.axvspan(event["onset_s"], event["end_s"], color=color, alpha=0.35, linewidth=0)
        axis.set_xlim(start, start + STRIP_S)
        axis.set_ylim(*_limits(values, events))
        axis.set_ylabel(f"segment {segment}", fontsize=7)
        axis.tick_params(labelsize=7)
    note = "" if len(shown) == len(strips) else f"<p>{len(shown)} of {len(strips)} stretches of {STRIP_S:g} s.</p>"
    return note + "<p>Red: confidence above 0.8; orange: doubtful.</p>" + embed_figure(figure, "Trace with events")


def _limits(values, events):
    """Range of the events and the noise; a test pulse may leave the picture."""
    values = values[np.isfinite(values)]
    low, middle, high = np.percentile(values, [1, 50, 99]) if len(values) else (0.0, 0.0, 1.0)
    largest = 1.3 * np.percentile(np.abs(events["amplitude"]), 99) if len(events) else 0.0
    direction = events.attrs.get("polarity", 1)
    margin = 0.5 * (high - low) + 1e-9
    return min(low, middle - largest * (direction < 0)) - margin, max(high, middle + largest * (direction > 0)) + margin


def _excerpt(recording, segment, start_s, end_s):
    rate = recording.get_sampling_frequency()
    start = max(0, int(start_s * rate))
    stop = min(recording.get_num_frames(segment), int(end_s * rate) + 1)
    return start / rate, scaled_traces(recording, segment, start, stop)
