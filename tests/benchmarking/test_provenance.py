"""Every result says how it was made, and every benchmark script is listed and can be started from the root."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from si_deepsort.benchmarking import provenance

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
SCRIPTS = sorted((ROOT / "benchmarks").glob("*/*.py"))


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_results_say_how_they_were_made(file):
    document = json.loads(file.read_text(encoding="utf-8"))
    missing = {"command", "commit", "versions", "machine", "seeds"} - set(document)
    assert not missing, f"{file.name} lacks {sorted(missing)}; write it with benchmarking.provenance"
    assert len(document["commit"].removesuffix("-dirty")) == 40


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_scripts_are_listed(file):
    name = file.relative_to(ROOT / "benchmarks").as_posix()
    assert f"`{name}`" in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"), (
        f"benchmarks/README.md does not list {name}"
    )


# Imports scripts as if each were started alone: beside its neighbours, which it imports itself.
IMPORT_ALL = """
import importlib, sys, traceback
from pathlib import Path
failed = []
for file in map(Path, sys.argv[1:]):
    modules, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(file.parent))
    try:
        importlib.import_module(file.stem)
    except BaseException:
        failed.append(f"{file.name}: {traceback.format_exc()}")
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent.parent == file.parent.parent:
            del sys.modules[name]
sys.exit("\\n".join(failed) or 0)
"""


@pytest.mark.slow
def test_scripts_import_from_the_root():
    command = [sys.executable, "-c", IMPORT_ALL, *map(str, SCRIPTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_commit_of_results_that_are_completed_is_kept():
    first = dict(commit="a" * 40)
    second = provenance.provenance(seeds=[1], command="x", earlier=first)
    assert second["earlier_commits"] == ["a" * 40]
    assert second["seeds"] == [1] and second["command"] == "x"
    assert "earlier_commits" not in provenance.provenance(seeds=[1], command="x", earlier=dict(commit=second["commit"]))
