"""One card for each unit: template on the probe, correlograms, intervals, amplitudes, and the most similar units."""

import html

import numpy as np

from ..assessment.reasons import NOTHING
from .measured import MeasuredUnits
from .sampled_peaks import SampledPeaks
from .svg import bars, dots, drawing, line, vertical_line

# Size of the drawings in pixels.
TEMPLATE_SIZE = (230, 250)
HISTOGRAM_SIZE = (200, 80)
TIMELINE_SIZE = (440, 90)
THUMBNAIL_SIZE = (70, 28)
# Points of a waveform, at most: more cannot be seen in a drawing of this size.
MOST_SAMPLES = 40
# Spikes in the drawing of amplitudes: gaps and drift show well, and a card stays near 10 kB.
MOST_DOTS = 400
# Depths that the drawing of a unit's depth covers, in um: drift of acute recordings is smaller.
DEPTH_RANGE_UM = 100.0
# Points of the firing rate over time.
NUM_RATE_BINS = 60
# Window and bin of correlograms in ms: bursts and refractory periods are within 25 ms of a spike.
CORRELOGRAM_MS, CORRELOGRAM_BIN_MS = 50.0, 1.0
# Longest interval and bin of the histogram of intervals in ms.
INTERVAL_MS, INTERVAL_BIN_MS = 25.0, 0.5
# Refractory period that is marked, in ms: SpikeInterface's default for violations.
REFRACTORY_MS = 1.5
# Similar units that are compared, and the cosine below which a unit is not similar.
NUM_SIMILAR, LEAST_SIMILARITY = 3, 0.3


def anchor(unit_id: object) -> str:
    """Name of a unit's card in the page."""
    return "unit-" + html.escape(str(unit_id).replace(" ", "_"))


def link(unit_id: object) -> str:
    """A link to a unit's card."""
    return f'<a href="#{anchor(unit_id)}">{html.escape(str(unit_id))}</a>'


def thumbnail(units: MeasuredUnits, unit: int) -> str:
    """Template of a unit on its main channel, small."""
    waveform = _thinned(units.templates[unit][:, units.main_channel(unit)])
    width, height = THUMBNAIL_SIZE
    span = max(float(np.ptp(waveform)), 1e-9)
    x = np.linspace(0, width, len(waveform))
    return drawing("", line(x, height * (waveform.max() - waveform) / span), width=width, height=height)


def unit_card(units: MeasuredUnits, unit: int, labels: list[str], peaks: SampledPeaks | None = None) -> str:
    """
    A card that opens and closes. Its drawings are text until the card is opened, so that a thousand cards load fast.

    Parameters
    ----------
    units : MeasuredUnits
    unit : int
        Its place in `units`.
    labels : list of str
        Checks that the unit fails.
    peaks : SampledPeaks | None, default: None
        Show the depth of the unit over time.

    Returns
    -------
    str
        HTML.
    """
    unit_id = units.unit_ids[unit]
    others = similar_units(units.similarity[unit], unit)
    counts, _ = _correlograms(units.sorting, units.unit_ids[[unit, *others]])
    pairs = [
        _correlogram(f"with {units.unit_ids[other]} (similarity {units.similarity[unit, other]:.2f})", counts[0, place])
        for place, other in enumerate(others, start=1)
    ]
    note = f' <span class="warn">{html.escape(", ".join(labels))}</span>' if labels else ""
    count = len(units.spike_times_s[unit])
    drawings = [
        template_drawing(units, unit),
        _correlogram("Autocorrelogram", counts[0, 0]),
        _intervals(units.intervals_ms(unit)),
        _amplitudes(units, unit),
        _rate(units, unit),
    ]
    if peaks is not None:
        drawings.append(_depths(units, unit, peaks))
    compared = ""
    if others:
        links = ", ".join(link(units.unit_ids[other]) for other in others)
        compared = f'<p>Most similar units: {links}</p><div class="drawings">{"".join(pairs)}</div>'
    stored = f'<script type="text/plain"><div class="drawings">{"".join(drawings)}</div>{compared}</script>'
    return (
        f'<details class="unit" id="{anchor(unit_id)}"><summary>Unit {html.escape(str(unit_id))}, {count} spikes{note}'
        f"</summary>{judgement(units, unit)}{stored}</details>"
    )


def judgement(units: MeasuredUnits, unit: int) -> str:
    """What is to be expected of a unit, and why, as a paragraph; nothing if it was not judged."""
    if units.expected is None:
        return ""
    row = units.expected.iloc[unit]
    text = (
        f"Judged {row['label']} (probability {row['confidence']:.2f}). "
        f"Expected precision {row['expected_precision']:.2f}, expected recall {row['expected_recall']:.2f}."
    )
    if units.reasons is not None:
        found = str(units.reasons[unit])
        text += " Nothing speaks against it." if found == NOTHING else f" What speaks against it: {found}."
    return f"<p>{html.escape(text)}</p>"


