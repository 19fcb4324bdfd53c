"""A stress test as one HTML page, and as a short piece of HTML for notebooks."""

import html
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import html_report
from .bins import CONFIDENCE
from .result import StressTest, in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Stress test: what is found of injected units"
SCORES = ("detection", "recall", "precision")
SCORE_WORDS = {
    "detection": "share of units found",
    "recall": "recall",
    "precision": "precision of units found",
}
# Values of the SNR axis, which is logarithmic.
SNR_TICKS = (3, 5, 8, 12, 20)
ABOUT = (
    "Units with known spikes were put into the recording, which was then sorted again. A unit is found if a unit of "
    "the sorting agrees with it by half or more: spikes within 0.4 ms, divided by the spikes of either. Recall counts "
    "0 for units that were not found. The SNR is the peak of the template after a band-pass over the noise level of "
    f"its channel. Bars and brackets are {CONFIDENCE:.0%} intervals over the injected units; they do not know how much "
    "real units differ from injected ones."
)


def write_page(test: StressTest, path: str | Path) -> Path:
    """
    Write the page.

    Parameters
    ----------
    test : StressTest
    path : str | Path

    Returns
    -------
    Path
        The file.
    """
    parts = [html_report.paragraph(sentence) for sentence in in_words(test)]
    parts.append(html_report.paragraph(ABOUT, is_note=True))
    if len(test.units):
        for column, title, table in _tables(test):
            figure = html_report.embed_figure(_plot(test, column, title, table), f"Scores against {title}")
            parts.append(html_report.section(f"By {title}", figure, _table(table, title)))
        parts.append(html_report.section("All injected units", _units_table(test.units)))
    shown = test.runs.assign(error=test.runs["error"].str.slice(0, 200))
    parts.append(html_report.section("Runs", html_report.embed_table(shown, shows_index=False)))
    facts = {name.replace("_", " "): _as_text(value) for name, value in test.facts.items() if name != "notes"}
    parts.append(html_report.section("How this was measured", html_report.fact_table(facts)))
    return html_report.write_page(path, TITLE, parts)


def notebook_html(test: StressTest) -> str:
    """Sentences and the table by SNR."""
    sentences = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in in_words(test))
    table = test.by_snr()
    return sentences + ("" if table.empty else _table(table, "SNR"))


def _tables(test):
    yield "snr", "SNR", test.by_snr()
    yield "depth_um", "depth (um)", test.by_depth()
    yield "firing_rate", "firing rate (Hz)", test.by_rate()


def _table(table: pd.DataFrame, title: str) -> str:
    rows = pd.DataFrame(
        {
            "sorter": table["sorter"],
            title: [f"{low:.3g} to {high:.3g}" for low, high in zip(table["from"], table["to"], strict=True)],
            "units": table["num_units"],
            **{SCORE_WORDS[name]: [_with_interval(row, name) for _, row in table.iterrows()] for name in SCORES},
        }
    )
    return html_report.embed_table(rows, shows_index=False)


def _with_interval(row, name) -> str | None:
    if np.isnan(row[name]):
        return None
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _units_table(units: pd.DataFrame) -> str:
    columns = ["sorter", "unit_id", "snr", "depth_um", "firing_rate", "num_spikes", "source", "recall", "precision"]
    shown = units[columns].rename(columns=lambda name: name.replace("_", " "))
    table = html_report.embed_table(shown, shows_index=False)
    return f"<details><summary>{len(shown)} rows</summary>{table}</details>"


def _plot(test: StressTest, column: str, title: str, table: pd.DataFrame) -> "Figure":
    """A panel for each score: each unit as a dot, and the bins with their intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, len(SCORES), sharey=True)
    for axes, name in zip(panels, SCORES, strict=True):
        for number, sorter in enumerate(test.sorters):
            own, color = table[table["sorter"] == sorter], f"C{number}"
            single = test.units[test.units["sorter"] == sorter]
            values = single["is_found"].astype(float) if name == "detection" else single[name]
            axes.plot(single[column], values, ".", markersize=3, alpha=0.4, color=color)
            middle = np.sqrt(own["from"] * own["to"]) if column == "snr" else (own["from"] + own["to"]) / 2
            reach = np.stack([own[name] - own[f"{name}_low"], own[f"{name}_high"] - own[name]]).clip(min=0)
            axes.errorbar(middle, own[name], yerr=reach, fmt="o-", capsize=3, color=color, label=sorter)
        axes.set(title=SCORE_WORDS[name], xlabel=title, ylim=(-0.03, 1.03))
        if column == "snr":
            axes.set_xscale("log")
            axes.set_xticks(SNR_TICKS, [str(tick) for tick in SNR_TICKS])
            axes.minorticks_off()
    panels[0].legend(fontsize=8)
    return figure


def _as_text(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_as_text(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
