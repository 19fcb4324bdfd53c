"""Attacks and damage on the way of a model: each must end in an error that says so, and leave nothing behind."""

import hashlib
import json
import pickle

import loopback_hub
import pytest
from loopback_hub import Repository
from small_model import INFO, make_net, publish, same_weights

from si_deepsort.zoo import CONFIG_FILE, WEIGHTS_FILE, load_model, pull, save_model, verify


def blob_of(folder, name):
    return (folder / name).resolve()


def rewrite_config(folder_or_repository, change):
    """Change the config of a published model as its owner could, hash of weights kept."""
    config = json.loads(folder_or_repository[CONFIG_FILE])
    change(config)
    return {**folder_or_repository, CONFIG_FILE: json.dumps(config).encode()}


def flip(content):
    return content[:-1] + bytes([content[-1] ^ 255])


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_download_of_the_same_size_with_other_bytes(hub, here, name):
    pinned = publish(hub)
    hub.tampered[name] = flip
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(pinned, **here)
    with pytest.raises(ConnectionError, match="not in the cache"):
        load_model(pinned, **here, local_files_only=True)
    assert not list(here["cache_dir"].rglob("*.partial")), "what is not the file leaves nothing behind"
    hub.tampered.clear()
    pull(pinned, **here)
    assert same_weights(load_model(pinned, **here), make_net())


@pytest.mark.parametrize("damage", [flip, lambda content: content[: len(content) // 2], lambda content: b""])
@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_poisoned_cache_is_refused_and_healed_by_pull(hub, here, name, damage):
    pinned = publish(hub)
    load_model(pinned, **here)
    blob = blob_of(pull(pinned, **here), name)
    blob.write_bytes(damage(blob.read_bytes()))
    with pytest.raises(ValueError, match=f"si-deepsort models pull {pinned}"):
        load_model(pinned, **here)
    with pytest.raises(ValueError, match="damaged"):
        verify(pinned, **here)
    assert same_weights(load_model(pull(pinned, **here)), make_net())


def test_weights_and_config_swapped_together_in_the_cache(hub, here, tmp_path):
    pinned = publish(hub)
    folder = pull(pinned, **here)
    other = save_model(make_net(1), tmp_path / "other", INFO)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        blob_of(folder, name).write_bytes((other / name).read_bytes())
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(pinned, **here)


def attack_repository(hub, change):
    publish(hub)
    repository = hub.repositories["lab/our-probe"]
    files = change(dict(repository.commits[repository.branches["main"]]))
    return f"lab/our-probe@{repository.commit(files)}"


class Exploit:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_disguised_as_weights(hub, here, capsys):
    evil = pickle.dumps(Exploit())
    fingerprint = {"sha256": hashlib.sha256(evil).hexdigest(), "size": len(evil)}

    def change(files):
        files = rewrite_config(files, lambda config: config.update(files={WEIGHTS_FILE: fingerprint}))
        return {**files, WEIGHTS_FILE: evil}

    with pytest.raises(ValueError, match="no safetensors file"):
        load_model(attack_repository(hub, change), **here)
    assert "executed" not in capsys.readouterr().out


def test_a_pickle_beside_the_weights_is_not_even_fetched(hub, here):
    pinned = attack_repository(hub, lambda files: {**files, "pytorch_model.bin": pickle.dumps(Exploit())})
    load_model(pinned, **here)
    assert not list(here["cache_dir"].rglob("pytorch_model.bin"))
    assert not any("pytorch_model" in path for _, path in hub.requests)


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/passwd", "sub/evil.bin", "..\\evil"])
def test_a_config_that_names_other_files(hub, here, name):
    def change(files):
        return rewrite_config(files, lambda config: config["files"].update({name: {"sha256": "0" * 64, "size": 1}}))

    with pytest.raises(ValueError, match="names the file"):
        load_model(attack_repository(hub, change), **here)


def test_a_listing_with_a_path_out_of_the_cache(hub, here, tmp_path):
    pinned = publish(hub)
    hub.listing_extra = "../../../../README.md"
    before = {path for path in tmp_path.rglob("*") if here["cache_dir"] not in path.parents}
    try:
        load_model(pinned, **here)
    except ValueError:
        pass
    outside = {path for path in tmp_path.rglob("*") if here["cache_dir"] not in path.parents}
    assert outside - before <= {here["cache_dir"]}


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE, "README.md"])
@pytest.mark.parametrize("asked", ["hub_hash", "git_hash"])
def test_a_hash_that_is_a_path(hub, here, tmp_path, name, asked, monkeypatch):
    pinned = publish(hub)
    monkeypatch.setattr(loopback_hub, asked, lambda *arguments: "../../../../evil")
    try:
        load_model(pinned, **here)
    except ValueError as error:
        assert "damaged or was changed" in str(error)
    assert not list(tmp_path.rglob("*evil*")) and not list(tmp_path.parent.glob("*evil*"))


def test_more_bytes_than_were_listed_are_not_written(hub, here):
    pinned = publish(hub)
    hub.tampered[WEIGHTS_FILE] = lambda content: content * 100
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(pinned, **here)


def test_a_commit_that_is_a_path(hub, here, tmp_path):
    publish(hub, tag="v1")
    hub.sha_answer = "../../../../evil"
    with pytest.raises(ValueError, match="40 hexadecimal digits"):
        load_model("lab/our-probe@v1", **here)
    assert not list(tmp_path.rglob("evil*"))


NO_REPOSITORIES = """
../../etc lab/../etc lab/x@../../y lab/x@/etc/passwd lab/x@a//b lab/x.git --x/y lab/--x hf://lab hf://a/b/c lab/x@-f
C:\\models\\a /abs/path ./modle ~/modle a/b/c lab/x@y/../z name@v1
"""


@pytest.mark.parametrize("reference", ["", "lab/x y", *NO_REPOSITORIES.split()])
def test_no_request_for_what_is_no_repository(hub, here, reference):
    with pytest.raises(ValueError):
        load_model(reference, **here)
    assert hub.requests == []


def test_a_repository_without_a_model(hub, here):
    repository = hub.repositories["lab/poems"] = Repository()
    commit = repository.commit({"README.md": b"# Poems"})
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_model(f"lab/poems@{commit}", **here)
