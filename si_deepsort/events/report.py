"""One page about the events of a recording: facts, average event, distributions, gallery and trace."""

from pathlib import Path

import numpy as np
import pandas
from spikeinterface.core import BaseRecording

from ..html_report import embed_figure, fact_table, paragraph, section, write_page
from .columns import DECISION, REJECT
from .report_figures import plot_average, plot_course, plot_distributions, plot_gallery, plot_strips
from .waveform import end_words

# Quantities that are summarised, with their names and units; {} is the unit of the recording.
SUMMARISED = {
    "amplitude": ("Amplitude", "{}"),
    "rise_ms": ("Rise, 10 to 90 %", "ms"),
    "decay_ms": ("Decay time constant", "ms"),
    "area": ("Area", "{} ms"),
    "interval_s": ("Interval", "s"),
}
HOW_TO_CORRECT = (
    "Each event is named by its row in the table, as a spreadsheet shows it (the heading is row 1), its sweep (the "
    "column segment, from 0) and the time of its onset. To correct, write accept or reject in the column decision of "
    "that row and run the same command again; to add a missed event, add a row with onset_s and accept. Rejected "
    "events are left out of all numbers above."
)
ABOUT_AVERAGE = "Events without overlap, aligned at their onset; the band is one standard deviation."
ABOUT_GALLERY = (
    "All events have one scale. Red: the fitted event. Triangle: onset. Dot: peak. Shaded: onset to end. p: "
    "confidence. Doubtful events (low confidence or poor fit) have an orange name, rejected ones a grey name."
)


def write_report(
    path: str | Path, recording: BaseRecording, events: pandas.DataFrame, *, title: str = "Miniature potentials"
) -> Path:
    """
    Write the report of one recording.

    Parameters
    ----------
    path : str | Path
        The HTML file; its figures are inside it, and it needs no network.
    recording : BaseRecording
        With one channel, the one that was segmented.
    events : pandas.DataFrame
        From `segment_events`, with a column `decision` or without.
    title : str, default: "Miniature potentials"
        The name of the file, say.

    Returns
    -------
    Path
    """
    kept = events[events[DECISION] != REJECT] if DECISION in events else events
    parts = [section("Recording and settings", fact_table(_facts(recording, events, kept)))]
    if len(kept):
        average = embed_figure(plot_average(recording, kept), "Average event with the spread of single events")
        distributions = embed_figure(plot_distributions(kept), "Histograms and cumulative plots")
        parts.append(section("Events", fact_table(_summary(kept))))
        parts.append(section("Average event", paragraph(ABOUT_AVERAGE, is_note=True), average))
        parts.append(section("Distributions", distributions))
        course = embed_figure(plot_course(recording, kept), "Amplitude and rate over the recording")
        parts.append(section("Course of the recording", course))
    else:
        parts.append(paragraph("No event was found. Lower the threshold or set the polarity if there should be some."))
    if len(events):
        gallery = embed_figure(plot_gallery(recording, events), "Single events with their fits")
        about = [paragraph(HOW_TO_CORRECT), paragraph(ABOUT_GALLERY, is_note=True)]
        parts.append(section("Gallery, doubtful events first", *about, gallery))
    figure, num_shown, num_strips = plot_strips(recording, events)
    note = f"{num_shown} of {num_strips} stretches. Red: events; orange: doubtful ones; grey: rejected ones."
    parts.append(section("Trace", paragraph(note, is_note=True), embed_figure(figure, "Trace with its events")))
    return write_page(path, title, parts)


def _facts(recording, events, kept) -> dict:
    attributes = events.attrs
    unit = attributes.get("unit", "a.u.")
    analysed = attributes.get("analysed_s", attributes.get("duration_s", float("nan")))
    excluded = [f"{start:g} to {stop:g} s" for start, stop in attributes.get("exclude_s", [])]
    return {
        "Sampling rate": f"{recording.get_sampling_frequency():g} Hz",
        "Sweeps (segments)": recording.get_num_segments(),
        "Duration": f"{attributes.get('duration_s', float('nan')):.6g} s, of which {analysed:.6g} s analysed",
        "Excluded in each sweep": ", ".join(excluded) or "nothing",
        "Model": f"{attributes.get('model', 'unknown')} (si_deepsort {attributes.get('version', 'unknown')})",
        "Threshold": f"confidence of at least {attributes.get('threshold', float('nan')):g}",
        "Direction of the events": "up" if attributes.get("polarity", 1) > 0 else "down",
        "End of an event": end_words(attributes.get("end", "tenth")),
        "Noise level": f"{attributes.get('noise_level', float('nan')):.3g} {unit}",
        "Events": len(kept),
        "Rate": f"{len(kept) / analysed:.3g} per s" if analysed > 0 else None,
        "Doubtful": int(kept["doubtful"].sum()),
        "Rejected by you": len(events) - len(kept),
    }


def _summary(events) -> dict:
    unit = events.attrs.get("unit", "a.u.")
    rows = {}
    for name, (label, suffix) in SUMMARISED.items():
        values = events[name].dropna()
        if len(values):
            low, middle, high = np.percentile(values, [25, 50, 75])
            shown = suffix.format(unit)
            rows[label] = f"median {middle:.3g} {shown} (quartiles {low:.3g} and {high:.3g}), mean {values.mean():.3g}"
    return rows
