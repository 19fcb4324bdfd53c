"""
A model on disk: a folder with `config.json` (what it is), `model.safetensors` (weights) and `README.md` (the card).

This module knows the files and no more: it reads and writes them and compares them with their sha256. No pickle is
ever read, and the only files that matter are the three named here.
"""

import hashlib
import json
import math
import os
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..nets.network import Network

# Version of the layout of a model folder; raised when older versions cannot read a new one.
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE)
TASKS = ("detection", "classification", "embedding", "denoising", "lfp", "events", "assessment", "cell_type")
# First bytes of a pointer, by the specification of Git LFS.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# Bytes; a config has a few kB, so a larger file is no config.
LARGEST_CONFIG = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """
    What a user must know of a trained network.

    Attributes
    ----------
    name : str
        Its name in the zoo.
    task : str
        "detection", "classification", "embedding", "denoising", "lfp", "events", "assessment" or "cell_type".
    sampling_frequency : float | None
        In Hz, of the traces it was trained on; None if it serves any.
    input_unit : str
        Unit of the input, "noise_level" where each channel is divided by its robust noise level.
    probe : str
        Layout it was trained on, "any" if it is told the positions.
    training : dict
        Provenance: command, seed, data, data_license.
    metrics : dict
        Name of a metric -> value, measured on data that training never saw. A value is a number, or a dictionary with
        value and any of low, high (interval), unit, data, source (`file.json#/path/to/number`). None: not measured.
    comparisons : dict
        Data that were held out -> the score there beside that of a simple method, as a sentence for people.
    settings : dict
        What goes with the weights but is no weight: thresholds, class names, bands.
    license : str
        SPDX identifier.
    parent : str | None
        Model that a fine-tuned one started from, with its commit or sha256.
    source : dict
        Where it was loaded from: kind, reference, sha256 of the weights, and repo_id, revision and commit if it came
        from the Hub. Set by `load_model`, never saved.
    """

    name: str
    task: str
    sampling_frequency: float | None = None
    input_unit: str = "noise_level"
    probe: str = "any"
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    comparisons: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    license: str = "MIT"
    parent: str | None = None
    source: dict = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise ValueError(f"ModelInfo.name: got {self.name!r}, expected a name on one line")
        if self.task not in TASKS:
            raise ValueError(f"ModelInfo.task: got {self.task!r}, expected one of {TASKS}")


def save_model(net: "Network", folder: str | Path, info: ModelInfo, card: str | None = None) -> Path:
    """
    Write a model folder.

    Each file is replaced in one step, the config last: an interrupted save leaves a folder that `load_model` refuses,
    never one that it misreads.

    Parameters
    ----------
    net : Network
        A network of `si_deepsort.nets`.
    folder : str | Path
        Made if missing; an earlier model in it is replaced.
    info : ModelInfo
        Stored in `config.json`.
    card : str | None, default: None
        Text of `README.md`; None keeps an existing one.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If a weight or a setting is NaN or infinite. A metric that is none is stored as None, not measured.
    """
    from safetensors.torch import save

    from .._version import __version__

    folder = Path(folder).expanduser()
    for name, parameter in net.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"The weights of '{name}' are not finite. The training diverged: lower its learning_rate.")
    # A clone of each tensor: weights that share memory would be refused by safetensors.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
    weights = save(tensors, metadata={"format": "pt"})
    stored_info = {name: value for name, value in asdict(info).items() if name != "source"}
    for name in ("metrics", "training"):
        stored_info[name] = _plain(stored_info[name], f"info.{name}", allows_nan=True)
    config = {
        "format_version": FORMAT_VERSION,
        "si_deepsort_version": __version__,
        "architecture": net.architecture,
        "network": _plain(net.config.to_dict(), "network"),
        "info": _plain(stored_info, "info"),
        "files": {WEIGHTS_FILE: {"sha256": hashlib.sha256(weights).hexdigest(), "size": len(weights)}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / WEIGHTS_FILE, weights)
    write_file(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    if card is not None:
        write_file(folder / CARD_FILE, card.encode())
    return folder


def read_config(folder: Path) -> dict:
    """
    The `config.json` of a model folder, checked for version and shape.

    Raises
    ------
    ValueError
        If it is missing, damaged, of a later format, or lacks an entry.
    """
    path = folder / CONFIG_FILE
    try:
        size = path.stat().st_size
        if size > LARGEST_CONFIG:
            raise ValueError(
                f"{path} has {size} bytes, a config has less than {LARGEST_CONFIG}: this is no model folder."
            )
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}. Fetch the model again.") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(
            f"{folder} has model format {version}, this version of si_deepsort reads up to format {FORMAT_VERSION}. "
            "Install a newer si_deepsort: `pip install --upgrade si-deepsort`."
        )
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} is no si_deepsort model: format_version is {version!r}, expected {FORMAT_VERSION}.")
    for entry, kind in {"architecture": str, "network": dict, "info": dict, "files": dict}.items():
        if not isinstance(config.get(entry), kind):
            raise ValueError(f"{path}: '{entry}' is {config.get(entry)!r}, expected a {kind.__name__}.")
    return config


