"""
Models from the Hub: fetched once, verified always, served from the cache without a request ever after.

`load_model` asks the network only for what is not in the cache; `pull` asks it again (has the tag moved?). Both end in
a folder at a known commit whose files are what the Hub said they are.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .hub_calls import REQUEST_TIMEOUT_S, call_hub
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
        folder, commit = fetch(found, cache_dir=cache_dir, token=token, endpoint=endpoint)
        warn_if_unpinned(found, commit)
    return folder if to is None else _copy_model(folder, Path(to).expanduser())


def cached_folder(reference: HubReference, cache_dir: str | Path | None = None) -> tuple[Path, str] | None:
    """Folder and commit of a model in the cache, None if it is not there as a whole. No request is made."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                reference.repo_id,
                revision=reference.revision,
                cache_dir=cache_dir,
                allow_patterns=list(MODEL_FILES),
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, OSError):
        return None
    is_whole = (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
    return (folder, folder.name) if is_whole and COMMIT.fullmatch(folder.name) else None


def fetch(
    reference: HubReference,
    *,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> tuple[Path, str]:
    """Ask the Hub for a model, download what the cache lacks, verify all; gives the folder and the commit."""
    place = {"cache_dir": cache_dir, "token": token, "endpoint": endpoint}
    cached = cached_folder(reference, cache_dir)
    if cached is not None and reference.is_pinned:
        try:
            verify_snapshot(cached[0], reference)
            return cached
        except ValueError as error:
            logger.warning("%s", error)
    try:
        commit = _resolve(reference, **place)
    except ConnectionError as error:
        if cached is None:
            raise
        verify_snapshot(cached[0], reference)
        reason = type(error.__cause__ or error).__name__
        warnings.warn(
            f"The Hub cannot be asked whether {reference} has moved ({reason}); the cached one is used: {cached[1]}.",
            UserWarning,
            stacklevel=3,
        )
        return cached
    if cached is not None and cached[1] != commit:
        warnings.warn(
            f"{reference} has moved since it was last pulled: it was commit {cached[1]}, it is now {commit}. "
            f"The former weights stay available as '{reference.repo_id}@{cached[1]}'.",
            UserWarning,
            stacklevel=3,
        )
    pinned = replace(reference, revision=commit)
    folder = _download(pinned, **place)
    try:
        verify_snapshot(folder, pinned)
    except ValueError as error:
        logger.warning("%s Fetching it again.", error)
        folder = _download(pinned, **place, force_download=True)
        verify_snapshot(folder, pinned)
    if not reference.is_pinned:
        # Remembered only now, so that a tag never leads to a model that was not verified.
        record = folder.parent.parent / "refs" / reference.revision
        record.parent.mkdir(parents=True, exist_ok=True)
        write_file(record, commit.encode())
    logger.info("%s is commit %s in %s", reference, commit, folder)
    return folder, commit


def verify_snapshot(folder: Path, reference: HubReference) -> dict:
    """Check a folder of the cache against its config, the registry and the Hub's own hashes; gives the config."""
    remedy = f"`si-deepsort models pull {reference}` fetches it again."
    for name in MODEL_FILES:
        if (folder / name).is_file():
            _compare_with_hub_hash(folder / name, remedy)
    if reference.config_sha256 is not None:
        found = hashlib.sha256((folder / CONFIG_FILE).read_bytes()).hexdigest()
        if found != reference.config_sha256:
            raise ValueError(
                f"{reference}: {CONFIG_FILE} has sha256 {found[:12]}…, this version of si_deepsort was made for "
                f"{reference.config_sha256[:12]}…. {remedy}"
            )
    config = read_config(folder)
    try:
        verify_files(folder, config)
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from error
    return config


def warn_if_unpinned(reference: HubReference, commit: str):
    """Tell the user what to write to get the same weights for ever."""
    if not reference.is_pinned:
        warnings.warn(
            f"'{reference}' is not pinned: its owner can move it. It is now commit {commit}; write "
            f"'{reference.repo_id}@{commit}' to get the same weights for ever.",
            UserWarning,
            stacklevel=3,
        )


def cached_models(cache_dir: str | Path | None = None) -> Iterator[tuple[str, str, Path]]:
    """All models of this package in the cache: repository, commit, folder."""
    from huggingface_hub import constants

    for path in sorted(Path(cache_dir or constants.HF_HUB_CACHE).glob(f"models--*--*/snapshots/*/{CONFIG_FILE}")):
        repo_id = path.parts[-4].removeprefix("models--").replace("--", "/")
        try:
            read_config(path.parent)
        except ValueError:
            continue  # a model of some other library
        if (path.parent / WEIGHTS_FILE).is_file():
            yield repo_id, path.parent.name, path.parent


def _resolve(reference: HubReference, **place) -> str:
    """Commit of a revision. Asked for pinned ones too: it fails at once where a download would try for long."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=place["endpoint"], token=place["token"])

    def ask():
        return api.model_info(reference.repo_id, revision=reference.revision, timeout=REQUEST_TIMEOUT_S).sha

    commit = call_hub(ask, reference, **place)
    # It becomes the name of a folder of the cache, so it is not taken on trust.
    if not COMMIT.fullmatch(str(commit)):
        raise ValueError(
            f"The server answered {commit!r} as the commit of {reference}, expected 40 hexadecimal digits."
        )
    if reference.is_pinned and commit != reference.revision:
        raise ValueError(f"The server answered commit {commit} where {reference} was asked for.")
    return commit


def _download(reference: HubReference, *, force_download=False, **place) -> Path:
    from huggingface_hub import snapshot_download

    def download():
        return snapshot_download(
            reference.repo_id,
            revision=reference.revision,
            allow_patterns=list(MODEL_FILES),
            force_download=force_download,
            **place,
        )

    # The client itself tries downloads again.
    folder = Path(call_hub(download, reference, **place, has_retries=True))
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(f"{reference} has no {name}, so it is no si_deepsort model. Look for a typo in its name.")
    return folder


def _compare_with_hub_hash(path: Path, remedy: str):
    # A file of the cache is a link to a blob that is named by the hash that the Hub gave: sha256 of large files, git's
    # sha1 of small ones. The client itself never compares them.
    blob = path.resolve()
    if blob.parent.name != "blobs":
        return
    content = blob.read_bytes()
    hashes = {
        64: [hashlib.sha256(content)],
        # Mirrors may use the plain sha1.
        40: [hashlib.sha1(b"blob %d\0" % len(content) + content), hashlib.sha1(content)],
    }
    expected = hashes.get(len(blob.name), [])
    if expected and blob.name not in [digest.hexdigest() for digest in expected]:
        raise ValueError(f"{path} is damaged or was changed: its hash is not {blob.name[:12]}…. {remedy}")


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
