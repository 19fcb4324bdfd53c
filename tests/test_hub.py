"""Models through the Hub: published, fetched, cached, offline, and under attack. The server is `loopback_hub`."""

import hashlib
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings

import pytest
import torch
from huggingface_hub import ModelCard, constants
from loopback_hub import WRITE_TOKEN, LoopbackHub, Repository

from si_deepsort.nets import network_class
from si_deepsort.zoo import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    list_models,
    load_model,
    model_provenance,
    names,
    pin_model,
    pull,
    push_to_hub,
    save_model,
    verify,
)

INFO = ModelInfo(
    name="our-probe",
    task="embedding",
    metrics={"error": 0.25},
    training={"command": "train", "seed": 1, "data": "generated recordings", "data_license": "MIT"},
)


@pytest.fixture(autouse=True)
def quiet_client(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "")


@pytest.fixture
def hub():
    with LoopbackHub().running() as server:
        yield server


@pytest.fixture
def here(hub, tmp_path):
    """Where tests load from: the loopback hub and an empty cache."""
    return {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}


def make_net(seed=0):
    torch.manual_seed(seed)
    net_class = network_class("autoencoder")
    return net_class(net_class.example_config())


def publish(hub, seed=0, tag=None, repo_id="lab/our-probe", private=None):
    return push_to_hub(
        make_net(seed), repo_id, info=INFO, tag=tag, private=private, token=WRITE_TOKEN, endpoint=hub.endpoint
    )


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def blob_of(folder, name):
    return (folder / name).resolve()


def rewrite_config(folder_or_repository, change):
    """Change the config of a published model as its owner could, hash of weights kept."""
    config = json.loads(folder_or_repository[CONFIG_FILE])
    change(config)
    return {**folder_or_repository, CONFIG_FILE: json.dumps(config).encode()}


# Publishing


def test_push_tag_pull_gives_the_same_network(hub, here):
    pinned = publish(hub, tag="v1")
    commit = pinned.split("@")[1]
    with pytest.warns(UserWarning, match=f"not pinned.*{commit}"):
        net = load_model("lab/our-probe@v1", **here)
    assert same_weights(net, make_net())
    assert net.info.source["commit"] == commit and net.info.source["revision"] == "v1"
    assert same_weights(load_model(pinned, **here), net)
    assert pin_model(pinned, **here) == pinned


def test_a_push_brings_a_card_with_metadata(hub):
    publish(hub)
    files = hub.repositories["lab/our-probe"].commits[hub.repositories["lab/our-probe"].branches["main"]]
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "mit" and card.data.eval_results[0].metric_value == 0.25
    assert "## Limits" in card.text and "generated recordings" in card.text


def test_a_tag_is_never_moved(hub):
    publish(hub, tag="v1")
    before = dict(hub.repositories["lab/our-probe"].commits)
    with pytest.raises(ValueError, match="tag 'v1' already"):
        publish(hub, seed=1, tag="v1")
    assert hub.repositories["lab/our-probe"].commits == before


def test_pushing_again_without_a_change_makes_no_commit(hub):
    assert publish(hub) == publish(hub)


def test_push_of_a_folder_keeps_what_was_written_on_the_card(hub, tmp_path):
    card = "## Limits\n\nOnly rats.\n"
    folder = save_model(make_net(), tmp_path / "model", INFO, card=card)
    (folder / "secret.txt").write_text("not for the world")
    push_to_hub(folder, "lab/our-probe", token=WRITE_TOKEN, endpoint=hub.endpoint)
    files = hub.repositories["lab/our-probe"].commits[hub.repositories["lab/our-probe"].branches["main"]]
    assert b"Only rats." in files["README.md"] and "secret.txt" not in files
    assert (folder / "README.md").read_text() == card


def test_push_without_info_or_right_says_what_to_do(hub):
    with pytest.raises(ValueError, match="Give info="):
        push_to_hub(make_net(), "lab/our-probe", token=WRITE_TOKEN, endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="hf auth login"):
        push_to_hub(make_net(), "lab/our-probe", info=INFO, token=False, endpoint=hub.endpoint)


# Cache and offline


def test_a_cached_model_needs_no_request(hub, here):
    pinned = publish(hub, tag="v1")
    load_model(pinned, **here)
    hub.requests.clear()
    load_model(pinned, **here)
    assert hub.requests == []


