"""The matrix of cases: independent, resumable, the same on every engine; what fails is reported and harms nothing."""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
from spikeinterface.sorters import sorterlist

from si_deepsort.benchmarking import plots, report, study, summary
from si_deepsort.benchmarking.case import finished_result, load_case_recording
from si_deepsort.benchmarking.external import save_ground_truth
from si_deepsort.benchmarking.repeatable import unseeded_generators_seeded
from si_deepsort.benchmarking.sorter_study import as_sorter_study
from si_deepsort.cli.benchmark import benchmark

# A sorter that finds the troughs of each channel, or fails in the way it is told. It is put where every process that
# the benchmark starts finds it.
TOY = """
import os
import numpy as np
import scipy.signal
import spikeinterface.core as si
from spikeinterface.sorters import BaseSorter, sorterlist

class Toy(BaseSorter):
    sorter_name = "toy"
    _default_params = {"fail": "", "channels": 2}
    @classmethod
    def is_installed(cls): return cls.sorter_name != "absent"
    @classmethod
    def get_sorter_version(cls): return "1"
    @classmethod
    def _setup_recording(cls, recording, sorter_output_folder, params, verbose): pass
    @classmethod
    def _run_from_folder(cls, sorter_output_folder, params, verbose):
        if params["fail"] == "raise": raise RuntimeError("no units for you")
        if params["fail"] == "die": os._exit(9)
        if params["fail"] == "hang": import time; time.sleep(100)
        recording = cls.load_recording_from_folder(sorter_output_folder.parent, with_warnings=False)
        traces = recording.get_traces()[:, :params["channels"]]
        trains = {str(c): scipy.signal.find_peaks(-x, height=5 * np.median(np.abs(x)) / 0.67, distance=30)[0]
                  for c, x in enumerate(traces.T)}
        si.NumpySorting.from_unit_dict([trains], 30000.0).save(folder=sorter_output_folder / "sorting")
    @classmethod
    def _get_result_from_folder(cls, folder): return si.load(folder / "sorting")

class Absent(Toy):
    sorter_name = "absent"

sorterlist.sorter_dict.update(toy=Toy, absent=Absent)
"""


def toy_sorter(folder: Path):
    """Put the toy sorter here and into every process that is started from now on; returns how to take it away."""
    (folder / "sitecustomize.py").write_text(TOY, encoding="utf-8")
    before, path = dict(sorterlist.sorter_dict), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), path or ""])
    exec(compile(TOY, "toy", "exec"), {"__name__": "toy"})

    def take_away():
        sorterlist.sorter_dict.clear()
        sorterlist.sorter_dict.update(before)
        os.environ.pop("PYTHONPATH")
        if path is not None:
            os.environ["PYTHONPATH"] = path

    return take_away


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory):
    take_away = toy_sorter(tmp_path_factory.mktemp("toy"))
    yield
    take_away()


@pytest.fixture(scope="module")
def ground_truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    recording, sorting = si.generate_ground_truth_recording(
        durations=[4.0], sampling_frequency=30_000.0, num_channels=4, num_units=3, seed=0
    )
    return [str(save_ground_truth(recording, sorting, folder / name)) for name in ("a", "b")]


