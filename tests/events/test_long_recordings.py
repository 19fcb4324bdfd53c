"""Long recordings are read in pieces, which changes neither what is found nor how it is measured."""

import tracemalloc

import numpy as np
import pandas
import pytest
import spikeinterface.core as si

from si_deepsort.events import agreement, fit_shape, hum, prepare, probability
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events

pytestmark = pytest.mark.filterwarnings("ignore:.*is NaN or saturated")


@pytest.fixture(scope="module")
def recording():
    trace = simulate_events("current", duration_s=12.0, seed=4)[0].get_traces().copy()
    trace[50_000:50_300] = np.nan
    return si.NumpyRecording([trace], 20_000.0)


@pytest.fixture(scope="module")
def whole(recording):
    return segment_events(recording, polarity=-1)


def small_pieces(monkeypatch):
    monkeypatch.setattr(prepare, "CHUNK_S", 0.37)
    monkeypatch.setattr(prepare, "DRIFT_CHUNK_FRAMES", 7_001)
    monkeypatch.setattr(probability, "BATCH_SIZE", 3)
    monkeypatch.setattr(agreement, "CHUNK_FRAMES", 7_001)
    monkeypatch.setattr(fit_shape, "GROUP_SIZE", 2)
    monkeypatch.setattr(fit_shape, "GROUP_FRAMES", 1)


def test_pieces_of_any_length_give_the_same_events(recording, whole, monkeypatch):
    small_pieces(monkeypatch)
    pieces = segment_events(recording, polarity=-1)
    assert len(pieces) == len(whole) > 20
    pandas.testing.assert_frame_equal(pieces, whole, rtol=1e-4, atol=1e-5)


def test_a_sample_of_a_long_recording_tells_its_noise(recording, whole, monkeypatch):
    monkeypatch.setattr(prepare, "MOST_FRAMES_OF_LEVEL", 100_000)
    monkeypatch.setattr(agreement, "MOST_FRAMES_OF_LEVEL", 100_000)
    monkeypatch.setattr(agreement, "MOST_FRAMES_OF_SPECTRUM", 100_000)
    found = segment_events(recording, polarity=-1)
    assert found.attrs["noise_level"] == pytest.approx(whole.attrs["noise_level"], rel=0.02)
    assert abs(len(found) - len(whole)) <= 2


def test_hum_goes_and_nothing_else_changes_where_pieces_meet(monkeypatch):
    monkeypatch.setattr(hum, "LONGEST_PIECE_S", 20.0)
    monkeypatch.setattr(hum, "OVERLAP_S", 2.0)
    rate, times = 2000.0, np.arange(130_000) / 2000.0
    clean = np.random.default_rng(0).normal(0, 0.3, len(times)).astype("float32")
    np.testing.assert_array_equal(hum.remove_hum(clean, rate), clean)
    later = np.sin(2 * np.pi * 50.03 * times + 1) * (times > 30)
    before = (clean + later).astype("float32")
    given = before.copy()
    cleaned = hum.remove_hum(before, rate)
    np.testing.assert_array_equal(before, given)
    assert np.std((cleaned - clean)[times > 33]) < 0.1 and np.abs(cleaned - clean)[times < 10].max() < 0.1


def test_memory_is_a_few_copies_of_the_trace(monkeypatch):
    for module, name in ((prepare, "DRIFT_CHUNK_FRAMES"), (agreement, "CHUNK_FRAMES"), (fit_shape, "GROUP_FRAMES")):
        monkeypatch.setattr(module, name, 100_000)
    monkeypatch.setattr(prepare, "CHUNK_S", 5.0)
    monkeypatch.setattr(hum, "LONGEST_PIECE_S", 20.0)
    monkeypatch.setattr(agreement, "MOST_FRAMES_OF_SPECTRUM", 100_000)
    monkeypatch.setattr(agreement, "MOST_FRAMES_OF_LEVEL", 100_000)
    num_frames = 1_000_000
    onset_s = np.arange(0.5, 90.0, 1.5)
    candidates = (onset_s, onset_s + 0.007, np.full(len(onset_s), 0.99))
    values = np.random.default_rng(0).normal(size=num_frames).astype("float32")
    recording = si.NumpyRecording([values[:, None]], 10_000.0)
    tracemalloc.start()
    prepare.prepare_trace(recording, 0)
    peak_prepare = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    agreement.agreement_with_mean_event([values], 10_000.0, [candidates])
    peak_agreement = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_prepare < 4 * values.nbytes and peak_agreement < 4 * values.nbytes
