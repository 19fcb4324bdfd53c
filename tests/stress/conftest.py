"""A small recording, and sorters that know what was injected."""

import pytest
import spikeinterface.core as si
from small_recording import small_recording

from si_deepsort.stress import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stress")


@pytest.fixture(scope="module")
def recording_and_truth(folder):
    return small_recording(folder / "recording", num_channels=8, num_units=4, duration_s=6.0)


class FakeSorters:
    """Stands for SpikeInterface's sorters: knows what was injected, fails where it is told to."""

    def __init__(self, monkeypatch, truth, fails=()):
        self.truth, self.fails, self.calls = truth, fails, []
        monkeypatch.setattr(run, "sort_all", self)

    def __call__(self, runs, sorter_params, **_):
        for one, recording in runs:
            params = sorter_params[one.sorter]
            if one.is_done(params):
                continue
            self.calls.append((one.sorter, one.repetition))
            if one.sorter in self.fails:
                one.finish(dict(status="failed", error="out of memory"), params)
                continue
            assert recording.get_num_frames(0) > 0
            one.finish(dict(status="done", num_units=1), params, self.sorting(one))

    def sorting(self, one):
        if one.repetition is None:
            return self.truth
        injected = si.load(one.folder.parent / "injected_sorting")
        return si.aggregate_units([self.truth, injected], renamed_unit_ids=None)


@pytest.fixture
def fake_sorters(monkeypatch):
    """Puts sorters in place of SpikeInterface's: `fake_sorters(truth, fails=[...])`."""

    def put(truth, fails=()):
        return FakeSorters(monkeypatch, truth, fails)

    return put