@pytest.fixture(scope="module")
def finished(ground_truth, tmp_path_factory):
    """A results folder with two finished cases; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    run(plan(ground_truth), folder)
    return folder


def plan(ground_truth, sorters=("toy",), **params):
    return study.plan_cases(ground_truth, sorters, warm_up=False, params={"toy": params})


def run(cases, folder, **kwargs):
    return study.run_cases(cases, folder, progress_bar=False, **kwargs)


@pytest.mark.slow
def test_cases_are_run_scored_and_summed_up(ground_truth, finished, tmp_path):
    results = study.read_results(finished, plan(ground_truth))
    assert [result["status"] for result in results] == ["done", "done"]
    assert results[0]["units"]["accuracy"] == results[1]["units"]["accuracy"]
    assert results[0]["cpu_s"] > 0 and results[0]["peak_memory_mb"] > 10
    document = summary.summarize(results, command="test")
    assert document["summary"][0]["mean_accuracy"] == pytest.approx(results[0]["mean_accuracy"])
    assert "torch" in document["versions"] and document["machine"]["cpu"]
    page = report.write_page(document, tmp_path / "page.html", plots.make_figures(document)).read_text(encoding="utf-8")
    assert "data:image/png;base64" in page and 'src="http' not in page and "toy" in page
    json.dumps(document)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loop", "dask", "slurm"])
def test_killed_run_goes_on_where_it_stopped_on_every_engine(engine, ground_truth, finished, tmp_path, monkeypatch):
    if engine == "dask":
        pytest.importorskip("distributed")
    if engine == "slurm" and os.name == "nt":
        pytest.skip("the stand-in for sbatch is a shell script")
    calls = fake_slurm(tmp_path, monkeypatch)
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    first, second = (folder / study.recording_key(case["recording"]) / "toy" for case in plan(ground_truth))
    (second / "result.json").unlink()
    (second / "run").mkdir()  # what a killed case leaves behind: a working folder, and no result
    stamp = (first / "result.json").stat().st_mtime_ns
    results = run(plan(ground_truth), folder, engine=engine, sbatch_options={"mem": "2G"})
    expected = study.read_results(finished, plan(ground_truth))
    assert [result["units"] for result in results] == [result["units"] for result in expected]
    assert (first / "result.json").stat().st_mtime_ns == stamp
    if engine == "slurm":
        called = calls.read_text(encoding="utf-8")
        assert len(called.splitlines()) == 1 and called.startswith("--mem 2G")


def fake_slurm(tmp_path, monkeypatch) -> Path:
    """An sbatch that notes how it was called and runs the script at once."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/bash\necho "$@" >> "$0.log"\nbash "${@: -1}"\n', encoding="utf-8")
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}")
    return Path(f"{sbatch}.log")


def test_missing_sbatch_is_named(ground_truth, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="sbatch was not found"):
        run(plan(ground_truth), tmp_path / "out", engine="slurm")


