"""
Self-contained HTML pages: the frame, the style, tables and embedded figures that every report of the package uses.

A page needs no other file and no network: figures are inside it, and its content security policy forbids requests.
"""

import base64
import html
import io
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Dots per inch of embedded PNG figures: sharp on ordinary screens, below 100 kB for a usual figure.
FIGURE_DPI = 110
# What a table shows where there is no value.
MISSING = "\N{EN DASH}"
# Significant digits of numbers in tables.
NUM_DIGITS = 3
# Whole numbers from here on are written with an exponent: no measured value has more digits.
LARGEST_PLAIN = 1e9
# Inline pieces are allowed, anything from elsewhere is not.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --panel: #f6f8fa; --page: #fff;
  --mark: #0b63ce; --warn: #b54708; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #30363d; --panel: #161b22;
  --page: #0d1117; --mark: #6cb0ff; --warn: #f0a35e; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; color: var(--ink);
  background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { background: var(--panel); padding: .6rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) { figure img { filter: invert(.92) hue-rotate(180deg); } }
.wide { overflow-x: auto; max-width: 100%; background:
  linear-gradient(to left, var(--page) 50%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / .8rem 100% no-repeat scroll; }
figure { margin: 1rem 0; }
table { border-collapse: collapse; font-size: .88rem; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: middle; }
th { font-weight: 600; } tbody th, .facts td, .text td, .text th { text-align: left; }
.note { color: var(--soft); } .warn { color: var(--warn); } details { margin: .8rem 0; } summary { cursor: pointer; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
"""


def render_page(title: str, parts: list[str], *, style: str = "", script: str = "") -> str:
    """
    A whole HTML page.

    Parameters
    ----------
    title : str
        Title of the window and first heading, as plain text.
    parts : list of str
        HTML, in order.
    style, script : str, default: ""
        CSS and JavaScript that only this page needs.

    Returns
    -------
    str
    """
    heading = html.escape(title)
    code = f"<script>{script}</script>\n" if script else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{heading}</title>\n<style>{STYLE}{style}</style>\n</head>\n'
        f"<body>\n<h1>{heading}</h1>\n" + "\n".join(parts) + f"\n{code}</body>\n</html>\n"
    )


def write_page(path: str | Path, title: str, parts: list[str], *, style: str = "", script: str = "") -> Path:
    """Write a page, see `render_page`; gives its path."""
    path = Path(path)
    path.write_text(render_page(title, parts, style=style, script=script), encoding="utf-8")
    return path


def section(title: str, *parts: str) -> str:
    """A heading (plain text) with the HTML that stands below it."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str, *, is_note: bool = False) -> str:
    """A paragraph of plain text; a note is shown in a softer colour."""
    start = '<p class="note">' if is_note else "<p>"
    return f"{start}{html.escape(text)}</p>"


def preformatted(text: str) -> str:
    """Plain text whose line breaks are kept."""
    return f"<pre>{html.escape(text)}</pre>"


def embed_figure(figure: "Figure", title: str, *, dpi: int = FIGURE_DPI) -> str:
    """
    A matplotlib figure as an image inside the page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    title : str
        What the figure shows, for readers who cannot see it.
    dpi : int, default: 110
        Dots per inch.

    Returns
    -------
    str
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></figure>'


def embed_table(
    frame: "pd.DataFrame", *, shows_index: bool = True, is_text: bool = False, is_html: bool = False, name: str = ""
) -> str:
    """
    A table that scrolls sideways where the screen is narrow.

    Parameters
    ----------
    frame : pandas.DataFrame
    shows_index : bool, default: True
        Whether the index becomes the first column.
    is_text : bool, default: False
        Whether cells are aligned to the left, as words are.
    is_html : bool, default: False
        Whether cells are HTML already, with everything that is not ours escaped.
    name : str, default: ""
        Identifier of the table for a script.

    Returns
    -------
    str
    """
    shown = frame if is_html else frame.map(format_value)
    table = shown.to_html(
        index=shows_index,
        border=0,
        classes=["text"] if is_text else None,
        justify="unset",
        escape=not is_html,
        table_id=name or None,
    )
    return f'<div class="wide" tabindex="0">{table}</div>'


def fact_table(facts: Mapping[str, Any]) -> str:
    """Names and values, one pair a row."""
    rows = "".join(
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(format_value(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f'<div class="wide" tabindex="0"><table class="facts">{rows}</table></div>'


def format_value(value: Any) -> str:
    """A value as text: whole numbers as they are, others with three significant digits, a dash for what is missing."""
    if value is None:
        return MISSING
    if isinstance(value, numbers.Real) and not isinstance(value, bool | numbers.Integral):
        if math.isnan(value):
            return MISSING
        is_plain = float(value).is_integer() and abs(float(value)) < LARGEST_PLAIN
        return f"{value:.0f}" if is_plain else f"{value:.{NUM_DIGITS}g}"
    return str(value)
