"""Every command: what it cannot read or write is told in one sentence before the work begins."""

import os

import numpy as np
import pytest
import spikeinterface.core as si
from typer.testing import CliRunner

from si_deepsort.cli import app
from si_deepsort.cli.outputs import check_file, check_folder
from si_deepsort.generation import named_probe


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    recording = si.NumpyRecording([np.random.default_rng(0).normal(0, 8, (3000, 4)).astype("float32")], 30_000.0)
    recording.set_probe(named_probe("tetrode"))
    recording.save(folder=folder / "recording", verbose=False)
    si.NumpySorting.from_unit_dict([{0: np.arange(50, 2900, 90)}], 30_000.0).save(folder=folder / "sorting")
    (folder / "empty").mkdir()
    (folder / "file").write_text("x", encoding="utf-8")
    return folder


def error_of(*arguments):
    """Words of the error of a command; it must be one that the command line shows without a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, ValueError), (result.output, result.exception)
    return str(result.exception)


READERS = [
    ("assess", "{sorting}", "{recording}"),
    ("denoise", "{recording}", "{new}"),
    ("denoiser-report", "{recording}", "--report", "{new}"),
    ("train-denoiser", "{recording}", "--out", "{new}"),
    ("train-lfp", "{recording}", "{sorting}", "--out", "{new}"),
    ("predict-spikes", "{recording}", "--model", "{new}", "--out", "{new}"),
    ("train-detector", "{recording}", "{sorting}", "--out", "{new}"),
    ("train-classifier", "{recording}", "{sorting}", "--out", "{new}"),
    ("tune-detector", "{recording}", "{sorting}", "{recording}", "--out", "{new}"),
    ("stress-test", "{recording}", "--sorting", "{sorting}", "-o", "{new}"),
]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_exchanged_empty_and_absent_inputs_are_named(saved, tmp_path, command):
    wrong = [("recording", "sorting"), ("recording", "empty"), ("recording", "absent")]
    if any("sorting" in part for part in command):
        wrong += [("sorting", "recording"), ("sorting", "empty"), ("sorting", "absent")]
    for place, other in wrong:
        paths = dict(recording=saved / "recording", sorting=saved / "sorting", new=tmp_path / "new")
        paths[place] = saved / other
        message = error_of(*[part.format(**paths) for part in command])
        assert str(saved / other) in message and place in message


WRITERS = [
    ("denoise", "{recording}", "{out}"),
    ("train-denoiser", "{recording}", "--out", "{out}"),
    ("train-lfp", "{recording}", "{sorting}", "--out", "{out}"),
    ("predict-spikes", "{recording}", "--model", "none", "--out", "{out}"),
    ("train-detector", "{recording}", "{sorting}", "--out", "{out}"),
    ("train-classifier", "{recording}", "{sorting}", "--out", "{out}"),
    ("tune-detector", "{recording}", "{sorting}", "{recording}", "--out", "{out}"),
    ("stress-test", "{recording}", "-o", "{out}"),
    ("assess", "{sorting}", "{recording}", "-o", "{out}"),
    ("sort", "{recording}", "-o", "{out}"),
    ("denoiser-report", "{recording}", "--report", "{out}"),
    ("events", "{file}", "--out", "{out}"),
    ("train-events", "{file}", "--labels", "{file}", "--out", "{out}"),
]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_a_file_in_the_way_is_named_before_the_work_begins(saved, command):
    paths = {name: saved / name for name in ("recording", "sorting", "file")}
    message = error_of(*[part.format(**paths, out=saved / "file" / "inside") for part in command])
    assert str(saved / "file") in message and "Give" in message


def test_folders_above_a_file_are_made(tmp_path):
    check_file(tmp_path / "é è" / "neu" / "events.csv", "--out")
    assert (tmp_path / "é è" / "neu").is_dir()
    check_folder(tmp_path / "not" / "yet", "--out")
    assert not (tmp_path / "not").exists()
    with pytest.raises(ValueError, match="expected a file"):
        check_file(tmp_path, "--report")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written by this user")
def test_read_only_folders_are_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        check_folder(tmp_path / "new", "--out")
    tmp_path.chmod(0o700)


def test_options_that_the_method_ignores_are_refused(saved, tmp_path):
    for option in (("--bad-channels", "1"), ("--blend", "0.5"), ("--model", "interpolator-any")):
        message = error_of("denoise", saved / "recording", tmp_path / "new", "--method", "wavelet_denoise", *option)
        assert option[0] in message and "deep_interpolate" in message


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_rates_are_positive(saved, tmp_path, rate):
    command = ["predict-spikes", saved / "recording", "--model", "none", "--out", tmp_path / "new"]
    assert "positive" in error_of(*command, "--sampling-frequency", rate)
    (tmp_path / "samples.bin").write_bytes(bytes(400))
    options = [f"sampling_frequency={rate}", "num_channels=1", "dtype=int16"]
    given = [part for option in options for part in ("--reader-option", option)]
    error_of("sort", tmp_path / "samples.bin", "-o", tmp_path / "new", "--format", "binary", *given)
