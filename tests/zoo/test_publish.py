"""Models published on the Hub, with card, tag and query file. The server is `loopback_hub`."""

import hashlib

import pytest
from huggingface_hub import ModelCard
from loopback_hub import WRITE_TOKEN
from small_model import INFO, make_net, publish, same_weights

from si_deepsort.zoo import (
    CONFIG_FILE,
    load_model,
    names,
    pin_model,
    push_all,
    push_to_hub,
    save_model,
)


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
    (folder / "secret.txt").write_text("not for the world", encoding="utf-8")
    push_to_hub(folder, "lab/our-probe", token=WRITE_TOKEN, endpoint=hub.endpoint)
    files = hub.repositories["lab/our-probe"].commits[hub.repositories["lab/our-probe"].branches["main"]]
    assert b"Only rats." in files["README.md"] and "secret.txt" not in files
    assert (folder / "README.md").read_text(encoding="utf-8") == card


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
