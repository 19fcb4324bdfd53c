"""
Models from the Hub: fetched once, verified always, served from the cache without any request afterwards.

`load_model` asks the network only for what is not in the cache; `pull` asks it again (has the tag moved?). Both end in
a folder at a known commit whose files are what the Hub said they are.
"""

import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .download import RemoteFile, digests_of, download, explained_write_errors, repository_folder
from .hub_calls import REQUEST_TIMEOUT_S, HubPlace, call_hub
from .model_folder import CARD_FILE, CONFIG_FILE, MODEL_FILES, WEIGHTS_FILE, read_config, verify_files, write_file
from .names import COMMIT, HubReference, find_model

logger = logging.getLogger(__name__)


def pull(
    name_or_repo: str,
    *,
    to: str | Path | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> Path:
    """
    Fetch a model from the Hub and verify it: into the cache, or as a folder to carry to a machine without internet.

    A damaged file in the cache is fetched again. A tag that has moved since the last pull is reported.

    Parameters
    ----------
    name_or_repo : str
        "owner/name@revision", or a name of `list_models`. A bundled model needs no network.
    to : str | Path | None, default: None
        Also copy the model to this folder (new, or an earlier model that is replaced).
    cache_dir, token, endpoint
        As for `load_model`.

    Returns
    -------
    Path
        Folder that `load_model` accepts.

    Raises
    ------
    ValueError
        If the model does not exist, access is refused, or what arrives is not what its config says.
    ConnectionError
        If the Hub cannot be reached.
    """
    found = find_model(name_or_repo)
    if isinstance(found, Path):
        folder = found
        verify_files(folder, read_config(folder))
    else:
        folder, _ = fetch(found, HubPlace(cache_dir, token, endpoint))
        warn_if_unpinned(found, folder.name)
    return folder if to is None else _copy_model(folder, Path(to).expanduser())


def cached_folder(reference: HubReference, place: HubPlace) -> Path | None:
    """Folder of a model in the cache, named by its commit; None if it is not there as a whole. No request is made."""
    folder = repository_folder(reference.repo_id, place)
    commit = reference.revision
    if not reference.is_pinned:
        record = folder / "refs" / reference.revision
        commit = record.read_text(encoding="utf-8").strip() if record.is_file() else ""
    snapshot = folder / "snapshots" / commit
    is_whole = all((snapshot / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))
    return snapshot if COMMIT.fullmatch(commit) and is_whole else None


def fetch(reference: HubReference, place: HubPlace) -> tuple[Path, dict]:
    """Ask the Hub for a model, download what the cache lacks, verify all; gives the folder and the config."""
    cached = cached_folder(reference, place)
    if cached is not None and reference.is_pinned:
        try:
            return cached, verified_config(cached, reference)
        except ValueError as error:
            logger.warning("%s", error)
    try:
        commit, files = _ask_listing(reference, place)
    except ConnectionError as error:
        if cached is None:
            raise
        config = verified_config(cached, reference)
        reason = type(error.__cause__ or error).__name__
        _warn(
            f"The Hub cannot be asked whether {reference} has moved ({reason}); the cached one is used: {cached.name}."
        )
        return cached, config
    if cached is not None and cached.name != commit:
        _warn(
            f"{reference} has moved since it was last pulled: it was commit {cached.name}, it is now {commit}. "
            f"The former weights stay available as '{reference.repo_id}@{cached.name}'."
        )
    pinned = replace(reference, revision=commit)
    folder = download(pinned, files, place)
    config = verified_config(folder, pinned)
    if not reference.is_pinned and (cached is None or cached.name != commit):
        # Remembered only now, so that a tag never leads to a model that was not verified.
        record = repository_folder(reference.repo_id, place) / "refs" / reference.revision
        with explained_write_errors(place):
            record.parent.mkdir(parents=True, exist_ok=True)
            write_file(record, commit.encode())
    logger.info("%s is commit %s in %s", reference, commit, folder)
    return folder, config


def verified_config(folder: Path, reference: HubReference) -> dict:
    """Config of a folder of the cache, after all its files were compared with it, the registry and the Hub's hashes."""
    remedy = f"`si-deepsort models pull {reference}` fetches it again."
    for name in MODEL_FILES:
        if (folder / name).is_file():
            _compare_with_hub_hash(folder / name, remedy)
    if reference.config_sha256 is not None:
        found = digests_of(folder / CONFIG_FILE).sha256
        if found != reference.config_sha256:
            raise ValueError(
                f"{reference}: {CONFIG_FILE} has sha256 {found[:12]}…, this version of si_deepsort was made for "
                f"{reference.config_sha256[:12]}…. {remedy}"
            )
    try:
        config = read_config(folder)
        verify_files(folder, config)
    except ValueError as error:
        raise ValueError(f"{str(error).removesuffix(' Fetch the model again.')} {remedy}") from error
    return config


def warn_if_unpinned(reference: HubReference, commit: str) -> None:
    """Tell the user what to write to get the same weights for ever."""
    if not reference.is_pinned:
        _warn(
            f"'{reference}' is not pinned: its owner can move it. It is now commit {commit}; write "
            f"'{reference.repo_id}@{commit}' to get the same weights for ever."
        )


def cached_models(cache_dir: str | Path | None = None) -> Iterator[tuple[str, str, Path]]:
    """All models of this package in the cache: repository, commit, folder."""
    for path in sorted(HubPlace(cache_dir).cache.glob(f"models--*--*/snapshots/*/{CONFIG_FILE}")):
        repo_id = path.parts[-4].removeprefix("models--").replace("--", "/")
        try:
            read_config(path.parent)
        except ValueError:
            continue  # a model of some other library
        if (path.parent / WEIGHTS_FILE).is_file():
            yield repo_id, path.parent.name, path.parent


def _ask_listing(reference: HubReference, place: HubPlace) -> tuple[str, dict[str, RemoteFile]]:
    """Commit of a revision, and the files of a model that it holds."""

    def ask():
        api = place.api()
        return api.model_info(
            reference.repo_id, revision=reference.revision, files_metadata=True, timeout=REQUEST_TIMEOUT_S
        )

    found = call_hub(ask, reference, place)
    commit = str(found.sha)
    # It becomes the name of a folder of the cache, so it is not taken on trust.
    if not COMMIT.fullmatch(commit):
        raise ValueError(
            f"The server answered {commit!r} as the commit of {reference}, expected 40 hexadecimal digits."
        )
    if reference.is_pinned and commit != reference.revision:
        raise ValueError(f"The server answered commit {commit} where {reference} was asked for.")
    files = {}
    for sibling in found.siblings or []:
        if sibling.rfilename in MODEL_FILES:
            digest = sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id
            files[sibling.rfilename] = RemoteFile(name=sibling.rfilename, size=sibling.size, digest=digest)
    return commit, files


def _compare_with_hub_hash(path: Path, remedy: str):
    # A file of the cache is a link to a blob that is named by the hash that the Hub gave. A blob with another name, as
    # some mirrors give, says nothing; where there are no links, the config's own sha256 of the weights is left.
    blob = path.resolve()
    if blob.parent.name != "blobs" or len(blob.name) not in (40, 64):
        return
    found = digests_of(blob)
    if blob.name not in (found.sha256, found.git_sha1):
        raise ValueError(f"{path} is damaged or was changed: its hash is not {blob.name[:12]}…. {remedy}")


def _warn(message: str):
    # The caller of the public function that called a function of this module.
    warnings.warn(message, UserWarning, stacklevel=4)


def _copy_model(folder: Path, to: Path) -> Path:
    if to.is_file() or (to.is_dir() and any(to.iterdir()) and not (to / CONFIG_FILE).is_file()):
        raise ValueError(f"{to} exists and is no model folder. Give a new folder, or empty this one.")
    to.mkdir(parents=True, exist_ok=True)
    (to / CONFIG_FILE).unlink(missing_ok=True)  # until all is copied, this is no model
    for name in (CARD_FILE, WEIGHTS_FILE, CONFIG_FILE):
        if (folder / name).is_file():
            write_file(to / name, (folder / name).read_bytes())
    verify_files(to, read_config(to))
    return to