def info_of(config: dict, source: dict | None = None) -> ModelInfo:
    """The `ModelInfo` of a config; entries that a later version added are left out."""
    known = {record.name for record in fields(ModelInfo)} - {"source"}
    for record in fields(ModelInfo):
        value = config["info"].get(record.name)
        if record.default_factory is dict and record.name in config["info"] and not isinstance(value, dict):
            raise ValueError(f"{CONFIG_FILE}: 'info.{record.name}' is {value!r}, expected a dictionary.")
        if record.type in (str, "str") and record.name in config["info"] and not isinstance(value, str):
            raise ValueError(f"{CONFIG_FILE}: 'info.{record.name}' is {value!r}, expected a text.")
    rate = config["info"].get("sampling_frequency")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (is_number and 0 < rate < math.inf):
        raise ValueError(f"{CONFIG_FILE}: 'info.sampling_frequency' is {rate!r}, expected a positive number in Hz.")
    try:
        return ModelInfo(
            **{name: value for name, value in config["info"].items() if name in known}, source=source or {}
        )
    except TypeError as error:
        raise ValueError(f"{CONFIG_FILE}: 'info' is incomplete: {error}") from error


def verify_files(folder: Path, config: dict) -> None:
    """
    Compare the files of a model folder with their sha256.

    Raises
    ------
    ValueError
        If a file is missing, differs, or has a name that a model folder does not have.
    """
    if WEIGHTS_FILE not in config["files"]:
        raise ValueError(f"{folder / CONFIG_FILE} names no sha256 of {WEIGHTS_FILE}; such a model is not loaded.")
    for name, expected in config["files"].items():
        # Only names that we know: a config must not make us read or hash any other file of this machine.
        if name not in MODEL_FILES or name == CONFIG_FILE:
            raise ValueError(f"{folder / CONFIG_FILE} names the file {name!r}, expected one of {MODEL_FILES}.")
        if not (folder / name).is_file():
            raise ValueError(f"{folder} lacks the file {name!r} that its {CONFIG_FILE} names. Fetch the model again.")
        found = fingerprint(folder / name)
        if found != expected and _is_lfs_pointer(folder / name):
            raise ValueError(
                f"{folder / name} is a pointer of Git LFS, not the file itself. Run `git lfs pull` in {folder}, or "
                "fetch the model with `si-deepsort models pull owner/name --to FOLDER`."
            )
        if found != expected:
            sha256, size = (
                (expected.get("sha256"), expected.get("size")) if isinstance(expected, dict) else (None, None)
            )
            raise ValueError(
                f"{folder / name} is damaged or was changed: sha256 {found['sha256'][:12]}… ({found['size']} bytes), "
                f"expected {str(sha256)[:12]}… ({size} bytes). Fetch the model again."
            )


def fingerprint(path: Path) -> dict:
    """sha256 and size in bytes of a file."""
    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what `git clone` leaves of a large file where Git LFS is not installed."""
    with open(path, "rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step, so that a reader or an interrupted writer never sees half of it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(value, where: str, allows_nan: bool = False):
    """Plain Python values for JSON: numpy and torch scalars become numbers; NaN and infinity are refused, or None."""
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}", allows_nan) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]", allows_nan) for index, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where, allows_nan)
    if isinstance(value, float) and not math.isfinite(value):
        if allows_nan:
            return None
        raise ValueError(f"{where} is {value}, which JSON cannot hold. Leave it out or use None.")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{where} is a {type(value).__name__}, expected plain numbers, texts, lists and dictionaries.")
