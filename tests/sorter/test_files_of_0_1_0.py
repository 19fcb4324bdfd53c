"""Files that version 0.1.0 wrote, as it wrote them: the names of modules in them are still importable."""

import json

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import small_recording

from si_deepsort.preprocessing.band_pass import BandPassRecording
from si_deepsort.preprocessing.reference import MedianReferenceRecording


def description(class_path, recording, **kwargs):
    """What `recording.dump` of SpikeInterface 0.105 wrote for a lazy recording of 0.1.0."""
    return {
        "class": class_path,
        "module": "si_deepsort",
        "version": "0.1.0",
        "kwargs": {"recording": recording.to_dict(recursive=True), **kwargs},
        "annotations": {"is_filtered": True},
        "properties": {},
        "relative_paths": False,
    }


@pytest.mark.parametrize(
    "class_path, kwargs, recording_class",
    [
        ("si_deepsort.sorter.band_pass.BandPassRecording", dict(freq_min=150.0, freq_max=7000.0), BandPassRecording),
        (
            "si_deepsort.sorter.band_pass.MedianReferenceRecording",
            dict(groups=[[0, 1, 2, 3]]),
            MedianReferenceRecording,
        ),
    ],
    ids=["band-pass", "reference"],
)
@pytest.mark.parametrize("kind", ["json", "pickle"])
def test_filtered_recording_of_a_report_loads(tmp_path, class_path, kwargs, recording_class, kind):
    import pickle

    recording, _ = small_recording(tmp_path / "recording", duration_s=0.5)
    described = description(class_path, recording, **kwargs)
    file = tmp_path / f"recording.{kind}"
    if kind == "json":
        file.write_text(json.dumps(si.core_tools.check_json(described)), encoding="utf-8")
    else:
        file.write_bytes(pickle.dumps(described))
    loaded = si.load(file)
    assert type(loaded) is recording_class
    np.testing.assert_array_equal(loaded.get_traces(), recording_class(recording, **kwargs).get_traces())


@pytest.mark.parametrize(
    "name",
    [
        "wavelet_denoise.WaveletDenoiseRecording",
        "matched_filter.MatchedFilterRecording",
        "deep_interpolate.DeepInterpolateRecording",
    ],
)
def test_preprocessors_are_where_they_were(name):
    from importlib import import_module

    module, class_name = name.split(".")
    assert hasattr(import_module(f"si_deepsort.preprocessing.{module}"), class_name)
