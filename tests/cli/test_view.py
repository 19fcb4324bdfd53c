"""`si-deepsort view`: the analyzer of a result is found or made, the recording is not copied, and the GUI opens it."""

import sys
from types import SimpleNamespace

import pytest
import spikeinterface.core as si
from small_recording import small_recording
from typer.testing import CliRunner

from si_deepsort import cli, write_report
from si_deepsort.cli import view


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A sorting without a report, and a report of true spikes."""
    folder = tmp_path_factory.mktemp("view")
    recording, truth = small_recording(folder / "recording", duration_s=3.0)
    options = ["--no-report", "--clustering", "hdbscan", "--num-rounds", "0"]
    done = CliRunner().invoke(cli.app, ["sort", str(folder / "recording"), "-o", str(folder / "out"), *options])
    assert done.exit_code == 0, done.output
    write_report(truth, recording, folder / "report")
    return folder


@pytest.fixture
def opened(monkeypatch):
    """What the GUI is opened with; it is not installed with the tests."""
    calls = []
    gui = SimpleNamespace(run_mainwindow=lambda analyzer, **options: calls.append((analyzer, options)), __spec__=None)
    monkeypatch.setitem(sys.modules, "spikeinterface_gui", gui)
    monkeypatch.setattr(view, "find_spec", lambda name: gui)
    return calls


@pytest.mark.parametrize("name", ["out", "report", "report/analyzer"])
def test_a_result_opens_with_its_traces_and_without_a_copy_of_the_recording(results, opened, name):
    view.view(results / name)
    analyzer, options = opened[0]
    recording = si.load(results / "recording")
    assert analyzer.has_recording() and options["with_traces"] and options["mode"] == "desktop"
    assert analyzer.recording.get_num_frames(0) == recording.get_num_frames(0)
    largest = max(file.stat().st_size for file in (results / name).rglob("*") if file.is_file())
    assert largest < 0.5 * recording.get_traces().nbytes


def test_a_folder_without_a_result_is_refused(results, opened):
    with pytest.raises(ValueError, match="neither a sorting"):
        view.view(results / "recording")


def test_what_to_install_is_said(results, monkeypatch):
    monkeypatch.setattr(view, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'spikeinterface-gui\[web\]'"):
        view.view(results / "report", mode="web")
