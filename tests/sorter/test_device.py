"""A sorting on a device: the same spikes as by compiled code, and a clear answer where there is no such device."""

import numpy as np
import pytest
import torch
from small_recording import SAMPLING_FREQUENCY, as_recording, small_traces
from spikeinterface.comparison import compare_two_sorters
from spikeinterface.sorters import run_sorter

from si_deepsort.on_device import _REMEMBERED, DeviceStep
from si_deepsort.preprocessing import white_on_device
from si_deepsort.settings import SettingError
from si_deepsort.sorter import device as chosen
from si_deepsort.sorter.adapter import DeepSortSorter
from si_deepsort.sorter.device import with_device
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording
from si_deepsort.sorter.matching import on_device
from si_deepsort.sorter.matching.match import MatchingValues, match_templates
from si_deepsort.sorter.settings import DeepSortSettings

QUICK = dict(num_rounds=0, motion_correction=None, assess=False)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    traces, _ = small_traces(num_channels=8, num_units=5, duration_s=8.0)
    return as_recording(traces, tmp_path_factory.mktemp("device") / "recording")


def shared_share(first, second):
    """Share of the spikes of two sortings that both have, within .1 ms."""
    comparison = compare_two_sorters(first, second, delta_time=0.1)
    num_shared = sum(
        comparison.match_event_count.loc[unit, comparison.hungarian_match_12[unit]]
        for unit in first.unit_ids
        if comparison.hungarian_match_12[unit] in second.unit_ids
    )
    return num_shared / max(first.count_total_num_spikes(), second.count_total_num_spikes())


@pytest.mark.parametrize(("n_jobs", "cache"), [(2, "folder"), pytest.param(1, "none", marks=pytest.mark.slow)])
def test_spikes_are_the_same_on_a_device(recording, tmp_path, n_jobs, cache, monkeypatch):
    correlated = []
    reference = on_device.MatchedFiltersOnDevice._correlate
    monkeypatch.setattr(
        on_device.MatchedFiltersOnDevice, "_correlate", lambda *inputs: correlated.append(1) or reference(*inputs)
    )
    sortings = [
        run_sorter("deepsort", recording, folder=tmp_path / name, device=name, cache=cache, job_kwargs=jobs, **QUICK)
        for name, jobs in (("cpu", {}), ("torch-cpu", dict(n_jobs=n_jobs, pool_engine="process")))
    ]
    assert len(sortings[0].unit_ids) == 5 and correlated, "templates were correlated in this process"
    assert shared_share(*sortings) >= 0.99
    log = (tmp_path / "torch-cpu" / "sorter_output" / "log.txt").read_text(encoding="utf8")
    assert "on a device" in log and "WARNING" not in log


def test_white_traces_stay_on_the_device_until_they_are_correlated(recording, monkeypatch):
    filtered = filtered_recording(recording, freq_min=150.0, freq_max=7000.0, with_reference=True)
    white = white_recording(filtered, motion=None, order=24, radius_um=100.0, seed=0)
    computed = white_on_device.on_device(white, "torch-cpu")
    templates = np.random.default_rng(0).standard_normal((3, 60, 8)).astype("float32")
    values = MatchingValues(method="pursuit", threshold=18.0, amplitude_variance=0.02, seed=0, device="torch-cpu")
    was_there, send = [], DeviceStep.send

    def watched(step, array):
        if step.name == "matching":
            was_there.append(id(array) in _REMEMBERED)
        return send(step, array)

    monkeypatch.setattr(DeviceStep, "send", watched)
    jobs = dict(n_jobs=1, chunk_duration="1s", progress_bar=False)
    match_templates(computed, templates, 20, values, job_kwargs=jobs)
    # Margins beyond the ends of the recording are added on the CPU.
    assert was_there == [False, *[True] * (len(was_there) - 2), False] and len(was_there) == 8


@pytest.mark.slow
def test_spikes_do_not_depend_on_the_number_of_threads(recording, tmp_path):
    found = [
        run_sorter("deepsort", recording, folder=tmp_path / str(n_jobs), device="torch-cpu", **QUICK, **jobs)
        for n_jobs, jobs in ((1, {}), (3, dict(job_kwargs=dict(n_jobs=3))))
    ]
    np.testing.assert_array_equal(*(sorting.to_spike_vector() for sorting in found))


def test_no_spikes_on_a_device(tmp_path):
    noise = np.random.default_rng(0).standard_normal((round(2 * SAMPLING_FREQUENCY), 4)).astype("float32")
    recording = as_recording(noise, tmp_path / "recording")
    sorting = run_sorter("deepsort", recording, folder=tmp_path / "sorting", device="torch-cpu", **QUICK)
    assert len(sorting.unit_ids) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(recording, tmp_path):
    folder = tmp_path / "sorting"
    folder.mkdir()
    (folder / "earlier.txt").write_text("kept", encoding="utf8")
    with pytest.raises(SettingError, match=r"device: .*'cuda' is not available here.*Choose 'cpu', or 'auto'"):
        run_sorter("deepsort", recording, folder=folder, remove_existing_folder=True, device="cuda")
    assert [path.name for path in folder.iterdir()] == ["earlier.txt"]


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "cuda:", "cuda:x", "cpu:1"])
def test_names_that_are_no_device(name):
    with pytest.raises(SettingError, match="expected 'cpu', 'auto', 'cuda', 'cuda:1', 'mps' or 'torch-cpu'"):
        DeepSortSettings(device=name)


def test_the_workers_of_dask_compute_on_cpus():
    with pytest.raises(SettingError, match="dask_scheduler"):
        DeepSortSettings(device="cuda", dask_scheduler="tcp://host:8786")
    assert with_device(DeepSortSettings(device="auto", dask_scheduler="tcp://host:8786")).device == "cpu"


@pytest.mark.parametrize(("found", "expected"), [(None, "cpu"), (torch.device("cpu"), "cuda")])
def test_auto_becomes_the_device_that_is_there(monkeypatch, found, expected):
    monkeypatch.setattr(chosen, "device_for", lambda name: found)
    assert with_device(DeepSortSettings(device="auto")).device == expected


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_device_that_cannot_be_used(monkeypatch, name, caplog):
    def failing(*_, **__):
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    monkeypatch.setattr(chosen, "device_for", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch, "zeros", failing)
    if name == "auto":
        assert with_device(DeepSortSettings(device=name)).device == "cpu" and "forked" in caplog.text
        return
    with pytest.raises(SettingError, match="device: Cannot re-initialize CUDA"):
        with_device(DeepSortSettings(device=name))


@pytest.mark.parametrize(
    ("device", "uses_gpu"), [("cpu", False), ("torch-cpu", False), ("auto", True), ("cuda", True), ("cuda:1", True)]
)
def test_spikeinterface_is_told_whether_a_gpu_is_used(device, uses_gpu):
    assert DeepSortSorter.gpu_capability == "nvidia-optional"
    assert DeepSortSorter.use_gpu({"device": device}) == uses_gpu
    assert not DeepSortSorter.use_gpu({})
