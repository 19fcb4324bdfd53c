"""
Pages of the documentation that are made from the code when it is built: nothing in them can be out of date.

MkDocs calls `on_files`. The functions return Markdown, and the tests call them, too. Who reads the pages in a checkout,
without building the site, finds shorter pages in the same places: `python docs/generated_pages.py` writes them.
"""

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by: python docs/generated_pages.py -->\n"


def on_files(files, config):
    """Put the generated pages in place of those that MkDocs found in the checkout."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        if (written := files.get_file_from_path(name)) is not None:
            files.remove(written)
        files.append(File.generated(config, name, content=make()))
    return files


def write_pages_of_checkout():
    """Write the pages that are read where no site is built."""
    for name, make in PAGES_OF_CHECKOUT.items():
        (ROOT / "docs" / name).write_text(NOTE + make(), encoding="utf-8")


def api_page() -> str:
    """Every public name with its docstring."""
    import si_deepsort
    from si_deepsort.preprocessing import PREPROCESSORS

    lines = ["# Python", "", "Everything below is imported as `from si_deepsort import NAME`.", ""]
    for name in sorted(si_deepsort.__all__, key=str.lower):
        # SpikeInterface makes the function of a preprocessor from its class, which has the docstring.
        public = PREPROCESSORS[name][0] if name in PREPROCESSORS else getattr(si_deepsort, name)
        if callable(public):
            # The place of its definition, because packages import names from their files.
            place = f"{public.__module__}.{public.__qualname__}"
            options = ["heading_level: 2", f"heading: {name}", f"toc_label: {name}"]
            lines += [f"::: {place}", "    options:", *(f"      {option}" for option in options), ""]
    return "\n".join(lines)


def api_list() -> str:
    """Every public name with its first sentence and its file; the site has the whole docstrings."""
    import si_deepsort
    from si_deepsort.preprocessing import PREPROCESSORS

    lines = [
        "# Python",
        "",
        "Everything below is imported as `from si_deepsort import NAME`; `help(NAME)` explains its arguments.",
        "",
        "| name | what it is |",
        "| --- | --- |",
    ]
    for name in sorted(si_deepsort.__all__, key=str.lower):
        public = PREPROCESSORS[name][0] if name in PREPROCESSORS else getattr(si_deepsort, name)
        if callable(public):
            file = public.__module__.replace(".", "/") + ".py"
            file = file if (ROOT / file).is_file() else public.__module__.replace(".", "/") + "/__init__.py"
            first = re.split(r"(?<=\.)\s", " ".join(inspect.getdoc(public).split("\n\n")[0].split()))[0]
            lines.append(f"| [`{name}`](../../{file}) | {_in_cell(first)} |")
    return "\n".join(lines) + "\n"


def models_list() -> str:
    """Links to the cards of the bundled models."""
    cards = sorted((ROOT / "model_cards").glob("*.md"))
    lines = [f"- [{card.stem}](../../model_cards/{card.name})" for card in cards]
    return "\n".join(["# Bundled models", "", "`si-deepsort models list` shows a table of them.", "", *lines]) + "\n"


def glossary_link() -> str:
    """Where the glossary is in a checkout."""
    return "# Glossary\n\nIt is in [CONTRIBUTING.md](../../CONTRIBUTING.md#glossary).\n"


def changelog_link() -> str:
    """Where the changelog is in a checkout."""
    return "# Changelog\n\nIt is [CHANGELOG.md](../CHANGELOG.md).\n"


def settings_page() -> str:
    """The settings of the sorter, from their dataclass."""
    from si_deepsort.settings import params_description
    from si_deepsort.sorter.adapter import DeepSortSettings

    descriptions = params_description(DeepSortSettings)
    lines = [
        "# Settings of the sorter",
        "",
        'Give them to `run_sorter("deepsort", recording, folder="out", NAME=VALUE)`, to `si-deepsort sort` as options, '
        "or in a TOML file.",
        "",
        "| setting | default | what it does |",
        "| --- | --- | --- |",
    ]
    for record in fields(DeepSortSettings):
        default = record.default if record.default is not MISSING else record.default_factory()
        lines.append(f"| `{record.name}` | `{default!r}` | {_in_cell(descriptions[record.name])} |")
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Every command of `si-deepsort` with its arguments and options."""
    lines = ["# Command line", "", "`si-deepsort --help` lists the commands.", ""]
    for name, command in commands().items():
        lines += [f"## si-deepsort {name}", "", (command.help or "").strip(), "", "| option | default | meaning |"]
        lines.append("| --- | --- | --- |")
        for parameter in command.params:
            names = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
            default = parameter.default
            has_default = isinstance(default, str | int | float | Path) and str(default) not in ("", "None", "False")
            default = f"`{default}`" if has_default else ""
            lines.append(f"| {names} | {default} | {_in_cell(getattr(parameter, 'help', None) or '')} |")
        lines.append("")
    return "\n".join(lines)


def commands() -> dict:
    """Full name -> command, for all commands and sub-commands."""
    import typer.main

    from si_deepsort.cli import app

    def walk(group, prefix):
        for name, command in sorted(group.commands.items()):
            if hasattr(command, "commands"):
                yield from walk(command, [*prefix, name])
            else:
                yield " ".join([*prefix, name]), command

    return dict(walk(typer.main.get_command(app), []))


def models_page() -> str:
    """The cards of the bundled models."""
    parts = [
        "# Bundled models",
        "",
        'They are inside the package: `load_model("NAME")` needs no internet. The same table is shown by '
        "`si-deepsort models list`. Below are their cards.",
        "",
    ]
    for card in sorted((ROOT / "model_cards").glob("*.md")):
        text = card.read_text(encoding="utf-8")
        body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
        body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
        parts.append(re.sub(r"^(#+ )", r"#\1", body, flags=re.MULTILINE).strip() + "\n")
    return "\n".join(parts)


def glossary_page() -> str:
    """The glossary of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    terms = re.search(r"<!-- glossary -->\n(.*?)<!-- /glossary -->", text, re.DOTALL).group(1)
    return f"# Glossary\n\n{terms}"


def changelog_page() -> str:
    """CHANGELOG.md."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _in_cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


PAGES = {
    "reference/api.md": api_page,
    "reference/settings.md": settings_page,
    "reference/command_line.md": command_line_page,
    "reference/models.md": models_page,
    "reference/glossary.md": glossary_page,
    "changelog.md": changelog_page,
}
PAGES_OF_CHECKOUT = {
    "reference/api.md": api_list,
    "reference/settings.md": settings_page,
    "reference/command_line.md": command_line_page,
    "reference/models.md": models_list,
    "reference/glossary.md": glossary_link,
    "changelog.md": changelog_link,
}

if __name__ == "__main__":
    write_pages_of_checkout()
