"""Publish a model on the Hub: with a card, under a tag that is never moved, at a commit that is known."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .cards import render_card
from .hub_calls import HubPlace, call_hub
from .load import find_model_folder, load_model
from .model_folder import (
    CARD_FILE,
    CONFIG_FILE,
    MODEL_FILES,
    WEIGHTS_FILE,
    fingerprint,
    read_config,
    save_model,
    write_file,
)
from .names import BUNDLED_FOLDER, HubReference, bundled_names

if TYPE_CHECKING:
    from ..nets.network import Network
    from .model_folder import ModelInfo


def push_to_hub(
    model: "Network | str | Path",
    repo_id: str,
    *,
    info: "ModelInfo | None" = None,
    tag: str | None = None,
    private: bool | None = None,
    message: str = "Upload model",
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> str:
    """
    Publish a model.

    Parameters
    ----------
    model : Network | str | Path
        A network, or whatever `load_model` takes.
    repo_id : str
        "owner/name"; the repository is made if it does not exist.
    info : ModelInfo | None, default: None
        For a network without `net.info`: what a user must know of it.
    tag : str | None, default: None
        Name of this version, such as "v1". One that exists is refused before anything is uploaded.
    private : bool | None, default: None
        Whether a new repository is private; None takes the default of the account.
    message : str, default: "Upload model"
        Message of the commit.
    token, endpoint
        As for `load_model`; the token must have the right to write.

    Returns
    -------
    str
        "owner/name@commit", which `load_model` takes and nobody can move.

    Raises
    ------
    ValueError, ConnectionError
        If the model is damaged, the tag exists or the token has no right to write; if the Hub cannot be reached.
    """
    reference = HubReference(repo_id=repo_id, revision=tag or "main")
    place = HubPlace(token=token, endpoint_argument=endpoint)
    api = place.api()

    def ask(call):
        return call_hub(call, reference, place, is_push=True)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        staged = _stage(model, info, Path(folder))
        ask(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        if tag is not None:
            _refuse_existing_tag(ask(lambda: api.list_repo_refs(repo_id)), reference)
        ask(lambda: api.upload_folder(repo_id=repo_id, folder_path=staged, commit_message=message))
        found = ask(lambda: api.model_info(repo_id, files_metadata=True))
        _compare_with_upload(found, staged, repo_id)
    if tag is not None:
        ask(lambda: api.create_tag(repo_id, tag=tag, revision=found.sha))
    return f"{repo_id}@{found.sha}"


def push_all(
    owner: str,
    *,
    private: bool | None = None,
    message: str = "Upload model",
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> dict[str, HubReference]:
    """
    Publish every bundled model with its card, each as "owner/NAME". Doing it again publishes only what has changed.

    Parameters
    ----------
    owner : str
        User or organisation on the Hub.
    private, message, token, endpoint
        As for `push_to_hub`.

    Returns
    -------
    dict
        Name -> repository at its commit, with the sha256 of its config: the entries of `names.REGISTRY`.

    Raises
    ------
    ValueError, ConnectionError
        As `push_to_hub`; models before the one that failed are published.
    """
    published = {}
    for name in bundled_names():
        pinned = push_to_hub(name, f"{owner}/{name}", private=private, message=message, token=token, endpoint=endpoint)
        repo_id, _, commit = pinned.partition("@")
        sha256 = fingerprint(BUNDLED_FOLDER / name / CONFIG_FILE)["sha256"]
        published[name] = HubReference(repo_id=repo_id, revision=commit, config_sha256=sha256)
    return published


def _stage(model, info, folder: Path) -> Path:
    """A complete, verified model folder with a card, to be uploaded as it is."""
    if isinstance(model, str | Path):
        if info is not None:
            raise ValueError("info was given with a saved model, which has its own. Load the model to publish it anew.")
        origin = find_model_folder(model)
        for name in MODEL_FILES:
            if (origin / name).is_file():
                write_file(folder / name, (origin / name).read_bytes())
    else:
        if info is None and model.info is None:
            raise ValueError("The network has no info yet. Give info=ModelInfo(name=..., task=..., training=...).")
        save_model(model, folder, info or model.info)
    load_model(folder)  # what cannot be loaded is not published
    write_file(folder / CARD_FILE, render_card(folder).encode())
    return folder


def _refuse_existing_tag(refs, reference: HubReference):
    for existing in refs.tags:
        if existing.name == reference.revision:
            raise ValueError(
                f"{reference.repo_id} has a tag '{reference.revision}' already (commit {existing.target_commit}). A "
                f"tag that moves would change other people's results: choose another than "
                f"{sorted(tag.name for tag in refs.tags)}."
            )


def _compare_with_upload(found, folder: Path, repo_id: str):
    """Whether the Hub, which was asked where it is (an upload is one commit, several or none), holds the model."""
    weights = read_config(folder)["files"][WEIGHTS_FILE]
    uploaded = {sibling.rfilename: sibling for sibling in found.siblings}
    if CONFIG_FILE not in uploaded or WEIGHTS_FILE not in uploaded:
        raise ValueError(f"{repo_id} does not hold the model after the upload. Somebody else writes to it: try again.")
    large_file = uploaded[WEIGHTS_FILE].lfs
    if large_file is not None and large_file.sha256 != weights["sha256"]:
        raise ValueError(f"{repo_id} holds other weights than were uploaded. Somebody else writes to it: try again.")
