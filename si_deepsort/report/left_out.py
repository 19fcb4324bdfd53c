"""Units that the sorter merged or dropped at the end: which, how large, why, and what to do."""

import html

import pandas as pd
from spikeinterface.core import BaseSorting

from ..html_report import embed_table, format_value, paragraph, section
from ..sorter.units.dropped import (
    BESIDE_BLANKS,
    COLLISION,
    FEW_SPIKES,
    FRAGMENT,
    MERGED,
    NOT_TYPICAL,
    RARE,
    SATELLITE,
    SMALL,
)

# Annotation of the sorting that holds the table, a dict of columns.
ANNOTATION = "dropped_units"
# Name of the table in the page, for links.
TABLE_NAME = "left-out"
# A unit that was left out is named in the summary from this SNR and number of spikes on: false units are mostly
# smaller, and fewer spikes may come together by chance.
LARGE_SNR, MANY_SPIKES = 8.0, 30
# Units in the table, at most; the file dropped.csv has all.
MOST_ROWS = 100
# Units that are named in the summary, at most.
MOST_NAMED = 5
# What each reason means, and what to do if the unit is a neuron after all.
ADVICE = {
    MERGED: "Its spikes are in the result, as spikes of the other unit. If the two are different neurons, lower "
    "merge_separation.",
    COLLISION: "Its spikes are in no unit of the result; most are moments at which other units fired together. If it "
    "is a neuron of its own, look at the units around it: one of them may hold spikes of two neurons.",
    SATELLITE: "It is false in most cases: its spikes have a fixed lag from those of a larger unit.",
    FEW_SPIKES: "A longer recording helps most. A smaller min_cluster_size finds rarer neurons and more false units.",
    RARE: "If you study neurons that fire rarely, lower min_firing_rate.",
    SMALL: "If you study small units, lower min_amplitude.",
    NOT_TYPICAL: "Its single spikes are hardly larger than the noise, or do not look like their mean: it may be noise, "
    "or a mixture. If you study small units, lower min_spike_size.",
    FRAGMENT: "Less than half of the spikes of its neuron would be found, for instance only those beside spikes of a "
    "neighbour. If you need them all the same, set drop_fragments=False.",
    BESIDE_BLANKS: "It is what the blanking of artefacts, such as those of stimulation, leaves over.",
}
# Columns of the table: as the sorter names them, and as the page does.
_COLUMNS = {
    "snr": "SNR",
    "num_spikes": "spikes",
    "main_channel_id": "main channel",
    "depth_um": "depth (um)",
    "reason": "reason",
}


def left_out_units(sorting: BaseSorting) -> pd.DataFrame | None:
    """
    The units that the sorter left out.

    Parameters
    ----------
    sorting : BaseSorting

    Returns
    -------
    pd.DataFrame | None
        Columns num_spikes, snr, main_channel_id, depth_um and reason, the largest unit first. None if the sorting does
        not say, as those of other sorters.
    """
    columns = sorting.get_annotation(ANNOTATION)
    if not isinstance(columns, dict) or not set(_COLUMNS) <= set(columns):
        return None
    return pd.DataFrame(columns)[list(_COLUMNS)].sort_values("snr", ascending=False, kind="stable", ignore_index=True)


def large_left_out_units(left_out: pd.DataFrame) -> pd.DataFrame:
    """Units that are large, have many spikes, and were not merged: some may be neurons that the result lacks."""
    is_large = (left_out["snr"] >= LARGE_SNR) & (left_out["num_spikes"] >= MANY_SPIKES)
    return left_out[is_large & (left_out["reason"] != MERGED)]


def left_out_item(left_out: pd.DataFrame) -> str:
    """An item of the summary, HTML, that names large units that were left out; empty if there are none."""
    large = large_left_out_units(left_out)
    if large.empty:
        return ""
    named = "; ".join(
        f"SNR {unit.snr:.1f}, {unit.num_spikes} spikes, channel {unit.main_channel_id}, depth "
        f"{format_value(unit.depth_um)} um: {unit.reason}"
        for unit in large.head(MOST_NAMED).itertuples()
    )
    more = "; and more" if len(large) > MOST_NAMED else ""
    text = (
        f"The sorter found units with a signal to noise ratio of {LARGE_SNR:g} or more and at least {MANY_SPIKES} "
        "spikes, and left them out. Most are false units that larger neurons make, but one may be a neuron: "
    )
    return (
        f"<li><strong>Large units left out: {len(large)}.</strong> {html.escape(text + named + more)}. "
        f'<a href="#{TABLE_NAME}">All units that were left out</a>.</li>'
    )


def left_out_section(left_out: pd.DataFrame) -> str:
    """
    The section of the page: how many units were left out for which reason, and a table of them.

    Parameters
    ----------
    left_out : pd.DataFrame
        From `left_out_units`.

    Returns
    -------
    str
        HTML.
    """
    title = "Units that were left out"
    if left_out.empty:
        return section(title, paragraph("None: every unit that was found is in the result."))
    parts = [
        paragraph(
            f"At its end the sorter merged or dropped {len(left_out)} "
            f"unit{'' if len(left_out) == 1 else 's'}. If you miss a neuron, look for its channel and depth here."
        ),
        _reasons(left_out),
        embed_table(left_out.head(MOST_ROWS).rename(columns=_COLUMNS), shows_index=False, name=TABLE_NAME),
    ]
    if len(left_out) > MOST_ROWS:
        parts.append(
            paragraph(f"The {MOST_ROWS} largest of {len(left_out)}; the file dropped.csv has all.", is_note=True)
        )
    return section(title, *parts)


def _reasons(left_out: pd.DataFrame) -> str:
    """A list of the reasons, the most frequent first, with what to do."""
    items = [
        f"<li><strong>{html.escape(f'{count}: {reason}.')}</strong> {html.escape(ADVICE.get(reason, ''))}</li>"
        for reason, count in left_out["reason"].value_counts().items()
    ]
    return f"<ul>{''.join(items)}</ul>"
