"""Rights and accidents: the Hub refuses, is busy, breaks off, or is no Hub at all."""

import logging
import socket
import threading
import time
import traceback
import warnings

import pytest
from loopback_hub import WRITE_TOKEN
from small_model import INFO, make_net, publish, same_weights

from si_deepsort.zoo import (
    load_model,
    push_to_hub,
)


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
