"""The commands `denoise` and `train-denoiser`."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_interpolator import save_random_interpolator
from typer.testing import CliRunner

from si_deepsort.cli import app
from si_deepsort.generation import named_probe
from si_deepsort.preprocessing import deep_interpolate


@pytest.fixture
def saved(tmp_path):
    recording = si.NumpyRecording([np.random.default_rng(0).normal(0, 8, (9000, 4)).astype("float32")], 30_000.0)
    recording.set_probe(named_probe("tetrode"))
    recording.save(folder=tmp_path / "noisy", verbose=False)
    return tmp_path / "noisy"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_denoise_equals_the_library(saved, tmp_path):
    model = save_random_interpolator(tmp_path / "model")
    result = run("denoise", saved, tmp_path / "out", "--model", model, "--blend", "0.5", "--bad-channels", "2")
    assert result.exit_code == 0, result.output
    expected = deep_interpolate(si.load(saved), model=model, blend=0.5, bad_channel_ids=[2]).get_traces()
    np.testing.assert_array_equal(si.load(tmp_path / "out").get_traces(), expected)
    assert "exists" in str(run("denoise", saved, tmp_path / "out", "--model", model).exception)


@pytest.mark.parametrize("option", [("--blend", "much"), ("--method", "magic"), ("--bad-channels", "77")])
def test_bad_options_are_explained(saved, tmp_path, option):
    model = save_random_interpolator(tmp_path / "model")
    result = run("denoise", saved, tmp_path / "out", "--model", model, *option)
    assert isinstance(result.exception, ValueError) and option[1] in str(result.exception)


def test_train_denoiser_gives_a_model(saved, tmp_path):
    result = run("train-denoiser", saved, "--out", tmp_path / "model", "--num-epochs", "0", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert run("denoise", saved, tmp_path / "out", "--model", tmp_path / "model").exit_code == 0


def test_denoiser_report_writes_a_page(saved, tmp_path):
    model = save_random_interpolator(tmp_path / "model")
    long = si.NumpyRecording([np.random.default_rng(0).normal(0, 8, (18_000, 4)).astype("float32")], 30_000.0)
    long.set_probe(named_probe("tetrode"))
    long.save(folder=tmp_path / "long", verbose=False)
    result = run("denoiser-report", tmp_path / "long", "--report", tmp_path / "page.html", "--model", model)
    assert result.exit_code == 0, result.output
    assert "amplitude kept" in result.output and "enoising" in result.output and (tmp_path / "page.html").exists()
