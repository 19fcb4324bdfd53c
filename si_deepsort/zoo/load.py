"""Load a network by its name, and say afterwards which weights exactly it has."""

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .hub import cached_folder, fetch, verified_config, warn_if_unpinned
from .hub_calls import HubPlace, unreachable_error
from .model_folder import WEIGHTS_FILE, info_of, read_config, verify_files
from .names import BUNDLED_FOLDER, HubReference, find_model
from .provenance import model_provenance

if TYPE_CHECKING:
    from ..nets.network import Network

_NetworkT = TypeVar("_NetworkT", bound="Network")


@dataclass(frozen=True)
class LocatedModel:
    """
    A model that is on this machine and whose files are what its config says.

    Attributes
    ----------
    folder : Path
    config : dict
        Contents of `config.json`.
    source : dict
        Where it comes from: kind, reference and, from the Hub, repo_id, revision and commit.
    """

    folder: Path
    config: dict[str, Any]
    source: dict[str, str]

    def load(self, *, device: str = "cpu") -> "Network":
        """The network on a device, in evaluation mode, see `load_model`."""
        # PyTorch is imported from here on: a model that is not there is told without waiting for it.
        from ..inference import choose_device
        from .weights import build_network

        chosen = choose_device(device)
        net = build_network(self.folder, self.config)
        sha256 = self.config["files"][WEIGHTS_FILE]["sha256"]
        net.info = info_of(self.config, source={**self.source, "sha256": sha256})
        return net.to(chosen)


def load_model(
    name_or_folder_or_repo: str | PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    endpoint: str | None = None,
    device: str = "cpu",
) -> "Network":
    """
    Load a network, verified, in evaluation mode.

    What is in the cache is used without any request. `pull` asks the Hub whether a tag or branch has moved.

    Parameters
    ----------
    name_or_folder_or_repo : str | Path
        Name of a bundled model (see `list_models`), a model folder ("./folder"), or a repository on the Hub
        ("owner/name@revision").
    revision : str | None, default: None
        Tag, branch or commit of a repository, where it is not written behind its name. Only a commit of 40 digits is
        pinned; any other revision warns and tells its commit.
    cache_dir, token, endpoint : str | None, default: None
        Cache, login (for private repositories) and address of the Hub; None takes `HF_HOME`, what `hf auth login`
        stored and `HF_ENDPOINT`, or the defaults of `huggingface_hub`.
    local_files_only : bool, default: False
        Never make a request.
    device : "auto" | "cpu" | "cuda" | "cuda:N" | "mps", default: "cpu"
        Where the weights go.

    Returns
    -------
    Network
        With `config` (its structure) and `info` (where it comes from, see `model_provenance`).

    Raises
    ------
    ValueError
        If there is no such model, or its files are not what its config says.
    ConnectionError
        If it is not in the cache and the Hub cannot be reached.
    """
    place = HubPlace(cache_dir, token, endpoint)
    return _locate(name_or_folder_or_repo, revision, local_files_only, place).load(device=device)


def load_network(
    model: "Network | str | PathLike",
    expected: "type[_NetworkT] | tuple[type[_NetworkT], ...]",
    *,
    purpose: str,
    remedy: str = "",
    device: str | None = None,
) -> "_NetworkT":
    """
    Load a network of one kind, or check that a loaded one is of this kind.

    Parameters
    ----------
    model : Network | TrainedModel | str | Path
        A network, what a training function returned, or whatever `load_model` takes.
    expected : type of Network, or a tuple of them
    purpose : str
        What the model is needed for, for the error, such as "detection".
    remedy : str, default: ""
        A sentence on how to get such a model, for the error.
    device : str | None, default: None
        Where the network goes, see `load_model`; None leaves a loaded network where it is.

    Returns
    -------
    Network
        One of `expected`, in evaluation mode.

    Raises
    ------
    ValueError, ConnectionError
        As `load_model`, and if the network is of another kind.
    """
    from ..inference import choose_device
    from ..nets.network import Network

    # What a training returned and nobody saved.
    unsaved = getattr(model, "net", None) if getattr(model, "folder", None) is None else None
    model = unsaved if isinstance(unsaved, Network) else model
    net = model if isinstance(model, Network) else load_model(model, device=device or "cpu")
    if not isinstance(net, expected):
        kinds = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(f"'{kind.architecture}'" for kind in kinds)
        given = "the given network" if isinstance(model, Network) else f"'{model}'"
        text = (
            f"A model for {purpose} was expected ({names}), but {given} is of the kind '{net.architecture}'. {remedy}"
        )
        raise ValueError(text.strip())
    return (net if device is None else net.to(choose_device(device))).eval()


