"""`si-deepsort sort`, `demo`, `doctor`: options made from the settings, any format, messages without tracebacks."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import write_probeinterface
from small_recording import SAMPLING_FREQUENCY, line_probe, small_recording
from typer.testing import CliRunner

from si_deepsort import cli
from si_deepsort.cli.setting_options import setting_parameters
from si_deepsort.cli.sort import _tell_result
from si_deepsort.sorter.settings import DeepSortSettings

QUICK = ("--clustering", "hdbscan", "--num-rounds", "0")
RUNNER = CliRunner()


def run(*arguments, fails=False):
    result = RUNNER.invoke(cli.app, [str(argument) for argument in arguments])
    if not fails and result.exception is not None:
        raise result.exception
    return result


def message(*arguments) -> str:
    result = run(*arguments, fails=True)
    assert isinstance(result.exception, ValueError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a saved recording."""
    folder = tmp_path_factory.mktemp("cli")
    small_recording(folder / "recording", duration_s=3.0)
    return folder


def test_every_setting_is_an_option():
    parameters = {parameter.name: parameter for parameter in setting_parameters(DeepSortSettings)}
    assert sorted(parameters) == sorted(record.name for record in fields(DeepSortSettings))
    text = " ".join(run("sort", "--help").output.split())
    assert "--format" in text and "--resume" in text and "Clustering" in text


@pytest.mark.slow
def test_sorting_with_report_from_a_file_with_settings(folder, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text('clustering = "hdbscan"\nnum_rounds = 2\nseed = 5\n', encoding="utf-8")
    out = tmp_path / "out"
    output = run(
        "sort", folder / "recording", "--out", out, "--config", config, "--num-rounds", 0, "--no-common-reference"
    ).output
    assert "units" in output and (out / "report" / "report.html").exists()
    assert f'spikeinterface.load("{out}/sorter_output/sorting")' in output
    params = json.loads((out / "spikeinterface_params.json").read_text(encoding="utf-8"))["sorter_params"]
    assert (params["seed"], params["num_rounds"], params["common_reference"]) == (5, 0, False), "options win"
    assert len(si.load(out / "sorter_output" / "sorting").unit_ids) >= 3
    again = run("sort", folder / "recording", "-o", out, "--resume", "--no-report", "--job-kwargs", '{"n_jobs": 2}')
    assert "was finished before" in again.output
    assert "other settings of seed" in message("sort", folder / "recording", "-o", out, "--resume", "--seed", 1)
    assert "--resume" in message("sort", folder / "recording", "-o", out) and (out / "report").exists()


@pytest.mark.slow
def test_bare_samples_with_a_probe_and_none_and_json(folder, tmp_path):
    counts = (si.load(folder / "recording").get_traces() * 4 + 2050).astype("int16")
    counts.tofile(tmp_path / "samples.raw")
    write_probeinterface(tmp_path / "probe.json", line_probe(4))
    options = [f"sampling_frequency={SAMPLING_FREQUENCY}", "num_channels=4", "dtype=int16"]
    run(
        *("sort", tmp_path / "samples.raw", "-o", tmp_path / "out", "--format", "binary", "--no-report"),
        *(word for option in options for word in ("--reader-option", option)),
        *("--probe", tmp_path / "probe.json", "--matching", "none", "--job-kwargs", '{"n_jobs": 1}', *QUICK),
    )
    params = json.loads((tmp_path / "out" / "spikeinterface_params.json").read_text(encoding="utf-8"))["sorter_params"]
    assert params["matching"] is None and params["job_kwargs"] == {"n_jobs": 1}
    assert len(si.load(tmp_path / "out" / "sorter_output" / "sorting").unit_ids) >= 3


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["nowhere"], "There is nothing at nowhere"),
        (["REC", "--format", "spikeglxx"], "Unknown format 'spikeglxx'.*spikeglx"),
        (["TEXT"], "cannot be read as a recording that SpikeInterface saved"),
        (["TEXT", "--format", "spikeglx"], "cannot be read as 'spikeglx'.*it takes folder_path"),
        (["REC", "--reader-option", "stream"], "expected name=value"),
        (["REC", "--probe", "TEXT"], "cannot be read as a probe"),
        (["REC", "--probe", "PROBE"], "7 connected contacts, the recording 4 channels"),
        (["REC", "--config", "TEXT"], "cannot be read as TOML"),
        (["REC", "--config", "none.toml"], "there is no file none.toml.*settings --toml"),
        (["REC", "--config", "WRONG"], "^freq_mni in .*wrong.toml: there is no such setting. Did you mean freq_min"),
        (["REC", "--clustering", "kmeans"], "^--clustering: got 'kmeans', expected one of"),
        (["REC", "--num-rounds", "-1"], "^--num-rounds: got -1, expected a whole number from 0 to 10"),
        (["REC", "--freq-min", "9000"], "^--freq-max: got 7000 Hz"),
        (["REC", "--detection", "kilo"], "^--detection: got 'kilo', expected one of energy, cnn"),
        (["REC", "--job-kwargs", "{n_jobs}"], "^--job-kwargs: .*expected JSON"),
        (["REC", "--job-kwargs", '{"njobs": 2}'], "^--job-kwargs: got 'njobs'"),
        (["BARE"], "4 channels and no probe. Name its file by --probe"),
    ],
    ids=str,
)
def test_mistakes_are_explained(folder, tmp_path, arguments, expected):
    (tmp_path / "text.txt").write_text("not a [recording", encoding="utf-8")
    (tmp_path / "wrong.toml").write_text("freq_mni = 300.0", encoding="utf-8")
    write_probeinterface(tmp_path / "probe.json", line_probe(7))
    si.NumpyRecording([np.zeros((20_000, 4), "float32")], SAMPLING_FREQUENCY).save(folder=tmp_path / "bare")
    files = dict(REC=folder / "recording", TEXT="text.txt", WRONG="wrong.toml", PROBE="probe.json", BARE="bare")
    named = [tmp_path / files[word] if word in files else word for word in arguments]
    assert re.search(expected, message("sort", *named, "-o", tmp_path / "out").replace("\n", " "))
    assert not (tmp_path / "out").exists()