def test_a_cached_tag_needs_no_request_and_keeps_its_weights(hub, here):
    publish(hub, tag="v1")
    with pytest.warns(UserWarning, match="not pinned"):
        load_model("lab/our-probe@v1", **here)
    hub.requests.clear()
    hub.repositories["lab/our-probe"].commit({})
    with pytest.warns(UserWarning, match="not pinned"):
        assert same_weights(load_model("lab/our-probe", revision="v1", **here), make_net())
    assert hub.requests == []


def test_offline_from_the_cache_and_a_miss_with_both_remedies(hub, here, monkeypatch):
    pinned = publish(hub)
    load_model(pinned, **here)
    hub.stop()
    assert same_weights(load_model(pinned, **here), make_net())
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for a server that is not there"))
    for missing in ("lab/other@v1", "lab/other@" + "0" * 40):
        for arguments in ({}, {"local_files_only": True}):
            with pytest.raises(ConnectionError) as caught:
                load_model(missing, **here, **arguments)
            assert f"models pull {missing} --to" in str(caught.value) and "HF_HOME" in str(caught.value)


def test_offline_mode_of_the_client_is_respected(hub, here, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        load_model("lab/our-probe@v1", **here)
    assert hub.requests == []


def test_pull_to_a_folder_for_a_machine_without_internet(hub, here, tmp_path):
    pinned = publish(hub)
    folder = pull(pinned, to=tmp_path / "carried", **here)
    hub.stop()
    assert folder == tmp_path / "carried" and not any(path.is_symlink() for path in folder.iterdir())
    assert same_weights(load_model(folder), make_net())
    assert pull(pinned, to=folder, cache_dir=here["cache_dir"]) == folder
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="no model folder"):
        pull(pinned, to=tmp_path / "other", **here)


def test_the_cache_is_listed(hub, here):
    pinned = publish(hub)
    assert pinned not in list(list_models(**{"cache_dir": here["cache_dir"]})["name"])
    load_model(pinned, **here)
    table = list_models(task="embedding", cache_dir=here["cache_dir"]).set_index("name")
    assert table.loc[pinned, "where"] == "cached" and "0.25" in table.loc[pinned, "metric"]


def test_a_moved_tag_is_told_and_the_former_weights_stay(hub, here):
    first = publish(hub, tag="v1")
    with pytest.warns(UserWarning, match="not pinned"):
        pull("lab/our-probe@v1", **here)
    second = publish(hub, seed=1)
    hub.repositories["lab/our-probe"].tags["v1"] = second.split("@")[1]
    with pytest.warns(UserWarning, match="has moved since it was last pulled"):
        pull("lab/our-probe@v1", **here)
    with pytest.warns(UserWarning, match="not pinned"):
        moved = load_model("lab/our-probe@v1", **here)
    assert same_weights(moved, make_net(1)) and model_provenance(moved)["reference"] == second
    assert same_weights(load_model(first, **here), make_net(0))


def test_registered_names_are_pinned_to_commit_and_config(hub, here, monkeypatch):
    repo_id, commit = publish(hub).split("@")
    content = hub.repositories[repo_id].commits[commit][CONFIG_FILE]
    sha256 = hashlib.sha256(content).hexdigest()
    entry = names.HubReference(repo_id=repo_id, revision=commit, config_sha256=sha256)
    monkeypatch.setitem(names.REGISTRY, "our-probe", entry)
    table = list_models(cache_dir=here["cache_dir"]).set_index("name")
    assert table.loc["our-probe", "where"] == "hub"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same_weights(load_model("our-probe", **here), make_net())
    wrong = names.HubReference(repo_id=repo_id, revision=commit, config_sha256="0" * 64)
    monkeypatch.setitem(names.REGISTRY, "our-probe", wrong)
    with pytest.raises(ValueError, match="was made for 000000000000"):
        load_model("our-probe", **here)


def test_every_registered_model_is_pinned():
    for name, reference in names.REGISTRY.items():
        assert reference.is_pinned and len(reference.config_sha256) == 64, name


# Rights


def test_private_and_gated_repositories(hub, here):
    pinned = publish(hub, private=True)
    with pytest.raises(ValueError, match=r"no repository 'lab/our-probe'.*private"):
        load_model(pinned, **here, token=False)
    assert same_weights(load_model(pinned, **here, token=WRITE_TOKEN), make_net())
    gated = publish(hub, repo_id="lab/gated")
    hub.repositories["lab/gated"].gated = True
    with pytest.raises(ValueError, match="gated"):
        load_model(gated, **here, token=False)
    assert load_model(gated, **here, token=WRITE_TOKEN) is not None


