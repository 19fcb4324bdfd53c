"""The page on events: it says how they were found, names rows as the table has them, and survives empty results."""

import numpy as np
import pandas
import pytest
import spikeinterface.core as si

from si_deepsort.events.report import write_report
from si_deepsort.events.report_figures import FIRST_ROW, _round_length, plot_average, plot_course, plot_gallery
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events
from si_deepsort.events.tables import save_events


@pytest.fixture(scope="module")
def simulated():
    return simulate_events("current", duration_s=10.0, seed=3)


@pytest.fixture(scope="module")
def found(simulated):
    return segment_events(simulated[0], exclude_s=[(0.0, 0.1)])


def test_the_page_states_recording_and_settings(simulated, found, tmp_path):
    page = write_report(tmp_path / "page.html", simulated[0], found, title="cell_7.abf").read_text(encoding="utf-8")
    for words in ("cell_7.abf", "20000 Hz", "events-unet", "confidence of at least", "decayed to 10 %", "0 to 0.1 s"):
        assert words in page, words
    assert page.count("<img") == 5 and f"<td>{len(found)}</td>" in page


def test_rows_are_those_of_the_written_table(simulated, found, tmp_path):
    save_events(found, tmp_path / "events.csv")
    lines = (tmp_path / "events.csv").read_text(encoding="utf-8").splitlines()
    for axis in plot_gallery(simulated[0], found).axes:
        if not axis.get_title():
            continue
        row, _, time, _ = axis.get_title().split("|")
        onset_s = float(lines[int(row.split()[1]) - 1].split(",")[0])
        assert onset_s == pytest.approx(float(time.split()[0]), abs=1e-3)
    assert FIRST_ROW == 2


def test_all_events_have_one_scale(simulated, found):
    axes = [axis for axis in plot_gallery(simulated[0], found).axes if axis.get_title()]
    assert len({axis.get_ylim() for axis in axes}) == len({axis.get_xlim() for axis in axes}) == 1


def test_the_average_has_the_amplitude_of_the_events(simulated, found):
    axis = plot_average(simulated[0], found).axes[0]
    alone = found[~found.overlap]
    assert axis.lines[1].get_ydata().min() == pytest.approx(alone.amplitude.mean(), rel=0.15)


def test_the_course_counts_every_event_once_in_any_sweeps(simulated, found):
    trace = simulated[0].get_traces()
    halves = si.NumpyRecording([trace[:100_000], trace[100_000:]], 20_000.0)
    second = found.onset_s >= 5.0
    split = found.assign(segment=second.astype(int), onset_s=found.onset_s - 5.0 * second)
    for recording, table in ((simulated[0], found), (halves, split)):
        upper, lower = plot_course(recording, table).axes
        np.testing.assert_allclose(np.sort(upper.lines[0].get_xdata()), np.sort(found.onset_s), atol=1e-9)
        rate, edges_s, _ = lower.patches[0].get_data()
        assert (rate * np.diff(edges_s)).sum() == pytest.approx(len(found))


def test_pages_without_kept_events_are_written(simulated, found, tmp_path):
    rejected = found.assign(decision="reject")
    assert (
        write_report(tmp_path / "rejected.html", simulated[0], rejected).read_text(encoding="utf-8").count("<img") == 2
    )
    silent = si.NumpyRecording([np.zeros((20_000, 1), "float32")], 10_000.0)
    page = write_report(tmp_path / "silent.html", silent, segment_events(silent)).read_text(encoding="utf-8")
    assert "No event was found" in page


def test_events_that_are_not_measured_are_shown(simulated, found, tmp_path):
    by_hand = pandas.DataFrame(dict(onset_s=[0.05], segment=[0], decision=["accept"]))
    table = segment_events(simulated[0], exclude_s=[(0.0, 0.1)], corrections=pandas.concat([found, by_hand]))
    assert (table.decision == "accept").sum() == 1
    assert write_report(tmp_path / "page.html", simulated[0], table).exists()


@pytest.mark.parametrize("length, rounded", [(7.0, 5.0), (1.0, 1.0), (0.034, 0.02), (999.0, 500.0), (0.0, 1.0)])
def test_scale_bars_have_round_lengths(length, rounded):
    assert _round_length(length) == pytest.approx(rounded)


@pytest.mark.parametrize("lengths", [(50_000, 0, 60_000, 7), (0, 100), (0,)])
def test_sweeps_may_have_any_lengths(simulated, found, lengths, tmp_path):
    trace, stops = simulated[0].get_traces(), np.cumsum(lengths)
    sweeps = [trace[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]
    recording = si.NumpyRecording(sweeps, 20_000.0)
    events = segment_events(recording)
    num_events = [
        (found.onset_s * 20_000).between(stop - length, stop - 1).sum()
        for stop, length in zip(stops, lengths, strict=True)
    ]
    assert np.abs(events.groupby("segment").size().reindex(range(len(lengths)), fill_value=0) - num_events).max() <= 1
    for decision in ("", "reject"):
        page = write_report(tmp_path / "page.html", recording, events.assign(decision=decision))
        assert page.read_text(encoding="utf-8").count("<img") >= 1
