"""Which weights a network has: what is kept with every result that was computed with it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..nets.network import Network


def model_provenance(net: "Network") -> dict[str, Any]:
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
