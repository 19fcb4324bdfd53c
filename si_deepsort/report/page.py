"""The report as one HTML page: what to worry about first, all units, one card for each, and how they were found."""

import html
from collections.abc import Hashable, Iterator
from importlib.resources import files
from typing import Any

import pandas as pd
import spikeinterface.core as si

from .. import html_report
from ..detection.threshold_detectors import DEFAULT_THRESHOLD
from ..sorter.adapter import DeepSortSorter
from .citations import bibtex, methods_text
from .environment import package_versions
from .figures import RASTER_S, TRACES_S, drift_map, raster, traces_with_spikes
from .left_out import left_out_item, left_out_section
from .measured import MeasuredUnits
from .probe_map import probe_map
from .sampled_peaks import SAMPLED_S, SampledPeaks
from .unit_cards import link, unit_card
from .unit_table import labels_by_unit, unit_table
from .worries import SHORT_RECORDING_S, Worry, find_worries

# Units that are named in a sentence of the summary.
MOST_NAMED = 20
# Keys under which SpikeInterface's recordings keep their files.
_PATH_KEYS = ("file_path", "file_paths", "folder_path", "folder", "file_name")


def report_page(
    sorting: si.BaseSorting,
    recording: si.BaseRecording,
    units: MeasuredUnits | None,
    params: dict[str, Any],
    left_out: pd.DataFrame | None,
    *,
    sorter_name: str = "",
    peaks: SampledPeaks | None = None,
    filtered: si.BaseRecording | None = None,
) -> str:
    """
    The page.

    Parameters
    ----------
    sorting : BaseSorting
        The units of `units`.
    recording : BaseRecording
        As it was given to the sorter.
    units : MeasuredUnits | None
        None if no unit was found.
    params : dict
        Settings of the sorter; empty if unknown.
    left_out : pandas.DataFrame | None
        Units that the sorter left out, see `left_out_units`; None if unknown.
    sorter_name : str, default: ""
        The sorter that made the sorting, if it is known.
    peaks : SampledPeaks | None, default: None
        Show a drift map.
    filtered : BaseRecording | None, default: None
        The recording as the sorter filters it: show a part of the traces.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    worries = [] if units is None else find_worries(units.metrics, units.similarity, units.expected)
    labels = labels_by_unit(worries)
    parts = [html_report.section("What to worry about first", *_summary(recording, units, worries, labels, left_out))]
    if units is not None:
        parts.append(html_report.section("Units", unit_table(units, labels, peaks)))
        cards = [unit_card(units, unit, labels.get(name, []), peaks) for unit, name in enumerate(units.unit_ids)]
        parts.append(html_report.section("Each unit", *cards))
        parts += _overview(units, peaks, filtered)
    if left_out is not None:
        parts.append(left_out_section(left_out))
    parts.append(html_report.section("Probe and units", probe_map(recording, units)))
    parts += _how_it_was_made(recording, params, sorter_name)
    here = files(__package__)
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    count = len(sorting.unit_ids)
    title = f"Spike sorting: {count} unit{'' if count == 1 else 's'}"
    return html_report.render_page(title, parts, style=style, script=script)


def _summary(
    recording,
    units: MeasuredUnits | None,
    worries: list[Worry],
    labels: dict[Hashable, list[str]],
    left_out: pd.DataFrame | None,
):
    """Sentences on the sorting as a whole, then large units that were left out, and the checks that units fail."""
    duration_s = recording.get_total_duration()
    lost = "" if left_out is None else left_out_item(left_out)
    if units is None:
        yield html_report.paragraph(
            "No unit was found: nothing stands out from the noise, or too rarely to make a unit. Is the recording in "
            "the expected unit, and are its channels alive?"
        )
        if lost:
            yield f"<ol>{lost}</ol>"
        return
    passing, num_units = len(units.unit_ids) - len(labels), len(units.unit_ids)
    num_spikes = sum(map(len, units.spike_times_s))
    good = "" if units.expected is None else f" {(units.expected['label'] == 'good').sum()} are judged good."
    yield html_report.paragraph(
        f"{num_units} units, {num_spikes} spikes, {duration_s:.1f} s.{good} {passing} of {num_units} pass all checks."
    )
    if duration_s < SHORT_RECORDING_S:
        yield (
            f'<p class="warn">The recording is shorter than {SHORT_RECORDING_S:g} s: neurons that fire rarely are '
            "missed, and the checks are uncertain.</p>"
        )
    items = [lost] if lost else []
    for worry in worries:
        named = ", ".join(link(unit_id) for unit_id in worry.unit_ids[:MOST_NAMED])
        more = " and more" if len(worry.unit_ids) > MOST_NAMED else ""
        heading = html.escape(f"{worry.label.capitalize()}: {len(worry.unit_ids)}.")
        items.append(f"<li><strong>{heading}</strong> {html.escape(worry.text)} Units: {named}{more}.</li>")
    if items:
        yield f"<ol>{''.join(items)}</ol>"


def _overview(units: MeasuredUnits, peaks: SampledPeaks | None, filtered: si.BaseRecording | None) -> Iterator[str]:
    """Sections with figures of all units together."""
    if peaks is not None:
        note = (
            f"Peaks above {DEFAULT_THRESHOLD:g} noise levels"
            + (f" in {SAMPLED_S:g} s, spread over the recording" if units.duration_s > SAMPLED_S else "")
            + ". If bands rise and fall together, the tissue moved. Large grey peaks belong to no unit: something was "
            "missed there, or it is an artefact."
        )
        title = "Drift map: peaks over time and depth"
        yield html_report.section(
            title, html_report.paragraph(note, is_note=True), html_report.embed_figure(drift_map(peaks, units), title)
        )
    if filtered is not None:
        title = f"Traces around the largest unit, {1000 * TRACES_S:g} ms"
        yield html_report.section(title, html_report.embed_figure(traces_with_spikes(units, filtered), title))
    title = f"Spikes of the first {min(RASTER_S, units.duration_s):.3g} s"
    yield html_report.section(title, html_report.embed_figure(raster(units), title))


def _how_it_was_made(recording: si.BaseRecording, params: dict[str, Any], sorter_name: str) -> Iterator[str]:
    """Sections on the recording, settings and versions, and a paragraph on all of it."""
    yield html_report.section("Recording", html_report.fact_table(_recording_facts(recording)))
    if params:
        yield html_report.section("Settings", html_report.fact_table(params))
    yield html_report.section("Versions", html_report.fact_table(package_versions()))
    known = params if sorter_name == DeepSortSorter.sorter_name else {}
    yield html_report.section("For your methods section", *_methods(known))


def _methods(params: dict[str, Any]) -> Iterator[str]:
    """A paragraph, its references, and both as BibTeX."""
    versions = package_versions()
    text, references = methods_text(params, versions)
    yield html_report.paragraph(text)
    yield f"<ul>{''.join(f'<li>{html.escape(reference.text)}</li>' for reference in references)}</ul>"
    yield f"<details><summary>BibTeX</summary>{html_report.preformatted(bibtex(references, versions))}</details>"


def _recording_facts(recording) -> dict[str, Any]:
    paths = source_paths(recording)
    return {
        "files": ", ".join(paths) if paths else "none (in memory or generated)",
        "kind": type(recording).__name__,
        "channels": recording.get_num_channels(),
        "duration": f"{recording.get_total_duration():.1f} s in {recording.get_num_segments()} segment(s)",
        "sampling frequency": f"{recording.get_sampling_frequency():.0f} Hz",
        "type of samples": str(recording.get_dtype()),
        "physical unit": "uV" if recording.has_scaleable_traces() else "unknown: traces are in counts",
    }


def source_paths(recording: si.BaseRecording) -> list[str]:
    """Files and folders that a recording is read from, however it was preprocessed."""
    found: dict[str, None] = {}

    def visit(value: Any):
        if isinstance(value, dict):
            for key, item in value.items():
                if key in _PATH_KEYS and item is not None:
                    found.update((str(path), None) for path in (item if isinstance(item, list | tuple) else [item]))
                else:
                    visit(item)
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)

    if recording.check_serializability("json"):
        visit(recording.to_dict(recursive=True))
    return list(found)