def test_unknown_repository_and_revision_name_the_nearest(hub, here):
    publish(hub, tag="v1")
    with pytest.raises(ValueError, match="Did you mean 'lab/our-probe'"):
        load_model("lab/our-prob@v1", **here)
    with pytest.raises(ValueError, match=r"no revision 'v2'.*v1"):
        load_model("lab/our-probe@v2", **here)
    with pytest.raises(ValueError, match="no revision"):
        load_model("lab/our-probe@" + "0" * 40, **here)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_the_token_is_never_printed(hub, here, status, caplog, capfd, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    caplog.set_level(logging.DEBUG)
    token = "hf_thisIsASecretThatNobodyMaySee00000"
    pinned = publish(hub)
    for call in (
        lambda: load_model(pinned, **here, token=token),
        lambda: push_to_hub(make_net(), "lab/x", info=INFO, token=token, endpoint=hub.endpoint),
    ):
        hub.fail_next = [status] * 6
        with pytest.raises((ValueError, OSError)) as caught:
            call()
        assert token not in "".join(traceback.format_exception(caught.value))
    assert token not in caplog.text and token not in "".join(capfd.readouterr())
    assert not any(token.encode() in path.read_bytes() for path in here["cache_dir"].rglob("*") if path.is_file())


# Accidents


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("revision", ["tag", "commit"])
def test_a_busy_server_is_asked_again(hub, here, status, revision, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    pinned = publish(hub, tag="v1")
    hub.fail_next = [status]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = load_model("lab/our-probe@v1" if revision == "tag" else pinned, **here)
    assert same_weights(net, make_net())


def test_a_server_that_stays_down_ends_in_an_error(hub, here, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    publish(hub, tag="v1")
    hub.fail_next = [503] * 50
    with pytest.raises(ConnectionError, match="503"):
        load_model("lab/our-probe@v1", **here)


def test_an_interrupted_download_is_resumed(hub, here):
    pinned = publish(hub)
    hub.truncate_next = 1
    assert same_weights(load_model(pinned, **here), make_net())


def test_something_that_is_no_hub(here):
    with socket.create_server(("127.0.0.1", 0)) as server:
        here["endpoint"] = f"http://127.0.0.1:{server.getsockname()[1]}"

        def portal():
            connection, _ = server.accept()
            connection.recv(10_000)
            page = b"<html>Please log in to the guest network</html>"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
            connection.close()

        threading.Thread(target=portal, daemon=True).start()
        with pytest.raises(ConnectionError, match="no Hub answers"):
            load_model("lab/our-probe@v1", **here)


def test_two_processes_pull_at_once(hub, here):
    pinned = publish(hub)
    places = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(here["cache_dir"].parent / "home")}
    workers = [start_cli("models", "pull", pinned, **places) for _ in range(2)]
    for worker in workers:
        errors = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0, errors
    cache_dir = here["cache_dir"].parent / "home" / "hub"
    assert same_weights(load_model(pinned, cache_dir=cache_dir, local_files_only=True), make_net())


# Attacks


def flip(content):
    return content[:-1] + bytes([content[-1] ^ 255])


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_download_of_the_same_size_with_other_bytes(hub, here, name):
    pinned = publish(hub)
    hub.tampered[name] = flip
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(pinned, **here)
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(pinned, **here, local_files_only=True)
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


# The command line


def run_cli(*arguments, **environment):
    worker = start_cli(*arguments, **environment)
    output, errors = worker.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, worker.returncode, output, errors)


def start_cli(*arguments, **environment):
    command = [sys.executable, "-c", "from si_deepsort.cli import main; main()", *arguments]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_push_and_pull_on_the_command_line(hub, tmp_path):
    folder = save_model(make_net(), tmp_path / "model", INFO)
    places = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": WRITE_TOKEN}
    pushed = run_cli("models", "push", str(folder), "lab/our-probe", "--tag", "v1", **places)
    assert pushed.returncode == 0, pushed.stderr
    pinned = pushed.stdout.strip()
    pulled = run_cli("models", "pull", pinned, "--to", str(tmp_path / "carried"), **places)
    assert pulled.returncode == 0, pulled.stderr
    assert same_weights(load_model(tmp_path / "carried"), make_net())
    hub.requests.clear()
    checked = run_cli("models", "verify", pinned, HF_HUB_OFFLINE="1", **places)
    assert checked.returncode == 0 and "ok" in checked.stdout, checked.stdout + checked.stderr
    missing = run_cli("models", "info", "lab/other@v1", HF_HUB_OFFLINE="1", **places)
    assert missing.returncode == 1 and "Remedy 1" in missing.stderr and "Traceback" not in missing.stderr
    assert hub.requests == []
