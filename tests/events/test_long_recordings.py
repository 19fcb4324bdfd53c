"""Long recordings are read in pieces, which changes neither what is found nor how it is measured."""

import tracemalloc

import numpy as np
import pandas
import pytest
import spikeinterface.core as si

from si_deepsort.events import agreement, fit_shape, gaps, hum, prepare, probability, segment, stored
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
    monkeypatch.setattr(probability, "BATCH_SIZE", 3)
    for module in (prepare, agreement, segment, stored):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 7_001)
    monkeypatch.setattr(fit_shape, "GROUP_SIZE", 2)
    monkeypatch.setattr(fit_shape, "GROUP_FRAMES", 1)


def test_pieces_of_any_length_give_the_same_events(recording, whole, monkeypatch):
    small_pieces(monkeypatch)
    pieces = segment_events(recording, polarity=-1)
    assert len(pieces) == len(whole) > 20
    pandas.testing.assert_frame_equal(pieces, whole, rtol=1e-4, atol=1e-5)


def test_traces_in_a_file_give_the_same_events(recording, whole, monkeypatch):
    small_pieces(monkeypatch)
    pieces = segment_events(recording, polarity=-1)
    monkeypatch.setattr(stored, "MOST_FRAMES_IN_MEMORY", 0)
    pandas.testing.assert_frame_equal(segment_events(recording, polarity=-1), pieces, check_exact=True)


@pytest.mark.parametrize("most_in_memory", [0, 30, 1000])
def test_arrays_of_a_store_are_as_arrays_in_memory(most_in_memory, monkeypatch):
    monkeypatch.setattr(stored, "MOST_FRAMES_IN_MEMORY", most_in_memory)
    monkeypatch.setattr(stored, "CHUNK_FRAMES", 7)
    values, is_valid = np.arange(100, dtype="float32"), np.arange(100) % 3 > 0
    with stored.FrameStore() as store:
        kept, kept_valid, empty = store.zeros(100, "float32"), store.zeros(100, "bool"), store.zeros(0, "float32")
        assert len(empty) == 0 and len(empty[:]) == 0
        assert not kept[:].any()
        kept[:50], kept[50:], kept_valid[:] = values[:50], values[50:], is_valid
        kept[3:6] = 7.5
        values[3:6] = 7.5
        for part in (slice(None), slice(10, 20), slice(90, 200), slice(5, 5), np.array([99, 0, 3, 3])):
            np.testing.assert_array_equal(kept[part], values[part])
        np.testing.assert_array_equal(stored.every_nth(kept, 9), values[::9])
        np.testing.assert_array_equal(kept_valid[:], is_valid)
        doubled = stored.ChangedFrames(kept, lambda first, piece: 2 * piece + first)
        np.testing.assert_array_equal(doubled[20:25], 2 * values[20:25] + 20)


@pytest.mark.parametrize(
    "bad", [[], [0], [99], range(100), range(5, 60), range(1, 100, 2), [*range(30), *range(70, 100)]]
)
def test_gaps_become_lines_whatever_the_pieces(bad, monkeypatch):
    monkeypatch.setattr(stored, "CHUNK_FRAMES", 7)
    values, is_bad = np.random.default_rng(0).normal(size=100), np.isin(np.arange(100), list(bad))
    pieces, expected = values.copy(), values.copy()
    good = np.flatnonzero(~is_bad)
    expected[is_bad] = np.interp(np.flatnonzero(is_bad), good, values[good]) if len(good) else 0
    gaps.bridge_stored(pieces, ~is_bad)
    gaps.bridge(values, is_bad)
    np.testing.assert_array_equal(pieces, expected)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.slow  # memory is traced, which takes ten times as long
def test_memory_does_not_grow_with_the_recording(monkeypatch):
    for module in (prepare, agreement, segment, stored):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 20_000)
    monkeypatch.setattr(prepare, "CHUNK_S", 2.0)
    monkeypatch.setattr(probability, "BATCH_SIZE", 8)
    monkeypatch.setattr(fit_shape, "GROUP_SIZE", 2)
    monkeypatch.setattr(fit_shape, "GROUP_FRAMES", 1)
    monkeypatch.setattr(stored, "MOST_FRAMES_IN_MEMORY", 20_000)
    monkeypatch.setattr(hum, "LONGEST_PIECE_S", 3.0)
    monkeypatch.setattr(hum, "OVERLAP_S", 0.5)
    for module, name in ((prepare, "LEVEL"), (agreement, "LEVEL"), (agreement, "SPECTRUM")):
        monkeypatch.setattr(module, f"MOST_FRAMES_OF_{name}", 20_000)
    peaks = []
    for duration_s in (6.0, 24.0):
        trace = simulate_events("endplate", duration_s=duration_s, event_rate=0.5, seed=4)[0]
        tracemalloc.start()
        assert len(segment_events(trace, polarity=1)) > 0.3 * duration_s
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


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
    same = clean.copy()
    hum.remove_hum(same, rate)
    np.testing.assert_array_equal(same, clean)
    later = np.sin(2 * np.pi * 50.03 * times + 1) * (times > 30)
    cleaned = (clean + later).astype("float32")
    hum.remove_hum(cleaned, rate)
    assert np.std((cleaned - clean)[times > 33]) < 0.1 and np.abs(cleaned - clean)[times < 10].max() < 0.1