@pytest.mark.slow
def test_finished_case_counts_only_for_the_same_parameters(ground_truth, finished, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    case_folder = study.write_case(plan(ground_truth)[0], folder)
    assert finished_result(case_folder)["status"] == "done"
    study.write_case(plan(ground_truth, channels=1)[0], folder)
    assert finished_result(case_folder) is None


@pytest.mark.slow
def test_failing_peers_are_reported_and_harm_nobody(ground_truth, tmp_path):
    broken = [*plan(ground_truth[:1], fail="raise"), *plan(ground_truth[1:], fail="die")]
    results = run([*broken, *plan(ground_truth[:1], ["absent"])], tmp_path)
    assert [result["status"] for result in results] == ["failed", "failed", "not installed"]
    assert "no units for you" in results[0]["error"]
    assert "ended without a result (9)" in results[1]["error"]
    table = summary.summarize(results, command="test")["tables"]["sorters"]
    text = report.markdown_table(table)
    assert "failed" in text and "not installed" in text


@pytest.mark.slow
def test_case_that_takes_too_long_fails(ground_truth, tmp_path):
    results = run(plan(ground_truth[:1], fail="hang"), tmp_path, timeout_s=0.5)
    assert results[0]["status"] == "failed" and "longer than 0.5 s" in results[0]["error"]


def test_folder_of_another_version_is_left_alone(tmp_path, ground_truth):
    (tmp_path / "study.json").write_text(json.dumps(dict(format_version=99)), encoding="utf-8")
    with pytest.raises(ValueError, match="format 99"):
        run(plan(ground_truth), tmp_path)
    assert os.listdir(tmp_path) == ["study.json"]


def test_wrong_names_are_refused_before_anything_runs(tmp_path, ground_truth):
    with pytest.raises(ValueError, match="Unknown sorter 'kilosort5'"):
        study.plan_cases(["tetrode"], ["kilosort5"])
    with pytest.raises(ValueError, match="Unknown recording 'tetrodes'"):
        study.plan_cases(["tetrodes"], ["toy"])
    with pytest.raises(ValueError, match="No seed"):
        study.plan_cases(["tetrode"], ["toy"], seeds=[])
    with pytest.raises(ValueError, match="Unknown engine"):
        run(plan(ground_truth), tmp_path, engine="cloud")


def test_cases_that_would_overwrite_each_other_are_refused(tmp_path, ground_truth):
    with pytest.raises(ValueError, match="in another folder"):
        run(plan(ground_truth) + plan(ground_truth, channels=1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_recording_that_does_not_fit_is_refused_with_its_message(tmp_path):
    recording, sorting = si.generate_ground_truth_recording(durations=[4.0], num_channels=4, num_units=2, seed=0)
    folder = save_ground_truth(recording, sorting, tmp_path / "truth")
    late = si.NumpySorting.from_unit_dict([{"0": np.array([10**7])}], recording.get_sampling_frequency())
    late.save(folder=folder / "sorting", overwrite=True)
    with pytest.raises(ValueError, match="another recording"):
        load_case_recording(plan([str(folder)])[0])


def test_motion_correction_is_on_where_there_is_drift():
    cases = study.plan_cases(["neuropixels2", "neuropixels2_drift"], ["lupin", "spykingcircus2"])
    assert [case["params"] for case in cases] == [{}, {}, {"apply_motion_correction": True}, {}]


@pytest.mark.slow
def test_command_line_writes_results_and_report(ground_truth, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["si-deepsort", "benchmark"])
    shutil.copytree(finished, tmp_path / "out")
    options = dict(seeds="0", duration_s=4.0, folder=tmp_path / "out", engine="loop", num_workers=1, n_jobs=1)
    options.update(sbatch="", timeout_s=60.0, json_file=tmp_path / "copy.json", sorters="toy")
    cases = plan(ground_truth)
    monkeypatch.setattr(study, "plan_cases", lambda *args, **kwargs: cases)
    benchmark(recordings="quick", **options)
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert document == json.loads((tmp_path / "copy.json").read_text(encoding="utf-8"))
    assert f"{document['summary'][0]['mean_accuracy']:.3f}" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()
    benchmark(recordings="list", **options)
    assert "neuropixels2_drift" in capsys.readouterr().out
    with pytest.raises(ValueError, match="whole numbers"):
        benchmark(recordings=ground_truth[0], **{**options, "seeds": "a"})


@pytest.mark.slow
def test_results_open_as_a_study_of_spikeinterface(ground_truth, finished, tmp_path):
    results = study.read_results(finished, plan(ground_truth))
    sorter_study = as_sorter_study(results, finished, tmp_path / "study")
    table = sorter_study.get_performance_by_unit()
    assert table["accuracy"].fillna(0).mean() == pytest.approx(results[0]["mean_accuracy"], abs=1e-3)
    with pytest.raises(ValueError, match="exists already"):
        as_sorter_study(results, finished, tmp_path / "study")


@pytest.mark.slow
def test_interruption_starts_no_further_case(ground_truth, tmp_path, monkeypatch):
    started = []

    def interrupt(folder, timeout_s):
        started.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_case", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(plan(ground_truth * 5), tmp_path)
    assert len(started) < 10


def test_generators_without_a_seed_repeat_and_differ_from_each_other():
    def draw():
        with unseeded_generators_seeded(7):
            first, second = np.random.default_rng(), np.random.default_rng(seed=None)
            given = np.random.default_rng(seed=3)
            return first.random(), second.random(), given.random(), np.random.random()  # noqa: NPY002

    original = np.random.default_rng
    drawn = draw()
    assert drawn == draw()
    assert drawn[0] != drawn[1]
    assert drawn[2] == original(3).random()
    assert np.random.default_rng is original
