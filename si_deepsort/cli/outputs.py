"""Check where results will be written before the work begins, so that nothing computed is lost."""

import os
from pathlib import Path


def check_folder(folder: Path, option: str) -> None:
    """
    A ValueError if a folder can be neither made nor written.

    Parameters
    ----------
    folder : Path
        It may exist or not, and so may the folders above it.
    option : str
        Name of the option, for the message.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{option} {folder}: there is a file of this name, expected a folder. Give another name.")
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not above.is_dir():
        raise ValueError(f"{option} {folder}: {above} is a file, so it cannot hold a folder. Give another name.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {folder}: {above} cannot be written. Give a folder that you own.")


def check_file(file: Path | None, option: str) -> None:
    """
    Make the folder of a file that will be written; a ValueError if the file cannot be written.

    Parameters
    ----------
    file : Path | None
        None if it is not wanted.
    option : str
        Name of the option, for the message.
    """
    if file is None:
        return
    file = file.resolve() if file.is_symlink() else file  # the file that a link leads to, which may not be there yet
    if file.is_dir():
        raise ValueError(f"{option} {file}: this is a folder, expected a file. Give a name in it, e.g. {file}/NAME.")
    check_folder(file.parent, option)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not os.access(file, os.W_OK):
        raise ValueError(f"{option} {file}: the file is read-only. Give another name, or make it writable.")


def check_different(files: dict[str, Path | None]) -> None:
    """
    A ValueError if two arguments of a command name one file, so that one would overwrite the other.

    Parameters
    ----------
    files : dict of str to Path | None
        Name of the option, for the message, and its file; None if it is not given.
    """
    given = [(option, file) for option, file in files.items() if file is not None]
    for index, (option, file) in enumerate(given):
        same = next((other for other, before in given[:index] if before.resolve() == file.resolve()), None)
        if same is not None:
            raise ValueError(f"{option} and {same} are one file ({file}); give another name.")