def describe_model(name_or_folder_or_repo: str | PathLike, **hub_arguments: Any) -> dict:
    """
    What a model is and where it comes from, without building its network.

    Parameters
    ----------
    name_or_folder_or_repo, **hub_arguments
        As for `locate_model`.

    Returns
    -------
    dict
        The contents of `config.json`, with `source` and `folder`.
    """
    located = locate_model(name_or_folder_or_repo, **hub_arguments)
    return {"folder": str(located.folder), "source": located.source, **located.config}


def verify(name_or_folder_or_repo: str | PathLike, **load_arguments: Any) -> dict:
    """
    Check a model as `load_model` does, with the same arguments, and return its provenance, see `model_provenance`.

    Raises
    ------
    ValueError
        If anything is not as it should be; the message says what.
    """
    return model_provenance(load_model(name_or_folder_or_repo, **load_arguments))


def find_model_folder(name_or_folder_or_repo: str | PathLike, **hub_arguments: Any) -> Path:
    """Folder of a model, fetched if need be; the arguments are those of `locate_model`."""
    return locate_model(name_or_folder_or_repo, **hub_arguments).folder


def pin_model(name_or_folder_or_repo: str | PathLike, **hub_arguments: Any) -> str:
    """
    A reference to the same model that stays true: in another folder, in another process, and after a tag moves.

    Parameters
    ----------
    name_or_folder_or_repo, **hub_arguments
        As for `locate_model`.

    Returns
    -------
    str
        Name of a bundled model, absolute path of a folder, or "owner/name@commit".
    """
    return locate_model(name_or_folder_or_repo, **hub_arguments).source["reference"]


def locate_model(
    name_or_folder_or_repo: str | PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> LocatedModel:
    """
    Find a model, fetch it if need be, and verify its files once; its network is not built yet.

    Parameters
    ----------
    name_or_folder_or_repo, revision, cache_dir, local_files_only, token, endpoint
        As for `load_model`.

    Returns
    -------
    LocatedModel

    Raises
    ------
    ValueError, ConnectionError
        As `load_model`.
    """
    return _locate(name_or_folder_or_repo, revision, local_files_only, HubPlace(cache_dir, token, endpoint))


def _locate(name, revision: str | None, local_files_only: bool, place: HubPlace) -> LocatedModel:
    found = find_model(name)
    if isinstance(found, Path):
        if revision is not None:
            raise ValueError(f"revision={revision!r} was given, but '{name}' is no repository on the Hub.")
        is_bundled = found.parent == BUNDLED_FOLDER
        kind, reference = ("bundled", found.name) if is_bundled else ("folder", str(found))
        config = read_config(found)
        verify_files(found, config)
        return LocatedModel(found, config, {"kind": kind, "reference": reference})
    if revision is not None:
        if "@" in str(name) and revision != found.revision:
            raise ValueError(f"revision={revision!r} was given, but '{name}' names another.")
        found = replace(found, revision=revision)
    folder, config = _folder_of_repository(found, local_files_only, place)
    warn_if_unpinned(found, folder.name)
    source = {"kind": "hub", "reference": f"{found.repo_id}@{folder.name}"}
    source |= {"repo_id": found.repo_id, "revision": found.revision, "commit": folder.name}
    return LocatedModel(folder, config, source)


def _folder_of_repository(reference: HubReference, local_files_only: bool, place: HubPlace) -> tuple[Path, dict]:
    cached = cached_folder(reference, place)
    if cached is not None:
        return cached, verified_config(cached, reference)
    if local_files_only:
        raise unreachable_error(reference, "local_files_only=True", place)
    return fetch(reference, place)
