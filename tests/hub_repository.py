"""A repository of the loopback hub: commits, names for them, and what the Hub names a file by."""

import hashlib
from dataclasses import dataclass, field


@dataclass
class Repository:
    """Commits (id -> path -> content) and names for them."""

    private: bool = False
    gated: bool = False
    commits: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)

    def commit(self, files: dict) -> str:
        text = repr((sorted(files.items()), len(self.commits)))
        self.branches["main"] = hashlib.sha1(text.encode()).hexdigest()
        self.commits[self.branches["main"]] = dict(files)
        return self.branches["main"]

    def resolve(self, revision: str) -> str | None:
        return {**self.tags, **self.branches, **{commit: commit for commit in self.commits}}.get(revision)


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def hub_hash(path: str, content: bytes) -> str:
    """What the Hub names a file by: sha256 of large ones, git's sha1 of the others."""
    return hashlib.sha256(content).hexdigest() if is_large(path) else git_hash(content)
