"""Every snippet of the README and the documentation runs, and every command line in them is one that exists."""

import dataclasses
import importlib
import importlib.util
import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest

import si_deepsort
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.sorter.settings import DeepSortSettings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What a page asks of the reader's own files, and what stands for it here.
STAND_INS = {'si.read_openephys("my_recording")': "own_recording()"}
# Properties of units, and arguments of other functions, that the pages name beside settings.
UNIT_PROPERTIES = {"main_channel_id", "model", "spike_size"}
# Settings with which training takes seconds: module, name and values.
SHORT_TRAINING = [
    ("detection", "DetectorTrainingSettings", dict(num_epochs=1, num_negatives=2000)),
    ("classification", "ClassifierTrainingSettings", dict(num_epochs=1)),
    ("interpolation", "InterpolationTrainingSettings", dict(num_epochs=1, steps_per_epoch=2, wiener_s=1.0)),
]


def snippets(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def pages_with(language: str):
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES if snippets(page, language)]


def own_recording():
    settings = GenerationSettings(duration_s=8.0, num_units=3, num_far_units=5, amplitude_min_uV=100.0, seed=1)
    recording, _ = generate_recording(named_probe("tetrode"), settings)
    return recording.save(folder="own_recording")


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first sorting compiles
@pytest.mark.parametrize("page", pages_with("python"))
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for task, name, values in SHORT_TRAINING:
        module = importlib.import_module(f"si_deepsort.training.{task}.train")
        monkeypatch.setattr(module, name, partial(getattr(module, name), **values))
    namespace = {"__name__": "__main__", "own_recording": own_recording}
    for number, code in enumerate(snippets(page, "python")):
        for text, stand_in in STAND_INS.items():
            code = code.replace(text, stand_in)
        exec(compile(code, f"{page.name}, snippet {number + 1}", "exec"), namespace)


@pytest.mark.parametrize("page", pages_with("bash"))
def test_commands_exist(page):
    commands = generated_pages().commands()
    for line in command_lines(page):
        words = shlex.split(line, comments=True)
        if words[0] == "si-deepsort":
            name = " ".join(words[1:3]) if " ".join(words[1:3]) in commands else words[1]
            assert name in commands, f"{page.name}: there is no command '{line}'"
            command = commands[name]
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            options = [word for word in words if word.startswith("--")]
            assert set(options) <= known, f"{page.name}: '{line}' has unknown options"
        elif words[:2] == ["python", "-m"] or words[0] != "python":
            continue
        else:
            assert (ROOT / words[1]).is_file(), f"{page.name}: there is no script '{line}'"


def command_lines(page: Path) -> list[str]:
    joined = "\n".join(snippets(page, "bash")).replace("\\\n", " ")
    return [part.strip() for line in joined.splitlines() for part in line.split("&&") if part.strip()]


def test_generated_pages_have_content():
    for name, make in generated_pages().PAGES.items():
        assert make().startswith("# "), name


def test_pages_of_the_checkout_are_those_of_the_code():
    pages = generated_pages()
    assert set(pages.PAGES_OF_CHECKOUT) == set(pages.PAGES)
    remedy = "run python docs/generated_pages.py"
    # Defaults of commands are written as the installed version of typer gives them; sentences of the API may be older.
    for name, make in pages.PAGES_OF_CHECKOUT.items():
        if name not in ("reference/command_line.md", "reference/api.md"):
            assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages.NOTE + make(), remedy
    api = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    missing = [
        name for name in si_deepsort.__all__ if callable(getattr(si_deepsort, name)) and f"[`{name}`]" not in api
    ]
    assert not missing, f"reference/api.md lacks {missing}: {remedy}"
    written = (ROOT / "docs" / "reference" / "command_line.md").read_text(encoding="utf-8")
    for name, command in pages.commands().items():
        part = written.split(f"## si-deepsort {name}\n")[1].split("\n## ")[0]
        missing = [option for parameter in command.params for option in parameter.opts if f"`{option}`" not in part]
        assert not missing, f"si-deepsort {name} lacks {missing}: {remedy}"


OTHER_PAGES = [
    ROOT / "CHANGELOG.md",
    *(
        page
        for place in ("benchmarks", "contrib", "examples", "model_cards")
        for page in sorted((ROOT / place).rglob("*.md"))
    ),
]


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target, _, heading in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", text):
        if not target.startswith(("http", "mailto:")):
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name} links to {target}, which is not there"
            if heading and file.suffix == ".md":
                assert heading in headings(file), f"{page.name} links to {target}#{heading}: there is no such heading"


def headings(page: Path) -> set[str]:
    """What links to headings of a page end with."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "explanation").glob("*.md")), ids=lambda page: page.name)
def test_settings_that_are_explained_exist(page):
    settings = {record.name for record in dataclasses.fields(DeepSortSettings)}
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text) + re.findall(r"`([a-z_]+)=[^`]+`", text)
    unknown = set(named) - settings - UNIT_PROPERTIES - set(si_deepsort.__all__)
    assert not unknown, f"{page.name} explains settings that do not exist: {sorted(unknown)}"


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


TUTORIALS = [page for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")) if snippets(page, "python")]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorials_show_what_they_print_and_draw(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- output -->" in text, f"run: python docs/execute.py docs/tutorials/{page.name}"
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        picture = page.parent / target
        assert picture.is_file() and picture.stat().st_size < 300_000, target
    assert "Traceback" not in text and "/tmp/" not in text


def test_notebooks_hold_what_the_pages_do():
    executed = docs_module("execute")
    for file, page in executed.NOTEBOOKS.items():
        assert file.read_text(encoding="utf-8") == executed.notebook(page), "run: python docs/execute.py --notebooks"
        assert len(json.loads(file.read_text(encoding="utf-8"))["cells"]) > 5


def generated_pages():
    """The module that makes pages when the documentation is built."""
    return docs_module("generated_pages")


def docs_module(name: str):
    """A script of the documentation as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
