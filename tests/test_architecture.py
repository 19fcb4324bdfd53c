"""The floors of the package: imports go downwards only, and neighbours on a floor do not import each other."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "si_deepsort"
FLOORS = [
    {"_version", "settings", "geometry", "chunks", "noise", "channel_mixture", "spike_vectors", "io"},
    {"nets", "generation", "html_report"},
    {"fit", "inference", "zoo"},
    {"preprocessing", "detection", "known_units", "lfp", "events"},
    {"sorter"},
    {"training"},
    {"benchmarking", "report", "assess"},
    {"__init__", "__main__", "cli", "register", "jobs"},
]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def imported_rooms(path: Path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    package = ("si_deepsort", *parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "si_deepsort" and len(name) > 1:
                yield name[1]


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    room = room_of(path)
    for imported in imported_rooms(path):
        is_allowed = imported == room or floor_of(imported) < floor_of(room)
        is_inside_floor_2 = {room, imported} <= {"fit", "inference", "zoo"} and imported != "fit"
        roof = floor_of(room) == len(FLOORS) - 1
        assert is_allowed or is_inside_floor_2 or roof, f"{path} imports {imported} from a floor that is not below"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 300, f"{path} has {text.count(chr(10))} lines, more than 300"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines, more than 60"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_files_name_their_encoding(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_text = node.func.attr in ("read_text", "write_text")
            names = {keyword.arg for keyword in node.keywords}
            assert not is_text or "encoding" in names, f"{path}:{node.lineno} reads or writes text in the system's code"
