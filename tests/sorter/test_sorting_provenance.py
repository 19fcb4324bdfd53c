"""A sorting says which networks made it."""

import pytest
import spikeinterface.core as si
from small_recording import small_recording
from spikeinterface.sorters import run_sorter

from si_deepsort.register import register
from si_deepsort.zoo import load_model


@pytest.mark.slow
def test_a_sorting_keeps_the_weights_that_made_it(tmp_path):
    register()
    recording, _ = small_recording(tmp_path / "recording", duration_s=6.0)
    sorting = run_sorter("deepsort", recording, folder=tmp_path / "sorted", detection="cnn", verbose=False)
    models = si.load(tmp_path / "sorted" / "sorter_output" / "sorting").get_annotation("models")
    assert models == sorting.get_annotation("models")
    expected = load_model("peaks-cnn").info.source
    assert models["detection"]["reference"] == "peaks-cnn" and models["detection"]["sha256"] == expected["sha256"]
