"""
Download the files of a model into the cache of the Hub's client.

The layout is that of `huggingface_hub`: a file is `blobs/HASH`, and `snapshots/COMMIT/NAME` links to it. Where links
are not allowed, the file itself is in the snapshot. The client names files of its cache by headers of the server's
answer without looking at them. Here a file is named by the hash that is computed from what arrived, so that no server
can choose where something is written.
"""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .hub_calls import HubPlace, call_hub
from .model_folder import CONFIG_FILE, MODEL_FILES, WEIGHTS_FILE
from .names import HubReference

# Bytes that are read at once.
PIECE = 1 << 20
# Seconds without an answer, or without a further byte, after which a download is tried again.
DOWNLOAD_TIMEOUT_S = 30.0
# Errors of the file system that say that the cache cannot be written.
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.ENOTDIR)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """
    A file as the Hub lists it.

    Attributes
    ----------
    name : str
        One of `MODEL_FILES`.
    size : int | None
        In bytes; None if the server does not say.
    digest : str | None
        sha256 (64 digits) of a large file, git's sha1 (40 digits) of another; None if the server does not say.
    """

    name: str
    size: int | None
    digest: str | None

    def accepts(self, content: "Digests") -> bool:
        """Whether content with these hashes and this size is the file."""
        return self.size in (None, content.size) and self.digest in (None, content.sha256, content.git_sha1)


@dataclass(frozen=True, kw_only=True)
class Digests:
    """Size in bytes of a file, its sha256 and its sha1 as git computes it, both as hexadecimal digits."""

    size: int
    sha256: str
    git_sha1: str


def digests_of(path: Path) -> Digests:
    """Hashes of a file, by which the Hub names it."""
    size = path.stat().st_size
    sha256, git_sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            sha256.update(piece)
            git_sha1.update(piece)
    return Digests(size=size, sha256=sha256.hexdigest(), git_sha1=git_sha1.hexdigest())


def repository_folder(repo_id: str, place: HubPlace) -> Path:
    """Folder of a repository in the cache."""
    return place.cache / ("models--" + repo_id.replace("/", "--"))


def download(reference: HubReference, files: dict[str, RemoteFile], place: HubPlace) -> Path:
    """
    Download what the cache lacks, or holds damaged, of a model.

    Parameters
    ----------
    reference : HubReference
        At a commit.
    files : dict
        The repository's files by name, as the Hub lists them.
    place : HubPlace

    Returns
    -------
    Path
        The snapshot: a folder with the files of the model.

    Raises
    ------
    ValueError
        If the repository holds no model, or what arrives is not what was listed.
    ConnectionError
        If the Hub does not send it.
    OSError
        If the cache cannot be written.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if name not in files:
            raise ValueError(f"{reference} has no {name}, so it is no si_deepsort model. Is its name right?")
    folder = repository_folder(reference.repo_id, place)
    snapshot = folder / "snapshots" / reference.revision
    with explained_write_errors(place):
        for part in (snapshot, folder / "blobs"):
            part.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES:
        path = snapshot / name
        is_intact = name in files and path.is_file() and files[name].digest and files[name].accepts(digests_of(path))
        if name in files and not is_intact:
            _download_file(reference, files[name], path, place)
    return snapshot


@contextmanager
def explained_write_errors(place: HubPlace) -> Iterator[None]:
    """Turn an error of the file system about writing into one that names the cache and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise OSError(
            f"The cache {place.cache} cannot be written ({error.strerror}). Set HF_HOME or cache_dir to a folder that "
            "can be, or give the model as a folder."
        ) from error


def _download_file(reference, remote: RemoteFile, path: Path, place: HubPlace):
    blobs = path.parent.parent.parent / "blobs"
    partial = blobs / f".{uuid.uuid4().hex}.partial"
    try:
        call_hub(lambda: _receive(reference, remote, partial, place), reference, place, repeats_broken=True)
        with explained_write_errors(place):
            found = digests_of(partial)
            if not remote.accepts(found):
                raise ValueError(
                    f"{remote.name} of {reference} is damaged or was changed on its way: {place.endpoint} lists hash "
                    f"{str(remote.digest)[:12]}… and {remote.size} bytes, {found.size} bytes of another content came."
                )
            is_large = remote.digest == found.sha256
            _put(partial, blobs / (found.sha256 if is_large else found.git_sha1), path)
    finally:
        partial.unlink(missing_ok=True)


def _receive(reference, remote: RemoteFile, partial: Path, place: HubPlace):
    """Write the answer of the server to a file, never more than was listed."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = hf_hub_url(reference.repo_id, remote.name, revision=reference.revision, endpoint=place.endpoint)
    headers = build_hf_headers(token=place.token)
    with get_session().stream("GET", url, headers=headers, timeout=DOWNLOAD_TIMEOUT_S) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        size = 0
        with explained_write_errors(place), open(partial, "wb") as file:
            for piece in response.iter_bytes(PIECE):
                size += len(piece)
                if remote.size is not None and size > remote.size:
                    break
                file.write(piece)


def _put(partial: Path, blob: Path, path: Path):
    """Move a checked file to its places in the cache, each in one step."""
    link = path.with_name(f".{path.name}.{uuid.uuid4().hex}.link")
    try:
        link.symlink_to(os.path.join("..", "..", "blobs", blob.name))
    except OSError:  # no links here: Windows without developer mode, exFAT, SMB
        os.replace(partial, path)
        return
    os.replace(partial, blob)
    os.replace(link, path)