def test_recording_that_cannot_be_sorted_is_explained(tmp_path):
    traces = np.zeros((40_000, 4), "float32")
    traces[100] = np.nan
    recording = si.NumpyRecording([traces], SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(4))
    recording.save(folder=tmp_path / "nan")
    text = message("sort", tmp_path / "nan", "-o", tmp_path / "out", *QUICK)
    assert text.startswith("ValueError: NaN or inf") and "Traceback" not in text and "spikeinterface_log.json" in text


@pytest.mark.slow
def test_result_of_a_binary_file_fits_the_same_recording_with_other_channel_ids(folder, tmp_path):
    """Bare samples have no channel ids; SpikeInterface looks for the ids that a sorting names."""
    recording = si.load(folder / "recording")
    recording.get_traces().tofile(tmp_path / "samples.raw")
    write_probeinterface(tmp_path / "probe.json", line_probe(4))
    options = [f"sampling_frequency={SAMPLING_FREQUENCY}", "num_channels=4", "dtype=float32", "gain_to_uV=1"]
    run(
        *("sort", tmp_path / "samples.raw", "-o", tmp_path / "out", "--format", "binary"),
        *(word for option in options for word in ("--reader-option", option)),
        *("--probe", tmp_path / "probe.json", *QUICK),
    )
    sorting = si.load(tmp_path / "out" / "sorter_output" / "sorting")
    assert set(sorting.get_property("main_channel_index")) <= set(range(4))
    for ids in ([0, 1, 2, 3], ["0", "1", "2", "3"], ["a", "b", "c", "d"]):
        analyzer = si.create_sorting_analyzer(sorting, recording.rename_channels(ids), sparse=False)
        assert analyzer.channel_ids.tolist() == ids


def test_overwrite_with_a_wrong_setting_keeps_the_earlier_sorting(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "earlier.txt").write_text("an earlier sorting", encoding="utf-8")
    for option in (("--num-rounds", "11"), ("--detection", "kilo")):
        message("sort", folder / "recording", "-o", tmp_path / "out", "--overwrite", *option)
        assert (tmp_path / "out" / "earlier.txt").exists()


def test_damaged_run_is_refused_in_the_words_of_options(folder, tmp_path):
    (tmp_path / "out").mkdir()
    text = message("sort", folder / "recording", "-o", tmp_path / "out", "--resume")
    assert "holds no sorting to go on with" in text and "--overwrite" in text and "run_sorter" not in text


def test_the_line_that_opens_a_result_is_python_on_windows_as_well(capsys):
    out = PureWindowsPath(r"C:\Users\new\out")
    _tell_result(si.NumpySorting.from_unit_dict([{0: np.arange(3)}], 20_000.0), out)
    code = re.search(r'load\((".*")\)', capsys.readouterr().out).group(1)
    assert PureWindowsPath(ast.literal_eval(code)) == out / "sorter_output" / "sorting"


@pytest.mark.slow
def test_help_does_not_import_spikeinterface(tmp_path):
    """It would take seconds; `si-deepsort` is the name of the installed program."""
    program = tmp_path / "si-deepsort"
    program.write_text(
        "import sys\n"
        "from si_deepsort.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print('imported:', [m for m in ('spikeinterface', 'scipy', 'torch') if m in sys.modules])\n",
        encoding="utf-8",
    )
    for command in ([], ["sort"], ["train-detector"]):
        done = subprocess.run([sys.executable, program, *command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout and "imported: []" in done.stdout, done.stderr
    done = subprocess.run([sys.executable, program, "doctor"], capture_output=True, text=True)
    assert "deepsort is ready" in done.stdout, done.stderr


@pytest.mark.slow
def test_sorting_warns_of_nothing_that_the_user_did_not_do(folder, tmp_path, recwarn):
    run("sort", folder / "recording", "-o", tmp_path / "out", *QUICK)
    unwanted = ("provenance", "registered to this sorting", "larger than recording duration")
    assert not [warning for warning in recwarn if any(words in str(warning.message) for words in unwanted)]


def test_interruption_says_how_to_go_on(folder, tmp_path, monkeypatch):
    import spikeinterface.sorters as sorters

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sorters, "run_sorter", interrupted)
    result = run("sort", folder / "recording", "-o", tmp_path / "out", fails=True)
    assert "--resume goes on" in result.output and result.exit_code != 0


@pytest.mark.slow
def test_demo_and_doctor(tmp_path):
    out = tmp_path / "demo"
    output = run("demo", "--out", out, "--duration", 8).output
    assert "Mean accuracy" in output
    assert (out / "report" / "report.html").exists() and (out / "accuracy.csv").exists()
    assert "--overwrite" in message("demo", "--out", out)
    doctor = run("doctor").output
    assert "spikeinterface" in doctor and "device" in doctor and "deepsort is ready" in doctor


@pytest.mark.slow
def test_example_runs(tmp_path):
    example = Path(__file__).parents[2] / "examples" / "sort_a_recording.py"
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "units" in done.stdout and (tmp_path / "out" / "report" / "report.html").exists()
