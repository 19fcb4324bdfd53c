"""Memory and files of a sorting do not grow with the duration of the recording; a full disk costs nothing."""

import errno
import tracemalloc

import numpy as np
import pytest
from small_recording import small_recording
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

import si_deepsort
from si_deepsort.sorter import prepare
from si_deepsort.sorter.front_end import cache
from si_deepsort.sorter.run_folder import RunFolder

QUICK = dict(clustering="hdbscan", num_rounds=0, motion_correction=None)


@pytest.mark.slow
@pytest.mark.timeout(900)  # memory is traced, which is slow
def test_memory_and_files_do_not_grow_with_the_duration(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "MOST_LEARNT_S", 4.0)
    sizes, remove = [], RunFolder.remove_traces

    def measured(run):
        sizes.append(sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file()))
        remove(run)

    monkeypatch.setattr(RunFolder, "remove_traces", measured)
    peaks, numbers = [], []
    for duration_s in (5.0, 12.0, 36.0):  # the first one loads and compiles; noise is measured in 10 s
        recording, _ = small_recording(tmp_path / f"recording {duration_s}", duration_s=duration_s)
        if duration_s > 5.0:
            tracemalloc.start()
        sorting = run_sorter("deepsort", recording, folder=tmp_path / str(duration_s), **QUICK)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        numbers.append(sorting.count_total_num_spikes())
    assert numbers[2] > 2 * numbers[1] > 100
    # Half-precision traces of the 24 s more would take 3.8 MB, single-precision ones 7.7 MB; the spikes take some.
    assert sizes[2] - sizes[1] < 0.5e6
    assert peaks[2] - peaks[1] < 1e6


@pytest.mark.slow
@pytest.mark.parametrize("written", ["traces", "steps"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(tmp_path, monkeypatch, written):
    recording, _ = small_recording(tmp_path / "recording", duration_s=4.0)
    undisturbed = run_sorter("deepsort", recording, folder=tmp_path / "undisturbed", **QUICK)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    save = np.save

    def full_in_the_middle(file, array, **options):
        return full() if "clusters" in str(file) else save(file, array, **options)

    with monkeypatch.context() as patch:
        if written == "traces":
            patch.setattr(cache, "_write_chunk", full)
        else:
            patch.setattr(np, "save", full_in_the_middle)
        with pytest.raises(SpikeSortingError, match="No space left on device"):
            run_sorter("deepsort", recording, folder=tmp_path / "out", **QUICK)
    resumed = si_deepsort.resume_sorter(tmp_path / "out")
    np.testing.assert_array_equal(resumed.to_spike_vector(), undisturbed.to_spike_vector())
