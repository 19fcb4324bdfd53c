"""Miniature potentials: shapes, preparation, fit, whole-recording segmentation, tables, report, command line."""

import numpy as np
import pandas
import pytest
import spikeinterface.core as si
from small_trace import recording_of
from typer.testing import CliRunner

from si_deepsort.events import prepare as prepare_module
from si_deepsort.events.decisions import apply_decisions
from si_deepsort.events.fit_shape import fit_events
from si_deepsort.events.hum import remove_hum
from si_deepsort.events.matching import detection_scores, intersection_over_union, marked_frames, match_events
from si_deepsort.events.measure import COLUMNS
from si_deepsort.events.prepare import prepare_trace, running_baseline
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import event_free_noise, event_sum, event_table, simulate_events
from si_deepsort.events.tables import check_events_fit, read_events
from si_deepsort.events.traces import read_trace, unit_of
from si_deepsort.events.waveform import biexponential, end_time_ms, peak_time_ms, rise_time_ms, tau_of_rise_ms


@pytest.mark.parametrize("rise, decay", [(0.3, 1.0), (0.8, 5.0), (3.0, 40.0)])
def test_times_of_a_shape_agree_with_the_shape(rise, decay):
    tau = float(tau_of_rise_ms(rise, decay))
    times = np.linspace(0, 20 * decay, 400_001)
    values = biexponential(times, tau, decay)
    assert values.max() == pytest.approx(1.0, abs=1e-6)
    assert times[values.argmax()] == pytest.approx(float(peak_time_ms(tau, decay)), rel=1e-2)
    assert float(rise_time_ms(tau, decay)) == pytest.approx(rise, rel=1e-3)
    assert biexponential(end_time_ms(tau, decay), tau, decay) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("rate", [1_000.0, 5_000.0, 10_000.0, 24_414.0625, 40_000.0, 200_000.0])
def test_preparation_keeps_time_at_any_rate(rate):
    times = np.arange(round(2 * rate)) / rate
    trace = np.exp(-(((times - 1.25) / 0.004) ** 2)) - 130.0
    prepared = prepare_trace(recording_of(trace, rate), 0)
    assert 6_500 < prepared.rate < 15_100
    assert prepared.values.argmax() / prepared.rate == pytest.approx(1.25, abs=2e-4)
    assert len(prepared.values) == pytest.approx(2 * prepared.rate, abs=1)
    assert np.abs(prepared.values[:1000]).max() < 1e-3  # the offset makes no edge


@pytest.mark.parametrize("rate", [4_000.0, 10_000.0, 50_000.0])
def test_preparation_does_not_depend_on_chunks(rate, monkeypatch):
    trace = np.random.default_rng(0).standard_normal(round(3.3 * rate))
    whole = prepare_trace(recording_of(trace, rate), 0)
    monkeypatch.setattr(prepare_module, "CHUNK_S", 0.37)
    chunked = prepare_trace(recording_of(trace, rate), 0)
    np.testing.assert_allclose(chunked.values, whole.values, atol=1e-5)
    np.testing.assert_array_equal(chunked.is_valid, whole.is_valid)


def test_baseline_follows_the_drift_and_not_the_events():
    times = np.arange(100_000) / 10_000
    drift = 3 * np.sin(2 * np.pi * 0.3 * times)
    events = event_table(np.arange(0.5, 9.5), np.full(9, 5.0), np.full(9, 0.5), np.full(9, 6.0), np.full(9, 0.7))
    frames, medians = running_baseline(drift + event_sum(events, len(times), 10_000.0), 10_000.0)
    baseline = np.interp(np.arange(len(times)), frames, medians)
    assert np.abs(baseline - drift)[2000:-2000].max() < 0.2


def test_hum_is_removed_and_events_are_not():
    rng, times = np.random.default_rng(0), np.arange(100_000) / 10_000
    events = event_table(
        np.sort(rng.uniform(0, 10, 9)), np.full(9, 5.0), np.full(9, 0.5), np.full(9, 6.0), np.full(9, 0.7)
    )
    clean = (rng.normal(0, 0.3, len(times)) + event_sum(events, len(times), 10_000.0)).astype("float32")
    same = clean.copy()
    remove_hum(same, 10_000.0)
    np.testing.assert_array_equal(same, clean)
    hum = np.sin(2 * np.pi * 50.03 * times + 1) + 0.3 * np.sin(2 * np.pi * 150.09 * times)
    cleaned = (clean + hum).astype("float32")
    remove_hum(cleaned, 10_000.0)
    assert np.std((cleaned - clean)[2000:-2000]) < 0.1 * np.std(hum)


