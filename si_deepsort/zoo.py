"""
The one door for weights: save them, load them, list them.

A model is a folder: `config.json` (what it is and where it comes from), `model.safetensors` (the weights) and
`README.md` (the card). Nothing is loaded that is not exactly what the config says: sha256, names and shapes of all
tensors are checked, and no pickle is ever read.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .nets import network_class
from .nets.network import Network

FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
BUNDLED_FOLDER = Path(__file__).parent / "models"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """
    What a user must know of a trained network.

    Attributes
    ----------
    name : str
        Its name in the zoo.
    task : str
        "detection", "classification", "embedding", "denoising", "lfp" or "events".
    sampling_frequency : float | None
        In Hz, of the traces it was trained on; None if it serves any.
    input_unit : str
        Unit of the input, "noise_level" where each channel is divided by its robust noise level.
    probe : str
        Layout it was trained on, "any" if it is told the positions.
    training : dict
        Provenance: command, seed, data, licence of the data.
    metrics : dict
        Name of a metric -> value (plain floats), measured on data that training never saw.
    settings : dict
        What goes with the weights but is no weight: thresholds, class names, bands.
    license : str
        SPDX identifier.
    parent : str | None
        Model that a fine-tuned one started from, with its commit or sha256.
    """

    name: str
    task: str
    sampling_frequency: float | None = None
    input_unit: str = "noise_level"
    probe: str = "any"
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    license: str = "MIT"
    parent: str | None = None


def save_model(net: Network, folder: str | Path, info: ModelInfo, card: str | None = None) -> Path:
    """
    Write a model folder.

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
    """
    from . import __version__

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {
        "format_version": FORMAT_VERSION,
        "si_deepsort_version": __version__,
        "architecture": net.architecture,
        "network": net.config.to_dict(),
        "info": asdict(info),
        "files": {WEIGHTS_FILE: _fingerprint(folder / WEIGHTS_FILE)},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    if card is not None:
        (folder / CARD_FILE).write_text(card)
    return folder


def load_model(name_or_folder: str | Path, *, device: str = "cpu") -> Network:
    """
    Load a network, verified, in evaluation mode.

    Parameters
    ----------
    name_or_folder : str | Path
        Name of a bundled model (see `list_models`) or a model folder.
    device : str, default: "cpu"
        Where the weights go.

    Returns
    -------
    Network
        With `config` (its structure) and `info` (where it comes from).

    Raises
    ------
    ValueError
        If there is no such model, or its files are not what its config says.
    """
    folder = find_model_folder(name_or_folder)
    config = _read_config(folder)
    _verify_files(folder, config)
    net_class = network_class(config["architecture"])
    net = net_class(net_class.config_class(**config["network"]))
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
        net.load_state_dict(tensors, strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"The weights in {folder} do not fit their config: {error}") from error
    known = {record.name for record in fields(ModelInfo)}
    net.info = ModelInfo(**{name: value for name, value in config["info"].items() if name in known})
    return net.to(device).eval()


def find_model_folder(name_or_folder: str | Path) -> Path:
    """Folder of a bundled model or of a path; a ValueError names the nearest bundled models."""
    folder = Path(name_or_folder).expanduser()
    if (folder / CONFIG_FILE).is_file():
        return folder
    if re.fullmatch(r"[\w.-]+", str(name_or_folder)) and (BUNDLED_FOLDER / str(name_or_folder) / CONFIG_FILE).is_file():
        return BUNDLED_FOLDER / str(name_or_folder)
    names = sorted(path.parent.name for path in BUNDLED_FOLDER.glob(f"*/{CONFIG_FILE}"))
    raise ValueError(
        f"Unknown model '{name_or_folder}': it is neither a folder with a {CONFIG_FILE} nor one of the bundled {names}."
    )


def _read_config(folder: Path) -> dict:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / CONFIG_FILE} cannot be read as JSON: {error}") from error
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{folder} has model format {version!r}, this version of si_deepsort reads format {FORMAT_VERSION}. "
            "Install a newer si_deepsort."
        )
    return config


def _verify_files(folder: Path, config: dict):
    for name, expected in config["files"].items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ValueError(f"{folder} lacks the file {name!r} that its {CONFIG_FILE} names. Fetch the model again.")
        found = _fingerprint(folder / name)
        if found != expected:
            raise ValueError(
                f"{folder / name} is damaged or was changed: sha256 {found['sha256'][:12]}… ({found['size']} bytes), "
                f"expected {expected['sha256'][:12]}… ({expected['size']} bytes). Fetch the model again."
            )


def _fingerprint(path: Path) -> dict:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