def template_drawing(units: MeasuredUnits, unit: int) -> str:
    """Template on the channels near the main one, each at its place on the probe."""
    channels = units.near_channels(unit)
    places = units.channel_locations[channels]
    width, height = TEMPLATE_SIZE
    columns, rows = (len(np.unique(np.rint(places[:, axis]))) for axis in (0, 1))
    cell_width, cell_height = width / min(columns, 4), height / max(rows, 3)
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), 1e-9)
    left = (places[:, 0] - low[0]) / span[0] * (width - cell_width)
    middle = height - cell_height * 0.7 - (places[:, 1] - low[1]) / span[1] * (height - 1.4 * cell_height)
    waveforms = [_thinned(units.templates[unit][:, channel]) for channel in channels]
    largest = max(max(float(np.abs(waveform).max()) for waveform in waveforms), 1e-9)
    elements = []
    for waveform, x, y in zip(waveforms, left, middle, strict=True):
        # The largest deflection reaches into the row of the next contact, so that small ones are still seen.
        height_px = y - waveform / largest * 1.2 * cell_height
        elements.append(line(x + np.linspace(0, 0.92 * cell_width, len(waveform)), height_px.clip(0, height)))
    times = units.sample_times_ms
    title = f"Template, up to {largest:.3g} {units.amplitude_unit}, {np.ptp(times):.2g} ms"
    return drawing(title, *elements, width=width, height=height)


def similar_units(similarity: np.ndarray, unit: int) -> list[int]:
    """Places of the units most similar to one."""
    order = np.argsort(-similarity, kind="stable")
    return [int(other) for other in order if other != unit and similarity[other] > LEAST_SIMILARITY][:NUM_SIMILAR]


def _correlograms(sorting, unit_ids):
    from spikeinterface.postprocessing import compute_correlograms

    return compute_correlograms(sorting.select_units(unit_ids), window_ms=CORRELOGRAM_MS, bin_ms=CORRELOGRAM_BIN_MS)


def _correlogram(title: str, counts: np.ndarray) -> str:
    width, height = HISTOGRAM_SIZE
    half = CORRELOGRAM_MS / 2
    return drawing(
        title,
        bars(counts, width=width, height=height),
        vertical_line(width / 2, height),
        width=width,
        height=height,
        x_labels=(f"-{half:g} ms", f"{half:g} ms"),
        y_label=str(int(counts.max(initial=0))),
    )


def _intervals(intervals_ms: np.ndarray) -> str:
    width, height = HISTOGRAM_SIZE
    counts, _ = np.histogram(intervals_ms, bins=np.arange(0, INTERVAL_MS + INTERVAL_BIN_MS, INTERVAL_BIN_MS))
    share = (intervals_ms < REFRACTORY_MS).mean() if len(intervals_ms) else 0.0
    return drawing(
        f"Intervals; {share:.2%} under {REFRACTORY_MS:g} ms",
        bars(counts, width=width, height=height),
        vertical_line(width * REFRACTORY_MS / INTERVAL_MS, height),
        width=width,
        height=height,
        x_labels=("0", f"{INTERVAL_MS:g} ms"),
        y_label=str(int(counts.max(initial=0))),
    )


def _amplitudes(units: MeasuredUnits, unit: int) -> str:
    times, sizes = units.spike_times_s[unit], units.spike_amplitudes[unit]
    shown = np.linspace(0, len(times) - 1, min(len(times), MOST_DOTS)).astype(int)
    width, height = TIMELINE_SIZE
    low, high = min(0.0, float(sizes.min())), max(0.0, float(sizes.max()))
    y = height * (high - sizes[shown]) / max(high - low, 1e-9)
    return drawing(
        f"Amplitudes, {low:.3g} to {high:.3g} {units.amplitude_unit}",
        *_segment_borders(units),
        dots(width * times[shown] / units.duration_s, y),
        width=width,
        height=height,
        x_labels=("0", f"{units.duration_s:.0f} s"),
    )


def _rate(units: MeasuredUnits, unit: int) -> str:
    width, height = TIMELINE_SIZE
    edges = np.linspace(0, units.duration_s, NUM_RATE_BINS + 1)
    rate = np.histogram(units.spike_times_s[unit], bins=edges)[0] / edges[1]
    return drawing(
        "Firing rate",
        *_segment_borders(units),
        line(width * (edges[:-1] + edges[1] / 2) / edges[-1], height * (1 - rate / max(rate.max(), 1e-9))),
        width=width,
        height=height,
        x_labels=("0", f"{units.duration_s:.0f} s"),
        y_label=f"{rate.max():.3g} Hz",
    )


def _depths(units: MeasuredUnits, unit: int, peaks: SampledPeaks) -> str:
    width, height = TIMELINE_SIZE
    own = np.flatnonzero(peaks.units == unit)
    own = own[np.linspace(0, len(own) - 1, min(len(own), MOST_DOTS)).astype(int)]
    depths = peaks.depths_um[own]
    middle = round(float(np.median(depths))) if len(own) else 0
    y = height * (0.5 - (depths - middle) / DEPTH_RANGE_UM)
    return drawing(
        f"Depth, {middle} um in the middle, {DEPTH_RANGE_UM:g} um from bottom to top",
        *_segment_borders(units),
        dots(width * peaks.times_s[own] / units.duration_s, y.clip(0, height)),
        width=width,
        height=height,
        x_labels=("0", f"{units.duration_s:.0f} s"),
    )


def _segment_borders(units: MeasuredUnits) -> list[str]:
    width, height = TIMELINE_SIZE
    return [vertical_line(width * start / units.duration_s, height) for start in units.segment_starts_s[1:-1]]


def _thinned(waveform: np.ndarray) -> np.ndarray:
    """Every so many-th sample, the largest deflection among them."""
    step = -(-len(waveform) // MOST_SAMPLES)
    return waveform[int(np.abs(waveform).argmax()) % step :: step]
