"""Models from the Hub: fetched, cached, offline, named by address. The server is `loopback_hub`."""

import errno
import hashlib
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
from huggingface_hub import constants, get_session
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
    pull,
    push_to_hub,
    save_model,
)


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
