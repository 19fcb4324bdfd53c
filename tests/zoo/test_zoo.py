"""Model folders on this machine: exactly what was saved is loaded, or an error says what is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_model import INFO, make_net, same_weights

import si_deepsort
from si_deepsort.nets import network_class
from si_deepsort.zoo import (
    BUNDLED_FOLDER,
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    describe_model,
    list_models,
    load_model,
    load_network,
    model_folder,
    model_provenance,
    pin_model,
    pull,
    save_model,
    verify,
)
from si_deepsort.zoo.names import HubReference, bundled_names, find_model

PACKAGE = Path(si_deepsort.__file__).parent


@pytest.fixture
def folder(tmp_path):
    return save_model(make_net(), tmp_path / "our-probe", INFO)


@pytest.fixture(autouse=True)
def no_internet(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("si_deepsort.zoo.load.fetch", lambda *args, **kwargs: pytest.fail("a request was made"))


def change_config(folder, change):
    config = json.loads((folder / CONFIG_FILE).read_text())
    change(config)
    (folder / CONFIG_FILE).write_text(json.dumps(config))


def replace_weights(folder, tensors):
    """Other weights with the right hash, as an attacker or a bug would leave them."""
    from si_deepsort.zoo.model_folder import fingerprint

    save_file(tensors, folder / WEIGHTS_FILE)
    change_config(folder, lambda config: config["files"].update({WEIGHTS_FILE: fingerprint(folder / WEIGHTS_FILE)}))


def tensors_of(folder):
    return load_file(folder / WEIGHTS_FILE)


# Names, folders and repositories


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


# Save and load


def test_saved_and_loaded_are_equal(folder):
    net = load_model(folder)
    assert same_weights(net, make_net()) and not net.training
    assert net.info.metrics == INFO.metrics and net.info.training == INFO.training
    expected = {"kind": "folder", "reference": str(folder), "name": "our-probe", "parent": None}
    provenance = model_provenance(net)
    assert expected.items() <= provenance.items() and len(provenance["sha256"]) == 64
    assert json.loads(json.dumps(provenance)) == provenance == verify(folder)
    assert describe_model(folder)["architecture"] == "autoencoder"


def test_saving_twice_gives_the_same_bytes(folder, tmp_path):
    again = save_model(load_model(folder), tmp_path / "again", INFO)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_where_it_came_from_is_not_saved_again(folder, tmp_path):
    net = load_model(folder)
    assert "source" not in json.loads((save_model(net, tmp_path / "copy", net.info) / CONFIG_FILE).read_text())["info"]


def test_numpy_values_become_plain_and_nan_is_refused(tmp_path):
    info = ModelInfo(name="x", task="embedding", metrics={"error": np.float32(0.5)}, settings={"bands": np.arange(3)})
    net = load_model(save_model(make_net(), tmp_path / "x", info))
    assert net.info.metrics == {"error": 0.5} and net.info.settings == {"bands": [0, 1, 2]}
    with pytest.raises(ValueError, match=r"settings\.threshold is nan"):
        save_model(make_net(), tmp_path / "y", ModelInfo(name="x", task="embedding", settings={"threshold": np.nan}))
    assert not (tmp_path / "y").exists()


def test_a_metric_that_is_nan_does_not_lose_the_training(tmp_path):
    info = ModelInfo(name="my model", task="embedding", metrics={"error": np.nan, "of": {"unit 3": np.inf}})
    net = load_model(save_model(make_net(), tmp_path / "x", info))
    assert net.info.metrics == {"error": None, "of": {"unit 3": None}} and net.info.name == "my model"


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    net = make_net()
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="diverged"):
        save_model(net, tmp_path / "x", INFO)


@pytest.mark.parametrize("values", [{"name": "two\nlines"}, {"name": None}, {"task": "cooking"}])
def test_info_is_checked_at_birth(values):
    with pytest.raises(ValueError, match=rf"ModelInfo\.{next(iter(values))}"):
        ModelInfo(**{"name": "x", "task": "embedding", **values})


def test_an_interrupted_save_is_never_misread(folder):
    other = save_model(make_net(1), folder.parent / "other", INFO)
    (folder / WEIGHTS_FILE).write_bytes((other / WEIGHTS_FILE).read_bytes())  # the config is written last
    with pytest.raises(ValueError, match="damaged or was changed"):
        load_model(folder)


# Damage and attacks


def test_a_changed_byte(folder):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged or was changed: sha256 .*Fetch the model again"):
        load_model(folder)


def test_a_missing_or_truncated_file(folder):
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:100])
    with pytest.raises(ValueError, match=r"\(100 bytes\), expected"):
        load_model(folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ValueError, match="lacks the file"):
        load_model(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"format_version": 1}', '{"format_version": "one"}', "\xff\xfe", "[" * 9999]
)
def test_a_config_that_is_none(folder, text):
    (folder / CONFIG_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=re.escape(str(folder))):
        load_model(folder)


def test_a_future_format_says_to_upgrade(folder):
    change_config(folder, lambda config: config.update(format_version=2))
    with pytest.raises(ValueError, match="pip install --upgrade"):
        load_model(folder)


def test_an_unknown_architecture_lists_the_known(folder):
    change_config(folder, lambda config: config.update(architecture="os.system"))
    with pytest.raises(ValueError, match=r"Unknown architecture 'os.system'.*autoencoder"):
        load_model(folder)


def test_entries_of_a_later_version_are_left_out(folder):
    change_config(folder, lambda config: config["info"].update(mood="sunny"))
    assert load_model(folder).info.name == "our-probe"
    change_config(folder, lambda config: config["info"].pop("task"))
    with pytest.raises(ValueError, match="'info' is incomplete"):
        load_model(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"num_samples": 10**12},
        {"num_channels": 10**9, "num_samples": 10**9},
        {"widths": [64] * 1_000_000},
        {"num_samples": -1},
        {"num_samples": "many"},
        {"num_samples": None},
        {"unheard_of": 1},
    ],
    ids=lambda values: str(values)[:40],
)
def test_a_config_with_huge_or_senseless_shapes_allocates_nothing(folder, values):
    change_config(folder, lambda config: config["network"].update(values))
    with pytest.raises(ValueError, match=re.escape(str(folder))):
        load_model(folder)


def test_tensors_that_are_missing_extra_or_of_another_shape(folder):
    tensors = tensors_of(folder)
    name, value = next(iter(tensors.items()))
    replace_weights(folder, {other: tensor for other, tensor in tensors.items() if other != name})
    with pytest.raises(ValueError, match=f"missing: {re.escape(name)}"):
        load_model(folder)
    replace_weights(folder, {**tensors, "backdoor": torch.zeros(1)})
    with pytest.raises(ValueError, match="not of this network: backdoor"):
        load_model(folder)
    replace_weights(folder, {**tensors, name: torch.zeros(*value.shape, 2)})
    with pytest.raises(ValueError, match=f"of another shape: {re.escape(name)} is"):
        load_model(folder)
    replace_weights(folder, {**tensors, name: torch.full_like(value, torch.nan)})
    if name in dict(make_net().named_parameters()):
        with pytest.raises(ValueError, match="NaN or infinite"):
            load_model(folder)


def test_a_git_lfs_pointer_in_place_of_the_weights(folder):
    from si_deepsort.zoo.model_folder import fingerprint

    (folder / WEIGHTS_FILE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    change_config(folder, lambda config: config["files"].update({WEIGHTS_FILE: fingerprint(folder / WEIGHTS_FILE)}))
    with pytest.raises(ValueError, match="no safetensors file"):
        load_model(folder)


def test_a_config_without_hashes_is_not_trusted(folder):
    change_config(folder, lambda config: config.update(files={}))
    with pytest.raises(ValueError, match="names no sha256"):
        load_model(folder)


def test_a_pointer_of_git_lfs_is_named(folder):
    (folder / WEIGHTS_FILE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        load_model(folder)


def test_files_are_verified_once(folder, monkeypatch):
    calls, fingerprint = [], model_folder.fingerprint
    monkeypatch.setattr(model_folder, "fingerprint", lambda path: calls.append(path) or fingerprint(path))
    load_model(folder)
    assert calls == [folder / WEIGHTS_FILE]


def test_a_network_of_another_kind_is_refused(folder):
    net = load_model(folder)
    assert load_network(net, type(net), purpose="embedding") is net
    for given in (net, folder):
        with pytest.raises(ValueError, match=r"model for detection was expected \('detector_cnn'\).*'autoencoder'"):
            load_network(given, network_class("detector_cnn"), purpose="detection")


def test_no_pickle_is_ever_read():
    forbidden = re.compile(
        r"torch\.load\(|pickle\.loads?\(|joblib\.load\(|allow_pickle=True|weights_only=False|\beval\(|\bexec\("
    )
    for path in PACKAGE.rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found = forbidden.search(line)
            assert not found or (found.group() == "eval(" and ".eval(" in line), f"{path}:{number} {line.strip()}"


# The catalogue


def test_every_bundled_model_loads_without_network(tmp_path):
    for name in bundled_names():
        net = load_model(name)
        assert net.info.source["kind"] == "bundled" and pin_model(name) == name
    assert set(list_models(cache_dir=tmp_path)["name"]) == set(bundled_names())


def test_the_list_is_filtered(tmp_path):
    table = list_models(cache_dir=tmp_path)
    for task in set(table["task"]):
        assert set(list_models(task, cache_dir=tmp_path)["task"]) == {task}
    for_any = table[table["probe"] == "any"]["name"]
    assert set(for_any) <= set(list_models(probe="Neuropixels", cache_dir=tmp_path)["name"])
    with pytest.raises(ValueError, match="Unknown task 'cooking'"):
        list_models("cooking", cache_dir=tmp_path)


def test_pull_of_a_bundled_model_copies_it(tmp_path):
    name = bundled_names()[0]
    copy = pull(name, to=tmp_path / "copy")
    assert same_weights(load_model(copy), load_model(name))


def test_listing_does_not_import_torch():
    code = "import sys, si_deepsort; si_deepsort.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
