"""Models through the Hub: published, fetched, cached, offline. The server is `loopback_hub`."""

import errno
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
from huggingface_hub import ModelCard, constants, get_session
from loopback_hub import WRITE_TOKEN
from small_model import INFO, make_net, publish, same_weights

from si_deepsort.nets import network_class
from si_deepsort.preprocessing.deep_interpolate import DeepInterpolateRecording
from si_deepsort.zoo import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    download,
    list_models,
    load_model,
    model_provenance,
    names,
    pin_model,
    pull,
    push_all,
    push_to_hub,
    save_model,
)

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


def test_all_bundled_models_are_published_with_card_and_query_file(hub, here):
    published = push_all("lab", token=WRITE_TOKEN, endpoint=hub.endpoint)
    assert sorted(published) == names.bundled_names()
    for name, reference in published.items():
        files = hub.repositories[f"lab/{name}"].commits[reference.revision]
        card = ModelCard(files["README.md"].decode()).data
        assert card.library_name == "si_deepsort" and card.pipeline_tag
        assert {"neuroscience", "electrophysiology", "spikeinterface"} <= set(card.tags)
        assert reference.is_pinned and hashlib.sha256(files[CONFIG_FILE]).hexdigest() == reference.config_sha256
    sorting_tags = ModelCard(hub_file(hub, "lab/detector-cnn", "README.md")).data.tags
    assert {"spike-sorting", "neuropixels"} <= set(sorting_tags)
    name = "waveform-autoencoder"
    hub.requests.clear()
    assert same_weights(load_model(str(published[name]), **here), load_model(name))
    asked = [path for method, path in hub.requests if method == "GET" and path.endswith(f"/{CONFIG_FILE}")]
    assert len(asked) == 1, "the Hub counts requests of this file"
    again = push_all("lab", token=WRITE_TOKEN, endpoint=hub.endpoint)
    assert again == published


def hub_file(hub, repo_id, name):
    repository = hub.repositories[repo_id]
    return repository.commits[repository.branches["main"]][name].decode()


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


def test_pull_without_internet_takes_what_is_in_the_cache(hub, here):
    publish(hub, tag="v1")
    with pytest.warns(UserWarning, match="not pinned"):
        folder = pull("lab/our-probe@v1", **here)
    hub.stop()
    with pytest.warns(UserWarning, match="the cached one is used"):
        assert pull("lab/our-probe@v1", **here) == folder
    blob = (folder / WEIGHTS_FILE).resolve()
    blob.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        pull("lab/our-probe@v1", **here)


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


def test_a_denoised_recording_keeps_the_commit(hub, here, tmp_path, monkeypatch):
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here["cache_dir"]))
    net_class = network_class("interpolator")
    info = ModelInfo(name="denoiser", task="denoising")
    net = net_class(net_class.example_config())
    pinned = push_to_hub(net, "lab/denoiser", info=info, tag="v1", token=WRITE_TOKEN, endpoint=hub.endpoint)
    recording = si.generate_recording(num_channels=4, durations=[0.2])
    with pytest.warns(UserWarning, match="not pinned"):
        denoised = DeepInterpolateRecording(recording, model="lab/denoiser@v1")
    assert denoised._kwargs["model"] == pinned
    assert denoised.get_annotation("denoised_by")["commit"] == pinned.split("@")[1]
    hub.stop()
    copy = si.load(denoised.to_dict(recursive=True))
    assert np.array_equal(copy.get_traces(end_frame=500), denoised.get_traces(end_frame=500))


def test_the_client_is_left_as_it_was(hub, here):
    get_session().event_hooks = {"request": [lambda request: None], "response": []}
    before = {name: list(hooks) for name, hooks in get_session().event_hooks.items()}
    load_model(publish(hub), **here)
    assert get_session().event_hooks == before


def test_a_damaged_file_is_repaired_where_links_are_not_allowed(hub, here, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(22, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    pinned = publish(hub)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        file = pull(pinned, **here) / name
        assert not file.is_symlink()
        file.write_bytes(file.read_bytes()[:-9] + b"?" + file.read_bytes()[-8:])
        with pytest.raises(ValueError, match="models pull"):
            load_model(pinned, **here)
        pull(pinned, **here)
        hub.requests.clear()
        assert same_weights(load_model(pinned, **here), make_net()) and hub.requests == []


def test_a_cache_that_cannot_be_written_is_named(hub, here, monkeypatch):
    pinned = publish(hub, tag="v1")
    monkeypatch.setattr(download, "_put", raise_read_only)
    with pytest.raises(OSError, match=r"cache .* cannot be written.*HF_HOME"):
        load_model(pinned, **here)
    monkeypatch.undo()
    load_model(pinned, **here)
    monkeypatch.setattr(Path, "write_bytes", raise_read_only)
    hub.stop()
    assert same_weights(load_model(pinned, **here), make_net()), "what is there is only read"


def raise_read_only(*arguments, **options):
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    ("page", "revision"),
    [("", "main"), ("/", "main"), ("/tree/v1", "v1"), ("/blob/v1/config.json", "v1"), ("/resolve/a%2Fb/x", "a/b")],
)
def test_the_address_of_a_page_is_the_repository(page, revision):
    found = names.find_model(f"{constants.ENDPOINT}/lab/ours{page}?download=true")
    assert found == names.HubReference(repo_id="lab/ours", revision=revision)


@pytest.mark.parametrize("address", ["https://example.org/lab/ours", "/datasets/lab/ours", "/lab", ""])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match=r"no address of the Hub|not the page of a model"):
        names.find_model(address if "://" in address else constants.ENDPOINT + address)


def test_a_folder_named_like_the_owner_does_not_hide_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commit = "0" * 40
    (tmp_path / "lab").mkdir()
    assert names.find_model("lab/ours@v1").revision == "v1"
    save_model(make_net(), tmp_path / "lab" / f"ours@{commit}", INFO)
    assert names.find_model(f"lab/ours@{commit}") == names.HubReference(repo_id="lab/ours", revision=commit)
    with pytest.raises(ValueError, match="no model folder"):
        names.find_model("lab/ours")


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


@pytest.mark.slow
def test_two_processes_pull_at_once(hub, here):
    pinned = publish(hub)
    places = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(here["cache_dir"].parent / "home")}
    workers = [start_cli("models", "pull", pinned, **places) for _ in range(2)]
    for worker in workers:
        errors = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0, errors
    cache_dir = here["cache_dir"].parent / "home" / "hub"
    assert same_weights(load_model(pinned, cache_dir=cache_dir, local_files_only=True), make_net())


# The command line


def run_cli(*arguments, **environment):
    worker = start_cli(*arguments, **environment)
    output, errors = worker.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, worker.returncode, output, errors)


def start_cli(*arguments, **environment):
    command = [sys.executable, "-c", "from si_deepsort.cli import main; main()", *arguments]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
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
