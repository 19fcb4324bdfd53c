"""The report: one page that needs no other file, for any number of units, channels and segments."""

import re

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, as_recording, small_recording, small_traces

from si_deepsort.report import write_report
from si_deepsort.report.environment import describe_environment


def sections(page) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A saved recording with its true sorting."""
    return small_recording(tmp_path_factory.mktemp("report") / "recording", duration_s=3.0)


def test_page_shows_everything_and_needs_no_other_file(scene, tmp_path):
    recording, truth = scene
    page = write_report(truth, recording, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    assert sections(page) == [
        "Probe and units",
        "Templates on the main channel",
        "Spikes",
        "Amplitudes",
        "Quality metrics",
        "Versions",
        "Please cite",
    ]
    assert text.count("data:image/png;base64") == 4
    assert not re.search(r'(src|href)="(?!data:)', text), "nothing is loaded from elsewhere"
    assert "3 units" in text and "spikeinterface" in text
    metrics = pd.read_csv(tmp_path / "report" / "metrics.csv", index_col=0)
    assert len(metrics) == 3 and metrics["snr"].min() > 3
    assert si.load(tmp_path / "report" / "analyzer").get_num_units() == 3


def test_folders_for_phy_and_of_spikeinterface_on_request(scene, tmp_path):
    recording, truth = scene
    write_report(truth.select_units([1]), recording, tmp_path / "report", phy=True, unit_figures=True)
    assert (tmp_path / "report" / "phy" / "params.py").exists()
    assert len(list((tmp_path / "report" / "spikeinterface_report" / "units").iterdir())) == 1


def test_sorting_without_units(scene, tmp_path):
    empty = si.NumpySorting.from_unit_dict([{}], SAMPLING_FREQUENCY)
    page = write_report(empty, scene[0], tmp_path / "report", phy=True)
    assert "No unit was found" in page.read_text(encoding="utf-8") and "Probe and units" in sections(page)


def test_unit_without_spikes_is_left_out(scene, tmp_path):
    recording, truth = scene
    trains = {unit: truth.get_unit_spike_train(unit) for unit in truth.unit_ids} | {9: np.array([], int)}
    page = write_report(si.NumpySorting.from_unit_dict([trains], SAMPLING_FREQUENCY), recording, tmp_path / "report")
    assert len(pd.read_csv(page.parent / "metrics.csv")) == 3


def test_one_channel_without_probe(tmp_path):
    traces, trains = small_traces(num_channels=1, num_units=1, duration_s=3.0)
    sorting = si.NumpySorting.from_unit_dict([{0: trains[0]}], SAMPLING_FREQUENCY)
    page = write_report(sorting, as_recording(traces, probe=False), tmp_path / "report")
    assert "1 units" in page.read_text(encoding="utf-8")


def test_segments_and_integers_with_offset(tmp_path):
    parts = [small_traces(duration_s=2.0, seed=seed) for seed in (0, 1)]
    recording = as_recording([(np.round(traces * 4) + 2050).astype("int16") for traces, _ in parts])
    sorting = si.NumpySorting.from_unit_dict([dict(enumerate(trains)) for _, trains in parts], SAMPLING_FREQUENCY)
    page = write_report(sorting, recording, tmp_path / "report", phy=True)
    assert "2 segment" in page.read_text(encoding="utf-8")
    assert not (tmp_path / "report" / "phy").exists(), "phy reads one segment"


def test_recording_that_is_shorter_than_the_sorting_is_refused(scene, tmp_path):
    recording, truth = scene
    with pytest.raises(ValueError, match=r"has 1000 frames.*the recording that was sorted"):
        write_report(truth, recording.frame_slice(0, 1000), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_existing_folder_is_not_overwritten_unasked(scene, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="overwrite=True"):
        write_report(scene[1], scene[0], tmp_path)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "precious"


def test_environment_names_what_decides_about_results():
    environment = describe_environment()
    assert {"si-deepsort", "spikeinterface", "torch", "numpy", "python", "device", "cores", "model cache"} <= set(
        environment
    )