def test_fit_recovers_overlapping_events():
    truth = event_table(
        np.array([0.05, 0.056, 0.2]),
        np.array([1.0, 0.6, 2.0]),
        np.full(3, 0.4),
        np.array([5.0, 4.0, 8.0]),
        np.full(3, 0.6),
    )
    values = event_sum(truth, 4000, 10_000.0)
    values += np.random.default_rng(0).normal(0, 0.01, 4000)
    guesses = truth.onset_s * 1000 + np.array([0.5, -0.4, 0.8])
    shape = fit_events(values, 10_000.0, guesses, np.full(3, 12.0), 0.01)
    np.testing.assert_allclose(shape.onset_ms, truth.onset_s * 1000, atol=0.1)
    np.testing.assert_allclose(shape.amplitude, truth.amplitude, rtol=0.05)
    np.testing.assert_allclose(shape.tau_decay_ms, truth.decay_ms, rtol=0.1)


def test_matching_is_one_to_one():
    pairs = match_events([1.0, 1.002, 5.0], [1.0015, 9.0])
    assert pairs.tolist() == [[1, 0]]
    assert detection_scores([1.0, 2.0], [1.0, 2.0])["f1"] == 1.0
    assert detection_scores([1.0], [1.0031])["num_matched"] == 0
    marked = marked_frames([0.0], [0.5], 100, 100.0)
    assert intersection_over_union(marked, marked_frames([0.25], [0.75], 100, 100.0)) == pytest.approx(1 / 3, abs=0.01)


def test_simulation_is_its_seed(simulated):
    again, events = simulate_events("endplate", duration_s=20.0, noise_sd=0.06, seed=11)
    np.testing.assert_array_equal(again.get_traces(), simulated[0].get_traces())
    pandas.testing.assert_frame_equal(events, simulated[1])
    with pytest.raises(ValueError, match="endplate"):
        simulate_events("endplates")


def test_own_noise_is_used_and_holds_no_event():
    trace = np.zeros(10_000)
    trace[5000:5100] = 10.0
    noise = event_free_noise(trace, np.array([5000]), before=20, after=300)
    assert len(noise) == 10_000 - 320 and np.abs(noise).max() == 0.0
    recording, _ = simulate_events(
        duration_s=1.0, noise=np.full(100, 7.0), event_rate=0.0, drift=0.0, artefact_rate=0.0
    )
    assert (recording.get_traces() == 7.0).all()


def test_events_of_a_clear_trace_are_found_and_measured(simulated, found):
    truth = simulated[1]
    assert list(found.columns) == list(COLUMNS)
    pairs = match_events(truth.onset_s, found.onset_s)
    assert len(pairs) >= 0.9 * len(truth) and len(found) <= 1.15 * len(truth)
    alone = [pair for pair in pairs if not found.overlap[pair[1]]]
    true, measured = truth.iloc[[i for i, _ in alone]], found.iloc[[j for _, j in alone]]
    for column, tolerance in (("amplitude", 0.1), ("decay_ms", 0.3)):
        error = np.abs(measured[column].to_numpy() / true[column].to_numpy() - 1)
        assert np.median(error) < tolerance, column
    assert (found.onset_s < found.peak_s).all() and (found.peak_s < found.end_s).all()
    assert found.confidence.between(0, 1).all()


def test_unit_offset_and_sign_do_not_matter(simulated, found):
    trace = simulated[0].get_traces()[:, 0]
    turned = segment_events(recording_of(-250.0 * trace - 1300.0))
    assert turned.attrs["polarity"] == -found.attrs["polarity"] == -1
    pairs = match_events(found.onset_s, turned.onset_s, 5e-4)
    assert len(pairs) >= 0.97 * max(len(found), len(turned))
    np.testing.assert_allclose(
        turned.amplitude.to_numpy()[pairs[:, 1]], -250 * found.amplitude.to_numpy()[pairs[:, 0]], rtol=0.03
    )


def test_sweeps_are_segments(simulated, found):
    trace = simulated[0].get_traces()
    halves = si.NumpyRecording([trace[:100_000], trace[100_000:]], 10_000.0)
    table = segment_events(halves)
    assert set(table.segment) == {0, 1}
    onsets = table.onset_s + 10.0 * table.segment
    assert len(match_events(found.onset_s, onsets)) >= 0.9 * len(found)
    assert table.groupby("segment").interval_s.first().notna().all()  # first() skips the NaN of each first event


@pytest.mark.parametrize("rate", [1_000.0, 200_000.0])
def test_slow_and_fast_sampling(rate):
    settings = dict(duration_s=10.0, noise_sd=0.03, amplitude_min=0.8, decay_min_ms=6.0, artefact_rate=0.0, seed=4)
    recording, truth = simulate_events("endplate", sampling_frequency=rate, rise_max_ms=2.0, **settings)
    assert detection_scores(truth.onset_s, segment_events(recording).onset_s)["f1"] > 0.8


@pytest.mark.parametrize("trace", [np.zeros(20_000), np.full(20_000, -70.0), np.full(20_000, np.nan), np.zeros(0)])
@pytest.mark.filterwarnings("ignore:.*of the recording is NaN")
def test_traces_without_anything_give_an_empty_table(trace):
    table = segment_events(recording_of(trace))
    assert len(table) == 0 and list(table.columns) == list(COLUMNS)


