"""Model folders on this machine: exactly what was saved is loaded."""

import json

import numpy as np
import pytest
import torch
from small_model import INFO, make_net, same_weights

from si_deepsort.zoo import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    describe_model,
    load_model,
    model_provenance,
    save_model,
    verify,
)

pytestmark = pytest.mark.usefixtures("no_internet")


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
    assert (
        "source"
        not in json.loads((save_model(net, tmp_path / "copy", net.info) / CONFIG_FILE).read_text(encoding="utf-8"))[
            "info"
        ]
    )


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


@pytest.mark.parametrize(
    ("entry", "value"),
    [("settings", "ten"), ("metrics", [3]), ("probe", 3), ("sampling_frequency", "30 kHz"), ("sampling_frequency", -1)],
)
def test_entries_of_a_wrong_type_are_named(folder, entry, value):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["info"][entry] = value
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match=f"info.{entry}.*expected"):
        load_model(folder)
