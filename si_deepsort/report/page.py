"""The report as one HTML page: what to worry about first, all units, one card for each, and how they were found."""

import html
from collections.abc import Hashable
from importlib.resources import files
from typing import Any

import pandas as pd
import spikeinterface.core as si

from .. import html_report
from .environment import package_versions
from .figures import RASTER_S, raster
from .left_out import left_out_item, left_out_section
from .measured import MeasuredUnits
from .probe_map import probe_map
from .unit_cards import link, unit_card
from .unit_table import labels_by_unit, unit_table
from .worries import SHORT_RECORDING_S, Worry, find_worries

CITATIONS = (
    "Buccino et al. (2020). SpikeInterface, a unified framework for spike sorting. eLife 9:e61834.",
    "Magland and Barnett (2015). Unimodal clustering using isotonic regression: ISO-SPLIT. arXiv:1508.04841.",
    "Garcia et al. (2022). How do spike collisions affect spike sorting performance? eNeuro 9(5).",
    "Hill, Mehta and Kleinfeld (2011). Quality metrics to accompany spike sorting. J. Neurosci. 31(24):8699.",
    "Siegle et al. (2021). Survey of spiking in the mouse visual system reveals functional hierarchy. Nature 592:86.",
    "Llobet, Wyngaard and Barbour (2022). Automatic post-processing and merging of multiple spike-sorting analyses "
    "with Lussac. bioRxiv 2022.02.08.479192.",
)
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

    Returns
    -------
    str
        HTML that needs no other file.
    """
    worries = [] if units is None else find_worries(units.metrics, units.similarity)
    labels = labels_by_unit(worries)
    parts = [html_report.section("What to worry about first", *_summary(recording, units, worries, labels, left_out))]
    if units is not None:
        parts.append(html_report.section("Units", unit_table(units, labels)))
        cards = [
            unit_card(units, unit, sorting, labels.get(unit_id, [])) for unit, unit_id in enumerate(units.unit_ids)
        ]
        parts.append(html_report.section("Each unit", *cards))
    if left_out is not None:
        parts.append(left_out_section(left_out))
    parts.append(html_report.section("Probe and units", probe_map(recording, units)))
    if units is not None:
        title = f"Spikes of the first {min(RASTER_S, units.duration_s):.3g} s"
        parts.append(html_report.section(title, html_report.embed_figure(raster(units), title)))
    parts.append(html_report.section("Recording", html_report.fact_table(_recording_facts(recording))))
    if params:
        parts.append(html_report.section("Settings", html_report.fact_table(params)))
    parts.append(html_report.section("Versions", html_report.fact_table(package_versions())))
    parts.append(html_report.section("Please cite", *map(html_report.paragraph, CITATIONS)))
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
    passing = len(units.unit_ids) - len(labels)
    num_spikes = sum(map(len, units.spike_times_s))
    yield html_report.paragraph(
        f"{len(units.unit_ids)} units, {num_spikes} spikes, {duration_s:.1f} s. {passing} units pass all checks."
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
