"""
Files that are open or mapped, as Windows treats them: they can be neither deleted nor renamed nor replaced.

Linux allows all of it, so that a fault of this kind shows itself to users of Windows alone. Here, an audit hook refuses
what Windows refuses.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The folder that is watched, or None. A hook stays until the process ends.
_watched: list[Path] = []
_has_hook = False

LISTS_FILES = Path("/proc/self/maps").exists()
needs_proc = pytest.mark.skipif(not LISTS_FILES, reason="this system does not list open files")


@contextmanager
def held_files_stay(folder: Path) -> Iterator[None]:
    """
    Within the block, a PermissionError if a file in a folder is deleted or renamed while this process holds it.

    Where the system does not list open files, nothing is refused.
    """
    global _has_hook
    if not LISTS_FILES:
        yield
        return
    if not _has_hook:
        sys.addaudithook(_refuse)
        _has_hook = True
    _watched.append(folder)
    try:
        yield
    finally:
        _watched.pop()


def _refuse(event: str, arguments: tuple):
    if not _watched or event not in ("os.rename", "os.remove"):
        return
    folder = arguments[-1]
    ends = [os.fspath(end) for end in arguments[: 2 if event == "os.rename" else 1]]
    if folder != -1:  # a name in a folder that is open
        ends = [os.path.join(os.readlink(f"/proc/self/fd/{folder}"), end) for end in ends]
    held = [file for file in _held_files() if file.is_relative_to(_watched[-1])]
    for end in ends:
        for file in held:
            if file.is_relative_to(os.path.abspath(end)):
                raise PermissionError(13, "The file is used by a process", str(file))


def _held_files() -> set[Path]:
    """Files that this process has open or mapped; not folders, which `shutil.rmtree` opens."""
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    with open("/proc/self/maps", encoding="utf-8") as lines:
        mapped = [line.split(maxsplit=5)[5].strip() for line in lines if "/" in line]
    return {Path(file) for file in (*opened, *mapped) if os.path.isfile(file)}
