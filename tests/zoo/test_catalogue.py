"""The catalogue: every bundled model loads without a network, and the list can be filtered."""

import subprocess
import sys

import pytest
from small_model import same_weights

from si_deepsort.zoo import (
    list_models,
    load_model,
    pin_model,
    pull,
)
from si_deepsort.zoo.names import bundled_names

pytestmark = pytest.mark.usefixtures("no_internet")


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
