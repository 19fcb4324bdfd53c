"""
Run the snippets of pages and put what they print and draw under them: `python docs/execute.py [PAGE ...]`.

Without a page, all tutorials are run. Figures are those of matplotlib that a snippet
leaves open, or keeps under a name. Pages are run in an
empty folder, one after the other. `python docs/execute.py --notebooks` only writes the notebooks.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
TUTORIALS = DOCS / "tutorials"
IMAGES = TUTORIALS / "images"
# Notebooks for free machines on the internet, and the pages that they are made from.
NOTEBOOKS = {DOCS / "notebooks" / "first_sort.ipynb": TUTORIALS / "first_sort.md"}
INSTALL = "!pip install -q git+https://github.com/si-deepsort/si-deepsort.git"
# Lines of printed text that are kept for each snippet; the rest is cut.
MOST_LINES = 16
# Dots per inch of pictures: sharp in a column of text, below 100 kB.
DPI = 90
_SNIPPET = re.compile(r"```python\n(?P<code>.*?)```\n(?P<output>\n<!-- output -->\n.*?<!-- /output -->\n)?", re.DOTALL)


def execute(page: Path) -> None:
    """Run a page and rewrite what stands under its snippets."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    shown_figures: list[Figure] = []
    text, namespace, pictures = page.read_text(encoding="utf-8"), {"__name__": "__main__"}, []

    def run(match: re.Match) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match["code"], f"{page.name}, snippet", "exec"), namespace)
        parts = []
        # The folder of this run means nothing to a reader.
        lines = printed.getvalue().replace(f"{os.getcwd()}{os.sep}", "").rstrip().splitlines()
        if lines:
            shown = [*lines[:MOST_LINES], "..."] if len(lines) > MOST_LINES else lines
            parts.append("```text\n" + "\n".join(line.rstrip() for line in shown) + "\n```\n")
        made = [value for value in namespace.values() if isinstance(value, Figure) and value not in shown_figures]
        for figure in [*map(plt.figure, plt.get_fignums()), *(one for one in made if not hasattr(one, "number"))]:
            picture = IMAGES / f"{page.stem}_{len(pictures) + 1}.png"
            figure.savefig(picture, dpi=DPI, bbox_inches="tight")
            pictures.append(picture)
            title = _title(figure)
            parts.append(f"![{title}]({os.path.relpath(picture, page.parent)})\n")
        shown_figures.extend(made)
        plt.close("all")
        output = "\n<!-- output -->\n" + "\n".join(parts) + "<!-- /output -->\n" if parts else ""
        return f"```python\n{match['code']}```\n{output}"

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            written = _SNIPPET.sub(run, text)
        finally:
            os.chdir(here)
    page.write_text(written, encoding="utf-8")


def notebook(page: Path) -> str:
    """A page as a notebook: its text, its code without outputs, and a first cell that installs the package."""
    text = page.read_text(encoding="utf-8")
    cells, position = [_cell("code", INSTALL)], 0
    for match in _SNIPPET.finditer(text):
        cells += [_cell("markdown", text[position : match.start()]), _cell("code", match["code"])]
        position = match.end()
    cells.append(_cell("markdown", text[position:]))
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    cells = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells) if "".join(cell["source"]).strip()]
    document = dict(cells=cells, metadata=metadata, nbformat=4, nbformat_minor=5)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> dict:
    # Links between pages lead nowhere in a notebook: their words stay.
    plain = re.sub(r"\[([^\]]*)\]\((?!http)[^)]*\)", r"\1", text.strip()) if kind == "markdown" else text.strip()
    cell = dict(cell_type=kind, metadata={}, source=plain.splitlines(keepends=True))
    return cell | (dict(execution_count=None, outputs=[]) if kind == "code" else {})


def _title(figure) -> str:
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    return next((title.replace("\n", " ") for title in titles if title), "figure")


def main() -> None:
    pages = [Path(name).resolve() for name in sys.argv[1:] if not name.startswith("--")]
    if "--notebooks" not in sys.argv:
        for page in pages or sorted(TUTORIALS.glob("*.md")):
            print(page.name, flush=True)
            execute(page)
    for file, page in NOTEBOOKS.items():
        file.write_text(notebook(page), encoding="utf-8")


if __name__ == "__main__":
    main()
