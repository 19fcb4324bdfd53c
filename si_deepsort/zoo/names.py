"""
What a user may write for a model: a name, a folder, or a repository on the Hub.

The three never get mixed up: what starts like a path is a path, a name without "/" is never sent to a server, and only
"owner/name" or "owner/name@revision" is a repository.
"""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .model_folder import CONFIG_FILE

BUNDLED_FOLDER = Path(__file__).parent.parent / "models"
HUB_PREFIX = "hf://"
COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# How saved recordings and sortings name a model of the Hub: it means the same whatever folders there are.
_PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
# Addresses of the public Hub, beside the one that HF_ENDPOINT names.
_PUBLIC_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
# What follows owner/name in the address of a page, before the revision.
_PAGES_OF_REVISION = ("tree", "blob", "resolve", "raw", "commit")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")


@dataclass(frozen=True, kw_only=True)
class HubReference:
    """
    A repository on the Hub at a revision.

    Attributes
    ----------
    repo_id : str
        "owner/name".
    revision : str
        Tag, branch or commit.
    config_sha256 : str | None
        sha256 that its `config.json` must have; known for the entries of `REGISTRY`.
    """

    repo_id: str
    revision: str = "main"
    config_sha256: str | None = None

    def __post_init__(self):
        parts = self.repo_id.split("/")
        is_valid = len(parts) == 2 and all(_NAME.fullmatch(part) for part in parts) and len(self.repo_id) <= 96
        if not is_valid or "--" in self.repo_id or ".." in self.repo_id or self.repo_id.endswith(".git"):
            raise ValueError(
                f"Got repository {self.repo_id!r}, expected 'owner/name' of letters, digits, '.', '_', '-'."
            )
        # The client makes a file of this name in its cache, so it must not be able to leave its folder.
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision or "//" in self.revision:
            raise ValueError(f"Got revision {self.revision!r} of {self.repo_id}, expected a tag, branch or commit.")

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit hash, which nobody can move."""
        return COMMIT.fullmatch(self.revision) is not None

    def __str__(self):
        return f"{self.repo_id}@{self.revision}"


# Pretrained models that are not bundled: name -> repository at a commit, with the sha256 of its config (which holds the
# sha256 of the weights). This is the only place that names them. `si-deepsort models push --all OWNER` prints entries
# in this form, and a test refuses entries that are not pinned.
REGISTRY: dict[str, HubReference] = {}


def find_model(name_or_folder_or_repo: str | Path) -> Path | HubReference:
    """
    What a user's words mean: the folder of a model, or a repository on the Hub. No request is made.

    Parameters
    ----------
    name_or_folder_or_repo : str | Path
        Name of a bundled or registered model; a folder (any `Path`; any text that starts with ".", "/", "~" or a drive,
        and any text that is an existing folder); or "owner/name", "owner/name@revision", "hf://owner/name@revision",
        or the address of a repository's page. "owner/name@commit", as saved results hold it, is never a folder.

    Raises
    ------
    ValueError
        If it is none of these; the message names the nearest known names.
    """
    if not isinstance(name_or_folder_or_repo, str | os.PathLike):
        kind = type(name_or_folder_or_repo).__name__
        raise ValueError(f"Got a {kind} as model, expected a name, a folder or 'owner/name@revision'.")
    text, folder = os.fspath(name_or_folder_or_repo), Path(name_or_folder_or_repo).expanduser()
    if isinstance(name_or_folder_or_repo, str):
        if text.startswith(HUB_PREFIX):
            return _hub_reference(text.removeprefix(HUB_PREFIX))
        if not text.strip():
            raise ValueError(f"Got an empty name of a model. Known names: {sorted({*bundled_names(), *REGISTRY})}.")
        if text.lower().startswith(("http://", "https://")):
            return _reference_of_address(text)
        if text.split("/")[0].lower() in _PUBLIC_HOSTS and not folder.exists():
            return _reference_of_address(f"https://{text}")
        if _PINNED.fullmatch(text):
            return _hub_reference(text)
        # A name means the same wherever the program runs: a folder of this name is written "./name".
        if text in bundled_names():
            return BUNDLED_FOLDER / text
        if text in REGISTRY:
            return REGISTRY[text]
    if text and (folder / CONFIG_FILE).is_file():
        return folder.absolute()
    if not isinstance(name_or_folder_or_repo, str) or _looks_like_a_path(text) or folder.is_dir():
        raise ValueError(_no_such_folder(folder))
    if "/" not in text:
        raise ValueError(_no_such_name(text))
    return _hub_reference(text)


def bundled_names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED_FOLDER.glob(f"*/{CONFIG_FILE}"))


def _looks_like_a_path(text: str) -> bool:
    if text == "" or text[0] in "./~" or text.endswith("/") or "\\" in text or re.match(r"[A-Za-z]:", text):
        return True
    first, *rest = text.split("/")
    repository, at, _ = text.partition("@")
    # A repository has one slash before its revision. Without a revision, "models/my-nte" beside a folder "models" is
    # a typo of a path.
    return bool(rest) and (repository.count("/") > 1 or (not at and Path(first).is_dir()))


def _hub_reference(text: str) -> HubReference:
    repo_id, _, revision = text.partition("@")
    return HubReference(repo_id=repo_id, revision=revision or "main")


def _reference_of_address(text: str) -> HubReference:
    """The repository whose page has this address, as copied from a browser."""
    from huggingface_hub import constants

    parts = urlsplit(text)
    known = {*_PUBLIC_HOSTS, urlsplit(constants.ENDPOINT).netloc.lower()}
    if parts.netloc.lower() not in known:
        raise ValueError(
            f"{text} is no address of the Hub ({constants.ENDPOINT}). Write 'owner/name@revision', and set HF_ENDPOINT "
            "for another Hub; or download the model and give its folder."
        )
    segments = [segment for segment in parts.path.split("/") if segment]
    if len(segments) < 2 or segments[0] in ("datasets", "spaces", "api", "docs", "collections"):
        raise ValueError(f"{text} is not the page of a model, expected {constants.ENDPOINT}/owner/name.")
    revision = unquote(segments[3]) if len(segments) > 3 and segments[2] in _PAGES_OF_REVISION else "main"
    return HubReference(repo_id="/".join(segments[:2]), revision=revision)


def _no_such_folder(folder: Path) -> str:
    folder = folder.absolute()
    if folder.is_dir():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))
        hint = f" It holds the model folders {inside}: name one of them." if inside else ""
        return f"The folder {folder} has no {CONFIG_FILE}, so it is no model.{hint}"
    siblings = sorted(path.parent.name for path in folder.parent.glob(f"*/{CONFIG_FILE}"))
    nearest = difflib.get_close_matches(folder.name, siblings, n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(str(folder.parent / name) for name in nearest)}?" if nearest else ""
    if folder.name in bundled_names():
        hint += f" The model of this name that comes with the package is written '{folder.name}', without '/'."
    return (
        f"There is no model folder {folder}.{hint} A repository on the Hub is written 'owner/name@revision' "
        f"or '{HUB_PREFIX}owner/name@revision'."
    )


def _no_such_name(name: str) -> str:
    names = sorted({*bundled_names(), *REGISTRY})
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(repr(near) for near in nearest)}?" if nearest else ""
    return (
        f"Unknown model '{name}'.{hint} Known names: {names}. A folder is written './{name}', a repository on the Hub "
        "'owner/name@revision'."
    )