def test_few_events_in_pure_noise():
    trace = np.random.default_rng(5).normal(0, 0.1, 300_000)
    assert len(segment_events(recording_of(trace))) <= 3


def test_a_tenth_of_a_second():
    event = event_table(np.array([0.03]), np.array([1.0]), np.array([0.4]), np.array([5.0]), np.array([0.6]))
    trace = event_sum(event, 1000, 10_000.0) + np.random.default_rng(0).normal(0, 0.05, 1000)
    table = segment_events(recording_of(trace), polarity=1)
    assert len(match_events([0.03], table.onset_s)) == 1


def test_gaps_and_saturation_hold_no_event(simulated):
    trace = simulated[0].get_traces()[:, 0].copy()
    trace[50_000:60_000] = np.nan
    trace[120_000:130_000] = np.nanmax(trace) + 5.0
    with pytest.warns(UserWarning, match="saturated"):
        table = segment_events(recording_of(trace))
    assert not table.peak_s.between(5.0, 6.0).any() and not table.peak_s.between(12.0, 13.0).any()
    assert len(table) > 5


def test_bad_arguments_are_explained(simulated, tmp_path):
    recording = simulated[0]
    two = si.aggregate_channels([recording, recording])
    with pytest.raises(ValueError, match="channel_id"):
        segment_events(two)
    with pytest.raises(ValueError, match="no channel"):
        segment_events(two, channel_id="x")
    for options in (dict(polarity=2), dict(threshold=1.5), dict(time_scale=0.0), dict(model="nonesuch")):
        with pytest.raises(ValueError, match=r"expected|Unknown model"):
            segment_events(recording, **options)
    with pytest.raises(ValueError, match="NumpyRecording"):
        segment_events(np.zeros(100))
    with pytest.raises(ValueError, match="no file"):
        segment_events(tmp_path / "none.abf")
    (tmp_path / "broken.abf").write_bytes(b"not an abf")
    with pytest.raises(ValueError, match="cannot be read"):
        segment_events(tmp_path / "broken.abf")


def test_plain_files_are_read(tmp_path):
    table = pandas.DataFrame({"time (s)": np.arange(1000) / 2000.0, "Vm (mV)": np.arange(1000.0)})
    table.to_csv(tmp_path / "trace.csv", index=False)
    recording = read_trace(tmp_path / "trace.csv")
    assert recording.get_sampling_frequency() == pytest.approx(2000.0)
    assert unit_of(recording) == "mV"
    np.savez(tmp_path / "trace.npz", trace=np.zeros(50), sampling_frequency=1e4)
    assert read_trace(tmp_path / "trace.npz").get_num_frames() == 50


def test_tables_of_other_programs(tmp_path, simulated):
    path = tmp_path / "mini.csv"
    path.write_text('"Time (ms)","Amplitude","Sweep"\n"1,250.5",12.0,1\n250.0,9.0,1\n', encoding="utf-8")
    events = read_events(path)
    np.testing.assert_allclose(events.onset_s, [0.25, 1.2505])
    assert (events.segment == 0).all()
    with pytest.raises(ValueError, match="onset_s"):
        (tmp_path / "bad.csv").write_text("a,b\n1,2\n", encoding="utf-8")
        read_events(tmp_path / "bad.csv")
    with pytest.raises(ValueError, match="another file"):
        check_events_fit(pandas.DataFrame({"onset_s": [1250.5]}), simulated[0])


def test_decisions_survive_a_second_run(found):
    first = apply_decisions(found, found)
    first.loc[0, "decision"], first.loc[1, "decision"] = "reject", "accept"
    second = apply_decisions(found.drop(index=1), first)
    assert second.decision[0] == "reject"
    assert (second.decision == "accept").sum() == 1 and len(second) == len(found)
    first.loc[2, "decision"] = "maybe"
    with pytest.raises(ValueError, match="maybe"):
        apply_decisions(found, first)


@pytest.mark.slow
def test_command_line_writes_table_and_report_and_keeps_decisions(simulated, found, tmp_path):
    from si_deepsort.cli import app

    np.savez(tmp_path / "cell.npz", trace=simulated[0].get_traces()[:, 0], sampling_frequency=10_000.0)
    out, report = tmp_path / "events.csv", tmp_path / "report.html"
    command = ["events", str(tmp_path / "cell.npz"), "--out", str(out), "--report", str(report)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    table = pandas.read_csv(out)
    assert len(table) == len(found)
    assert report.read_text(encoding="utf-8").count("<img") == 5
    table["decision"] = ["reject"] + [""] * (len(table) - 1)
    table.to_csv(out, index=False)
    result = CliRunner().invoke(app, command)
    assert "1 rejected" in result.output.replace("\n", " ")
    assert pandas.read_csv(out).decision.tolist()[0] == "reject"
