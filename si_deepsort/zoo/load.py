"""Load a network by its name, and say afterwards which weights exactly it has."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .hub import cached_folder, fetch, verify_snapshot, warn_if_unpinned
from .hub_calls import unreachable_error
from .model_folder import WEIGHTS_FILE, info_of, read_config, verify_files
from .names import BUNDLED_FOLDER, HubReference, find_model
from .weights import build_network

if TYPE_CHECKING:
    from ..nets.network import Network


def load_model(
    name_or_folder_or_repo: str | Path,
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
    place = {"cache_dir": cache_dir, "token": token, "endpoint": endpoint}
    folder, source = _locate(name_or_folder_or_repo, revision=revision, local_files_only=local_files_only, **place)
    config = read_config(folder)
    verify_files(folder, config)
    # PyTorch is imported from here on: a model that is not there is told without waiting for it.
    from ..inference import choose_device

    device = choose_device(device)
    net = build_network(folder, config)
    net.info = info_of(config, source={**source, "sha256": config["files"][WEIGHTS_FILE]["sha256"]})
    return net.to(device)


def describe_model(name_or_folder_or_repo: str | Path, **hub_arguments) -> dict:
    """
    What a model is and where it comes from, without building its network.

    Parameters
    ----------
    name_or_folder_or_repo : str | Path
        As for `load_model`.
    **hub_arguments
        revision, cache_dir, local_files_only, token, endpoint, as for `load_model`.

    Returns
    -------
    dict
        The contents of `config.json`, with `source` and `folder`.
    """
    folder, source = _locate(name_or_folder_or_repo, **hub_arguments)
    return {"folder": str(folder), "source": source, **read_config(folder)}


def verify(name_or_folder_or_repo: str | Path, **hub_arguments) -> dict:
    """
    Check a model as `load_model` does, and describe it.

    Parameters
    ----------
    name_or_folder_or_repo : str | Path
        As for `load_model`.
    **hub_arguments
        revision, cache_dir, local_files_only, token, endpoint, as for `load_model`.

    Returns
    -------
    dict
        Its provenance, see `model_provenance`.

    Raises
    ------
    ValueError
        If anything is not as it should be; the message says what.
    """
    return model_provenance(load_model(name_or_folder_or_repo, **hub_arguments))


def model_provenance(net: "Network") -> dict:
    """
    Which weights a network has, as plain values for JSON: to be kept with every result that was computed with it.

    Returns
    -------
    dict
        name, architecture, task, license, parent, and of a loaded network kind ("bundled", "folder" or "hub"),
        reference (what gives the same weights again), sha256 of the weights, and for "hub" repo_id, revision (as asked
        for) and commit. kind is "unsaved" for a network that was not loaded.
    """
    provenance = {"architecture": net.architecture, "kind": "unsaved"}
    if net.info is not None:
        described = ("name", "task", "license", "parent")
        provenance |= {name: getattr(net.info, name) for name in described} | net.info.source
    return provenance


def find_model_folder(name_or_folder_or_repo: str | Path, **hub_arguments) -> Path:
    """Folder of a model, fetched if need be; the arguments are those of `pin_model`."""
    return _locate(name_or_folder_or_repo, **hub_arguments)[0]


def parent_reference(net: "Network") -> str | None:
    """
    What a model that starts from this network calls its parent: a repository at a commit, or name and sha256.

    None if the network has no info: it starts from nothing.
    """
    if net.info is None:
        return None
    provenance = model_provenance(net)
    if provenance["kind"] == "hub":
        return provenance["reference"]
    sha256 = provenance.get("sha256")
    return f"{net.info.name} ({f'sha256 {sha256}' if sha256 else 'never saved'})"


def pin_model(name_or_folder_or_repo: str | Path, **hub_arguments) -> str:
    """
    A reference to the same model that stays true: in another folder, in another process, and after a tag moves.

    Parameters
    ----------
    name_or_folder_or_repo : str | Path
        As for `load_model`.
    **hub_arguments
        revision, cache_dir, local_files_only, token, endpoint, as for `load_model`.

    Returns
    -------
    str
        Name of a bundled model, absolute path of a folder, or "owner/name@commit".
    """
    return _locate(name_or_folder_or_repo, **hub_arguments)[1]["reference"]


def _locate(name_or_folder_or_repo, *, revision=None, local_files_only=False, **hub_arguments) -> tuple[Path, dict]:
    """Folder of a model, fetched if need be, and where it comes from."""
    found = find_model(name_or_folder_or_repo)
    if isinstance(found, Path):
        if revision is not None:
            raise ValueError(
                f"revision={revision!r} was given, but '{name_or_folder_or_repo}' is no repository on the Hub."
            )
        is_bundled = found.parent == BUNDLED_FOLDER
        kind, reference = ("bundled", found.name) if is_bundled else ("folder", str(found))
        return found, {"kind": kind, "reference": reference}
    if revision is not None:
        if "@" in str(name_or_folder_or_repo) and revision != found.revision:
            raise ValueError(f"revision={revision!r} was given, but '{name_or_folder_or_repo}' names another.")
        found = replace(found, revision=revision)
    folder, commit = _folder_of_repository(found, local_files_only, hub_arguments)
    warn_if_unpinned(found, commit)
    source = {"kind": "hub", "reference": f"{found.repo_id}@{commit}"}
    return folder, source | {"repo_id": found.repo_id, "revision": found.revision, "commit": commit}


def _folder_of_repository(reference: HubReference, local_files_only, hub_arguments) -> tuple[Path, str]:
    cached = cached_folder(reference, hub_arguments.get("cache_dir"))
    if cached is not None:
        verify_snapshot(cached[0], reference)
        return cached
    if local_files_only:
        reason = "local_files_only=True"
        raise unreachable_error(reference, reason, hub_arguments.get("cache_dir"), hub_arguments.get("endpoint"))
    return fetch(reference, **hub_arguments)
