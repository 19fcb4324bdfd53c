"""How a model is named: bundled names, folders in any spelling, repositories with a revision."""

from pathlib import Path

import pytest
from small_model import INFO, make_net, same_weights

from si_deepsort.zoo import (
    BUNDLED_FOLDER,
    load_model,
    pin_model,
    save_model,
)
from si_deepsort.zoo.names import HubReference, bundled_names, find_model

pytestmark = pytest.mark.usefixtures("no_internet")


@pytest.mark.parametrize(
    "spell", [str, Path, lambda folder: str(folder) + "/", lambda folder: f"{folder.parent}/./our-probe"]
)
def test_a_folder_in_any_spelling(folder, spell):
    net = load_model(spell(folder))
    assert same_weights(net, make_net()) and net.info.source["kind"] == "folder"


def test_a_relative_folder_is_provenance_by_its_absolute_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for spelling in ("./our-probe", "our-probe"):
        assert pin_model(spelling) == str(folder)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert same_weights(load_model("~/our-probe"), make_net())


def test_a_typo_of_a_folder_names_the_nearest_and_makes_no_request(folder, monkeypatch):
    monkeypatch.chdir(folder.parent.parent)
    typo = f"{folder.parent.name}/our-prob"
    for spelling in (typo, "./" + typo, Path(typo), str(folder.parent / "our-prob")):
        with pytest.raises(ValueError, match=r"Did you mean .*our-probe"):
            load_model(spelling)
    with pytest.raises(ValueError, match=r"holds the model folders \['our-probe'\]"):
        load_model(folder.parent)


def test_a_folder_of_the_same_name_does_not_shadow_a_bundled_model(tmp_path, monkeypatch):
    name = bundled_names()[0]
    save_model(make_net(), tmp_path / name, INFO)
    monkeypatch.chdir(tmp_path)
    assert find_model(name) == BUNDLED_FOLDER / name
    assert find_model(f"./{name}") == tmp_path / name


def test_an_unknown_name_names_the_nearest():
    name = bundled_names()[0]
    with pytest.raises(ValueError, match=f"Did you mean .*'{name}'"):
        load_model(name[:-1] + "_")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_called_so(name):
    with pytest.raises(ValueError, match=f"Got an empty name of a model. Known names: .*{bundled_names()[0]}"):
        find_model(name)


def test_an_address_may_come_without_its_scheme():
    for host in ("huggingface.co", "hf.co"):
        assert find_model(f"{host}/lab/probe") == HubReference(repo_id="lab/probe", revision="main")
        assert find_model(f"{host}/lab/probe/tree/v2") == HubReference(repo_id="lab/probe", revision="v2")


def test_repositories_are_read_with_their_revision():
    assert find_model("lab/probe@v2") == HubReference(repo_id="lab/probe", revision="v2")
    assert find_model("hf://lab/probe") == HubReference(repo_id="lab/probe", revision="main")
    assert find_model("lab/probe@refs/pr/1").revision == "refs/pr/1"
    assert find_model("lab/probe@" + "a" * 40).is_pinned and not find_model("lab/probe@v2").is_pinned


@pytest.mark.parametrize("wrong", [None, 3, b"name", ["a"]])
def test_what_is_no_name_at_all(wrong):
    with pytest.raises(ValueError, match=type(wrong).__name__):
        load_model(wrong)


def test_a_revision_needs_a_repository(folder):
    with pytest.raises(ValueError, match="no repository"):
        load_model(folder, revision="v1")
    with pytest.raises(ValueError, match="names another"):
        load_model("lab/probe@v1", revision="v2", local_files_only=True)


def test_a_slash_at_the_end_means_a_folder_and_names_the_bundled_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no model folder.*is written 'assessment', without '/'"):
        find_model("assessment/")
