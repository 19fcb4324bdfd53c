"""The report: one page that needs no other file, for any number of units, channels and segments."""

import html
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, as_recording, small_recording, small_traces

from si_deepsort.assessment import assess
from si_deepsort.assessment.reasons import NOTHING
from si_deepsort.report import write_report
from si_deepsort.report.environment import describe_environment
from si_deepsort.report.measured import measure_units
from si_deepsort.report.page import source_paths


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
        "What to worry about first",
        "Units",
        "Each unit",
        "Drift map: peaks over time and depth",
        "Traces around the largest unit, 60 ms",
        "Spikes of the first 3 s",
        "Probe and units",
        "Recording",
        "Versions",
        "For your methods section",
    ]
    assert not re.search(r'(src|href)="(?!data:|#)', text), "nothing is loaded from elsewhere"
    assert text.count('<details class="unit"') == 3
    assert "3 units" in text and "spikeinterface" in text and "not assessed" in text and "@article{buccino" in text
    metrics = pd.read_csv(tmp_path / "report" / "metrics.csv", index_col=0)
    assert len(metrics) == 3 and metrics["snr"].min() > 3
    assert si.load(tmp_path / "report" / "analyzer").get_num_units() == 3


def test_what_is_expected_of_each_unit_is_in_the_table_and_in_phy(scene, tmp_path):
    recording, truth = scene
    judged = truth.select_units(truth.unit_ids)
    assess(truth, recording).set_properties(judged)
    page = write_report(judged, recording, tmp_path / "report", phy=True).read_text(encoding="utf-8")
    assert "expected precision" in page and f"{judged.get_property('expected_recall')[0]:.2f} <small>" in page
    cards = re.findall(r'<details class="unit".*?<p>(.*?)</p>', page)
    for card, reasons in zip(cards, judged.get_property("reasons"), strict=True):
        expected = "Nothing speaks against it." if reasons == NOTHING else f"What speaks against it: {reasons}."
        assert html.unescape(card).endswith(expected), "the reasons are in the card of the unit"
    assert len(pd.read_csv(tmp_path / "report" / "phy" / "cluster_expected_precision.tsv", sep="\t")) == 3
    unjudged = write_report(truth, recording, tmp_path / "other").read_text(encoding="utf-8")
    assert "not assessed" in unjudged and "not assessed" not in page


@pytest.mark.slow
def test_folders_for_phy_and_of_spikeinterface_on_request(scene, tmp_path):
    recording, truth = scene
    write_report(truth.select_units([1]), recording, tmp_path / "report", phy=True, unit_figures=True)
    assert (tmp_path / "report" / "phy" / "params.py").exists()
    assert len(list((tmp_path / "report" / "spikeinterface_report" / "units").iterdir())) == 1


def test_phy_opens_a_binary_recording_without_a_copy(scene, tmp_path):
    recording, truth = scene
    write_report(truth, recording, tmp_path / "report", phy=True)
    params = {}
    exec((tmp_path / "report" / "phy" / "params.py").read_text(encoding="utf-8"), params)
    stored = np.memmap(params["dat_path"], params["dtype"], "r", offset=params["offset"])
    assert np.array_equal(stored.reshape(-1, params["n_channels_dat"]), recording.get_traces())
    assert not list((tmp_path / "report" / "phy").glob("*.dat"))


def test_phy_announces_a_copy_and_refuses_one_that_does_not_fit(scene, tmp_path, caplog, monkeypatch):
    recording, truth = scene
    part = recording.select_channels(recording.channel_ids[:3])
    write_report(truth, part, tmp_path / "report", phy=True)
    assert (tmp_path / "report" / "phy" / "recording.dat").is_file() and "GB" in caplog.text
    monkeypatch.setattr("si_deepsort.report.export.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"needs .* GB"):
        write_report(truth, part, tmp_path / "other", phy=True)


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
    assert "1 unit<" in page.read_text(encoding="utf-8")


def test_segments_and_integers_with_offset(tmp_path):
    parts = [small_traces(duration_s=2.0, seed=seed) for seed in (0, 1)]
    recording = as_recording([(np.round(traces * 4) + 2050).astype("int16") for traces, _ in parts])
    sorting = si.NumpySorting.from_unit_dict([dict(enumerate(trains)) for _, trains in parts], SAMPLING_FREQUENCY)
    page = write_report(sorting, recording, tmp_path / "report", phy=True)
    assert "2 segment" in page.read_text(encoding="utf-8")
    units = measure_units(si.load(tmp_path / "report" / "analyzer"))
    assert units.duration_s == pytest.approx(4.0)
    for unit, unit_id in enumerate(units.unit_ids):
        inside = [np.diff(sorting.get_unit_spike_train(unit_id, i)) for i in range(2)]
        assert np.allclose(units.intervals_ms(unit), 1000 * np.concatenate(inside) / SAMPLING_FREQUENCY)
        assert units.spike_times_s[unit].max() > 2 and len(units.spike_amplitudes[unit]) == len(
            units.spike_times_s[unit]
        )
    assert not (tmp_path / "report" / "phy").exists(), "phy reads one segment"


def test_recording_that_is_shorter_than_the_sorting_is_refused(scene, tmp_path):
    recording, truth = scene
    with pytest.raises(ValueError, match=r"has 1000 frames.*the recording that was sorted"):
        write_report(truth, recording.frame_slice(0, 1000), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_existing_folder_is_not_overwritten_unasked(scene, tmp_path):
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ValueError, match="overwrite=True"):
        write_report(scene[1], scene[0], tmp_path)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "precious"


def test_only_a_report_is_replaced_and_only_what_it_wrote(scene, tmp_path):
    recording, truth = scene
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ValueError, match="not written by write_report"):
        write_report(truth, recording, tmp_path, overwrite=True)
    page = write_report(truth, recording, tmp_path / "report")
    (page.parent / "notes.txt").write_text("mine", encoding="utf-8")
    empty = si.NumpySorting.from_unit_dict([{}], SAMPLING_FREQUENCY)
    write_report(empty, recording, tmp_path / "report", overwrite=True)
    assert {path.name for path in page.parent.iterdir() if not path.name.startswith(".")} == {
        "notes.txt",
        "report.html",
        "settings.json",
    }
    assert (page.parent / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_the_page_names_the_files_of_the_recording(scene, tmp_path):
    recording, truth = scene
    folder = str(recording._kwargs["folder_path"])
    assert source_paths(recording.select_channels(recording.channel_ids[:2])) == [folder]
    assert folder in write_report(truth, recording, tmp_path / "report").read_text(encoding="utf-8")


def test_environment_names_what_decides_about_results():
    environment = describe_environment()
    assert {"si-deepsort", "spikeinterface", "torch", "numpy", "python", "device", "cores", "model cache"} <= set(
        environment
    )
