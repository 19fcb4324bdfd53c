"""The report as one HTML page that needs no other file."""

import base64
import html
import io

from .environment import package_versions

CITATIONS = (
    "Buccino et al. (2020). SpikeInterface, a unified framework for spike sorting. eLife 9:e61834.",
    "Magland and Barnett (2015). Unimodal clustering using isotonic regression: ISO-SPLIT. arXiv:1508.04841.",
    "Garcia et al. (2022). How do spike collisions affect spike sorting performance? eNeuro 9(5).",
    "Hill, Mehta and Kleinfeld (2011). Quality metrics to accompany spike sorting. J. Neurosci. 31(24):8699.",
)
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
img { max-width: 100%; height: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 3px 9px; border-bottom: 1px solid #e5e5e5; text-align: right; }
th:first-child, td:first-child { text-align: left; } .wide { overflow-x: auto; } .facts td { text-align: left; }
"""


def render_page(sorting, recording, metrics, figures: dict, params: dict) -> str:
    """
    The page.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording
    metrics : pandas.DataFrame | None
        Quality metrics, one row for each unit.
    figures : dict
        Title -> matplotlib Figure.
    params : dict
        Settings of the sorter; empty if unknown.

    Returns
    -------
    str
        HTML; pictures are inside.
    """
    facts = {
        "units": len(sorting.unit_ids),
        "spikes": sorting.count_total_num_spikes(),
        "channels": recording.get_num_channels(),
        "duration": f"{recording.get_total_duration():.1f} s in {recording.get_num_segments()} segment(s)",
        "sampling frequency": f"{recording.get_sampling_frequency():.0f} Hz",
    }
    parts = [f"<h1>Spike sorting: {len(sorting.unit_ids)} units</h1>", _facts(facts)]
    if metrics is None:
        parts.append("<p>No unit was found: nothing stands out from the noise, or too rarely to make a unit.</p>")
    parts += [f"<h2>{html.escape(title)}</h2>{_picture(figure, title)}" for title, figure in figures.items()]
    if metrics is not None:
        parts.append(f"<h2>Quality metrics</h2><div class=wide>{_metrics_table(metrics)}</div>")
    if params:
        parts.append(f"<h2>Settings</h2>{_facts(params)}")
    parts.append(f"<h2>Versions</h2>{_facts(package_versions())}")
    parts.append("<h2>Please cite</h2><ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in CITATIONS) + "</ul>")
    head = f'<meta charset="utf-8"><title>Spike sorting report</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _facts(values: dict) -> str:
    rows = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in values.items())
    return f"<table class=facts>{rows}</table>"


def _picture(figure, title: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


def _metrics_table(metrics) -> str:
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in ("unit", *metrics.columns))
    rows = []
    for unit, values in metrics.iterrows():
        rows.append("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in (unit, *values)) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _cell(value) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return html.escape(str(value))
    if number != number:
        return "&ndash;"
    return f"{number:.0f}" if number == round(number) else f"{number:.3g}"
