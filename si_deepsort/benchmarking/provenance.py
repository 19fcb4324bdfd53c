"""Describe how a result was made: commit, command, versions, machine and seeds, for every results file."""

import json
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The packages that decide about results; `provenance` records their versions.
PACKAGES = ("si-deepsort", "spikeinterface", "torch", "numpy", "scipy", "scikit-learn", "numba")


def provenance(*, seeds: object, command: str | None = None, earlier: dict | None = None) -> dict:
    """
    The entries that every results file begins with.

    Parameters
    ----------
    seeds : object
        What was drawn from: a number, a list, or a dict by purpose; anything that JSON can hold.
    command : str | None, default: None
        None takes the command line of this process.
    earlier : dict | None, default: None
        The results document that is being completed. If another commit made it, that commit is kept in
        `earlier_commits`, because some of the numbers are still its own.

    Returns
    -------
    dict
        `command`, `commit`, `versions`, `machine`, `seeds`; `earlier_commits` only where there are some.
    """
    commit, earlier = current_commit(), earlier or {}
    commits = {*earlier.get("earlier_commits", []), earlier.get("commit")} - {commit, None}
    found = dict(
        command=command or shlex.join(["python", *sys.argv]),
        commit=commit,
        versions=package_versions(),
        machine=describe_machine(),
        seeds=seeds,
    )
    return found | (dict(earlier_commits=sorted(commits)) if commits else {})


def sources_table(folder: str | Path) -> dict:
    """
    One row for each results file of a folder: how, when (by its commit) and where it was made.

    Parameters
    ----------
    folder : str | Path
        Holds `*.json` whose documents begin with `provenance`.

    Returns
    -------
    dict
        `columns` and `rows`, as the tables of results are.
    """
    rows = []
    for file in sorted(Path(folder).glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        if "tables" in document:
            commit, machine = document["commit"] or "none", document["machine"]
            machine = f"{machine['cpu']}, {machine['num_cores']} cores" if isinstance(machine, dict) else machine
            versions = document.get("versions")
            measured = versions.get("si-deepsort") if isinstance(versions, dict) else None
            command, seeds = f"`{document['command']}`", json.dumps(document["seeds"])
            rows.append([file.name, measured or "0.1.0 or earlier", command, commit[:10], machine, seeds])
    return dict(columns=["results", "version", "command", "commit", "machine", "seeds"], rows=rows)


def current_commit() -> str | None:
    """
    The git commit of the package's checkout, with "-dirty" appended if tracked files differ from it.

    None if the package is not imported from a checkout (an installed wheel) or git is not at hand.
    """
    here = Path(__file__)
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here.parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide about results; packages that are absent are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def describe_machine() -> dict:
    """Processor, number of cores and operating system."""
    return dict(cpu=_cpu_name(), num_cores=os.cpu_count(), system=platform.system())


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
