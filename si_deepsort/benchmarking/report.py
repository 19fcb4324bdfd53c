"""
Results as tables in text files, as pictures and as one page that needs no other file.

A table named NAME of a results file appears between `<!-- table:NAME -->` and `<!-- /table -->`.
"""

import base64
import html
import io
import json
import re
from pathlib import Path

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
    tables, origin = {}, {}
    for file in sorted(Path(folder).glob("*.json")):
        try:
            document = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{file} is not valid JSON ({error}); run the benchmark that writes it again.") from error
        for name, table in tables_of(document, file.stem).items():
            if name in tables:
                raise ValueError(f"The table '{name}' is in {origin[name]} and in {file.name}, expected one place.")
            tables[name], origin[name] = table, file.name
    return tables


def write_results(document: dict, file: str | Path):
    """Write a results document as JSON, a list of numbers on one line, so that a change is easy to see."""
    text = json.dumps(document, indent=1)
    text = INNER_LIST.sub(lambda match: re.sub(r"\s*\n\s*", " ", match.group(0)), text)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text + "\n")


def tables_of(document, name: str) -> dict[str, dict]:
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


def write_page(document: dict, file: str | Path, figures: dict | None = None) -> Path:
    """
    One HTML page with tables and pictures, that needs no other file.

    Parameters
    ----------
    document : dict
        From `summary.summarize`, or another with `tables`; `title` replaces the heading.
    file : str | Path
    figures : dict of matplotlib figures | None, default: None
        By title.
    """
    about = {
        key: document[key]
        for key in ("command", "versions", "machine", "seeds", "durations_s", "model")
        if key in document
    }
    title = html.escape(document.get("title", "Benchmark of spike sorters"))
    parts = [f"<h1>{title}</h1>", f"<pre>{html.escape(json.dumps(about, indent=1))}</pre>"]
    for name, table in document["tables"].items():
        parts += [
            f"<h2>{html.escape(name)}</h2>",
            f"<p>{html.escape(table.get('caption', ''))}</p>",
            _html_table(table),
        ]
    for caption, figure in (figures or {}).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        data = base64.b64encode(buffer.getvalue()).decode()
        parts += [
            f"<h2>{html.escape(caption)}</h2>",
            f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">',
        ]
    failures = [record for record in document.get("summary", []) if record.get("error")]
    for record in failures:
        caption = f"{record['sorter']} on {record['recording']}: {record['status']}"
        parts += [f"<h2>{html.escape(caption)}</h2>", f"<pre>{html.escape(record['error'])}</pre>"]
    style = (
        "body{font-family:sans-serif;margin:2em;max-width:1200px}table{border-collapse:collapse;font-size:90%}"
        "td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left}pre{background:#f4f4f4;padding:.5em}"
    )
    page = f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{style}</style>' + "\n".join(parts)
    Path(file).write_text(page)
    return Path(file)


def _html_table(table):
    head = "".join(f"<th>{html.escape(_cell(cell))}</th>" for cell in table["columns"])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in table["rows"]
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
