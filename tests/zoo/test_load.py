"""A damaged, foreign or hostile model folder: an error says what is wrong, and nothing of it is run."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_model import make_net

import si_deepsort
from si_deepsort.nets import network_class
from si_deepsort.zoo import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_model,
    load_network,
    model_folder,
)

pytestmark = pytest.mark.usefixtures("no_internet")
PACKAGE = Path(si_deepsort.__file__).parent


def change_config(folder, change):
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    change(config)
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")


def replace_weights(folder, tensors):
    """Other weights with the right hash, as an attacker or a bug would leave them."""
    from si_deepsort.zoo.model_folder import fingerprint

    save_file(tensors, folder / WEIGHTS_FILE)
    change_config(folder, lambda config: config["files"].update({WEIGHTS_FILE: fingerprint(folder / WEIGHTS_FILE)}))


def tensors_of(folder):
    return load_file(folder / WEIGHTS_FILE)


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

    (folder / WEIGHTS_FILE).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", encoding="utf-8"
    )
    change_config(folder, lambda config: config["files"].update({WEIGHTS_FILE: fingerprint(folder / WEIGHTS_FILE)}))
    with pytest.raises(ValueError, match="no safetensors file"):
        load_model(folder)


def test_a_config_without_hashes_is_not_trusted(folder):
    change_config(folder, lambda config: config.update(files={}))
    with pytest.raises(ValueError, match="names no sha256"):
        load_model(folder)


def test_a_pointer_of_git_lfs_is_named(folder):
    (folder / WEIGHTS_FILE).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", encoding="utf-8"
    )
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
        with pytest.raises(ValueError, match=r"detection was expected \('peak_detector_cnn'\).*'autoencoder'"):
            load_network(given, network_class("peak_detector_cnn"), purpose="detection")


def test_no_pickle_is_ever_read():
    forbidden = re.compile(
        r"torch\.load\(|pickle\.loads?\(|joblib\.load\(|allow_pickle=True|weights_only=False|\beval\(|\bexec\("
    )
    for path in PACKAGE.rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = forbidden.search(line)
            assert not found or (found.group() == "eval(" and ".eval(" in line), f"{path}:{number} {line.strip()}"
