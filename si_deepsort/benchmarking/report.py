"""
Results of benchmarks: read and write JSON, write tables into text files, and write one HTML page.

A table named NAME of a results file appears between `<!-- table:NAME -->` and `<!-- /table -->`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import html_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKED = re.compile(r"(<!-- table:([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
INNER_LIST = re.compile(r"\[[^\[\]{}]*\]")


def read_tables(folder: str | Path) -> dict[str, dict]:
    """
    The tables of every results file of a folder, by name.

    Parameters
    ----------
    folder : str | Path
        Holds `*.json`; the entry `tables` of each maps names to `{"columns": [...], "rows": [[...], ...]}`, with an
        optional `caption`.

    Raises
    ------
    ValueError
        If a file is not JSON, or two files hold a table of the same name.
    """
    tables: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file in sorted(Path(folder).glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file} is not valid JSON ({error}); run the benchmark that writes it again.") from error
        for name, table in tables_of(document, file.stem).items():
            if name in tables:
                raise ValueError(f"The table '{name}' is in {origin[name]} and in {file.name}, expected one place.")
            tables[name], origin[name] = table, file.name
    return tables


def write_results(document: dict, file: str | Path) -> None:
    """Write a results document as JSON, a list of numbers on one line, so that a change is easy to see."""
    text = json.dumps(document, indent=1)
    text = INNER_LIST.sub(lambda match: re.sub(r"\s*\n\s*", " ", match.group(0)), text)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text + "\n", encoding="utf-8")


def tables_of(document: Any, name: str) -> dict[str, dict]:
    """The tables of a results document: its `tables`, or `rows` that are records as one table named `name`."""
    if not isinstance(document, dict):
        return {}
    if "tables" in document:
        return document["tables"]
    rows = document.get("rows")
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return {name: dict(columns=columns, rows=[[row.get(column) for column in columns] for row in rows])}
    return {}


def markdown_table(table: dict) -> str:
    """A table as Markdown; numbers with three significant digits."""
    # pandas' to_markdown would need the package tabulate for these two lines, and pads every cell.
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    text = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    return f"{table['caption']}\n\n{text}" if table.get("caption") else text


def fill_tables(text: str, tables: dict[str, dict]) -> str:
    """
    Write tables between their markers.

    Parameters
    ----------
    text : str
        E.g. of a README.
    tables : dict
        From `read_tables`.

    Raises
    ------
    ValueError
        If the text asks for a table that no results file holds.
    """

    def write(match):
        name = match.group(2)
        if name not in tables:
            raise ValueError(f"The text asks for the table '{name}', but the results hold {sorted(tables)}.")
        return f"{match.group(1)}{markdown_table(tables[name])}\n{match.group(3)}"

    return MARKED.sub(write, text)


def missing_tables(text: str, tables: dict[str, dict]) -> list[str]:
    """Names of tables that a text asks for and no results file holds."""
    return sorted({match.group(2) for match in MARKED.finditer(text)} - set(tables))


def write_page(document: dict[str, Any], file: str | Path, figures: "Mapping[str, Figure] | None" = None) -> Path:
    """
    One HTML page with tables and figures that needs no other file.

    Parameters
    ----------
    document : dict
        From `summary.summarize`, or another with `tables`. `title` replaces the heading, `summary_text` (a list of
        sentences) stands above the tables, `title` of a table replaces its name.
    file : str | Path
    figures : dict of matplotlib figures | None, default: None
        By title.

    Returns
    -------
    Path
        The file.
    """
    title = document.get("title", "Benchmark of spike sorters")
    parts = [html_report.paragraph(sentence) for sentence in document.get("summary_text", [])]
    for name, table in document["tables"].items():
        frame = pd.DataFrame(table["rows"], columns=table["columns"])
        caption = html_report.paragraph(table["caption"], is_note=True) if table.get("caption") else ""
        shown = html_report.embed_table(frame, shows_index=False, is_text=True)
        parts.append(html_report.section(table.get("title", name), caption, shown))
    for caption, figure in (figures or {}).items():
        parts.append(html_report.section(caption, html_report.embed_figure(figure, caption)))
    for record in document.get("summary", []):
        if record.get("error"):
            caption = f"{record['sorter']} on {record['recording']}: {record['status']}"
            parts.append(html_report.section(caption, html_report.preformatted(record["error"])))
    parts.append(html_report.section("How this was measured", html_report.fact_table(_conditions(document))))
    return html_report.write_page(file, title, parts)


def _conditions(document) -> dict[str, str]:
    """Command, commit, versions, machine, seeds and durations, as far as the document names them, as text."""
    names = {
        "command": "command",
        "commit": "commit",
        "model": "model",
        "versions": "versions",
        "machine": "machine",
        "seeds": "seeds",
        "durations_s": "durations (s)",
    }
    return {words: _as_text(document[key]) for key, words in names.items() if key in document}


def _as_text(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
