"""Tables of events: what the user typed is kept, decisions find their events, events added by hand are measured."""

import numpy as np
import pandas
import pytest
import spikeinterface.core as si

from si_deepsort.events.columns import as_events
from si_deepsort.events.decisions import apply_decisions
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events
from si_deepsort.events.tables import check_events_fit, read_events, save_events
from si_deepsort.events.text_files import TextFormat

RATE = 10_000.0


@pytest.fixture(scope="module")
def simulated():
    return simulate_events("endplate", duration_s=10.0, noise_sd=0.06, seed=11)


@pytest.fixture(scope="module")
def found(simulated):
    return segment_events(simulated[0])


def test_an_event_added_by_hand_is_measured(simulated, found):
    missed = found.nsmallest(1, "confidence")
    typed = pandas.DataFrame(dict(onset_s=missed.onset_s + 0.0008, decision="accept"))
    strict = found.drop(index=missed.index)
    earlier = pandas.concat([strict, typed])
    # A threshold that the event does not reach, so that only the person has it.
    threshold = float(missed.confidence.iloc[0]) + 1e-6
    table = segment_events(simulated[0], threshold=threshold, corrections=earlier)
    added = table[(table.decision == "accept")]
    assert len(added) == 1 and np.isnan(added.confidence.iloc[0])
    for column in ("onset_s", "amplitude", "decay_ms", "rise_ms", "area"):
        assert added[column].iloc[0] == pytest.approx(missed[column].iloc[0], rel=0.1), column


def test_rejected_events_that_are_not_found_this_time_stay(found):
    earlier = found.assign(decision="reject")
    table = apply_decisions(found[found.index % 2 == 0], earlier)
    assert len(table) == len(found) and (table.decision == "reject").all()
    np.testing.assert_allclose(table.amplitude, found.amplitude)


def test_decisions_of_another_recording_are_refused(found, simulated):
    other = pandas.DataFrame(dict(onset_s=found.onset_s + 0.05, decision="reject"))
    with pytest.raises(ValueError, match="None of the"):
        apply_decisions(found, other)
    with pytest.raises(ValueError, match="another file"):
        segment_events(simulated[0], corrections=other.assign(onset_s=other.onset_s + 100))


def test_an_event_that_is_both_accepted_and_rejected_is_an_error(found):
    rows = found.iloc[[0, 0, 1]].assign(decision=["accept", "reject", "accept"])
    with pytest.raises(ValueError, match="both accepted and rejected"):
        apply_decisions(found, rows)


def test_two_decisions_never_fall_on_one_event(found):
    near = pandas.DataFrame(dict(onset_s=[1.0, 1.002], segment=0, amplitude=[1.0, 2.0]))
    earlier = near.assign(onset_s=[1.0001, 1.0021], decision=["reject", "accept"])
    assert apply_decisions(near, earlier).decision.tolist() == ["reject", "accept"]


@pytest.mark.parametrize("start_s", [10_000.0, 80_000.0])
def test_decisions_survive_in_long_recordings(start_s, tmp_path):
    onset_s = start_s + np.sort(np.random.default_rng(0).uniform(0, 4000, 1000))
    events = pandas.DataFrame(dict(onset_s=onset_s, segment=0, overlap=False))
    save_events(events.assign(decision="reject"), tmp_path / "events.csv")
    again = apply_decisions(events, read_events(tmp_path / "events.csv"))
    assert (again.decision == "reject").all()


@pytest.mark.parametrize("first", [0, 1])
def test_traces_are_counted_from_0_or_1(first, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text(f"Trace,Time (ms)\n{first},10.25\n{first + 2},20.5\n", encoding="utf-8")
    assert read_events(path)["segment"].tolist() == [0, 2]


@pytest.mark.parametrize(
    "text, message",
    [
        ("Time,Amplitude\n1.25,3\n", "does not name its unit"),
        ("onset_s,decision\n5.43x,accept\n", "line 2"),
        ("onset_s,decision\n,accept\n", "no time of an event"),
        ("Time (ms);Amplitude\n1.469;3\n", "may be 1.469 or 1469"),
        ("onset_s,amplitude\n0,3495,-10,5\n", "decimal comma"),
        ("onset_s,end_s\n1.5,0.5\n", "end_s = "),
        ("onset_s,segment\n1.5,0.5\n", "whole numbers"),
        ("onset_s,onset_s\n1.5,2.5\n", "twice"),
        ("0.1\n0.2\n", "no line names a column"),
        ("0,5.5,a\n1,000,6.5,a\n", "no line names a column"),
        ("", "no line names a column"),
        ("Time (ms),Amplitude\n#####,3\n2500.5,4\n", "make the column wider"),
        ("Amplitude,Time (ms)\n3,#VALUE!\n4,2500.5\n", "mend the formula"),
        ("Onset (s),1.25,2.5\nAmplitude,3,4\n", "turned by 90 degrees"),
        ("Time (s),Amplitude\n00:01.250,3\n", "not a number"),
        ("Time (s),Amplitude\n1.25%,3\n", "not a number"),
        ("Time (ms),Amplitude\n1250 ms,3\n", "not a number"),
        ("Time (s),Time (ms)\n1.25,1250\n", "keep one"),
        ("Onset (s),Sweep\n1.25,Sweep 1\n", "not a number"),
        ("Time (s);Amp\nms;pA\n1250;3\n", "name different units"),
        ("onset_s,Amp\n(ms),pA\n1250,3\n", "name different units"),
        ("Time (samples),Amp\n12500,3\n", "unknown unit"),
        ("Time (s),Amp\nlate,3\n2.5,4\n", "'late' .line 2., not a number"),
        ("Time (s),Amp\n1.25,3\n?,4\n", "line 3"),
        ("onset_s,amp\n<<<<<<< mine\n0.5,1\n=======\n0.6,1\n>>>>>>> theirs\n", "both sides of a conflict"),
        ("onset_s,amp\n" + 9 * "0.5,1.250\n" + "0.6,1.2", "ends within its last number"),
        ('"onset_s" "amp"\n"1" 0.5 1\n', "spaces separate the columns"),
    ],
)
def test_doubtful_tables_are_refused_with_the_reason(text, message, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_events(path)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="not text"):
        read_events(tmp_path / "binary.csv")


@pytest.mark.parametrize(
    "text, onset_s",
    [
        ("Time (ms),Amplitude\n1250.5,3\n1250.5,5\n", [1.2505, 1.2505]),  # two events, or two opinions of one
        ("Time (ms),Amplitude\n1.25E+03,3\n# a remark\n2.5e3,4\n", [1.25, 2.5]),
        ("Time (ms),Amplitude\n1250,3\nTime (ms),Amplitude\n2500,4\n", [1.25, 2.5]),  # a heading on each page
        ('Onset (s),remark\n1.25,"two\nlines"\n2.5,x\n', [1.25, 2.5]),
        ("Onset (s),Amplitude\n", []),
        ("Time,Amp\n(ms),(pA)\n1250,3\n2500,4\n", [1.25, 2.5]),
        ("# Time (ms)\tAmp\n1250\t3\n2500\t4\n", [1.25, 2.5]),
        ("% a remark\nTime (ms),Amp\n1250,3\n% another\n2500,4\n", [1.25, 2.5]),
        ('Time (ms),Amp\n="1250.5",3\n="2500.5",4\n', [1.2505, 2.5005]),
        ("Time (ms);Amp\n1\N{FIGURE SPACE}250,5;3\n12\N{FIGURE SPACE}500,5;4\n", [1.2505, 12.5005]),
        ("Time (ms),Amp\n1250,\N{MINUS SIGN}3\n\N{EM DASH},\n", [1.25]),
        ('"onset_s" "amp"\n1.25 1\n2.5 1\n', [1.25, 2.5]),
        ("onset_s,amp\n" + "1.25,1.250\n2.5,1.250", [1.25, 2.5]),
    ],
)
def test_unusual_tables_are_read(text, onset_s, tmp_path):
    (tmp_path / "marks.csv").write_text(text, encoding="utf-8")
    np.testing.assert_allclose(read_events(tmp_path / "marks.csv")["onset_s"], onset_s)


@pytest.mark.parametrize(
    "heading",
    "t[ms] t_(ms) Zeit_(ms) Time/ms Time.ms Time..ms. Peak_time,_ms time_in_ms Time{ms} Time(ms)".split(),
)
def test_a_unit_is_found_however_it_is_written(heading):
    table = pandas.DataFrame({heading.replace("_", " "): ["1250.5"]})
    assert as_events(table)["onset_s"].tolist() == [1.2505]
    assert as_events(table.rename(columns=lambda name: f"\u200b{name} "))["onset_s"].tolist() == [1.2505]


@pytest.mark.parametrize("words", [["Mean", "SD"], ["average:", "S.E.M."], ["N", "Total"]])
@pytest.mark.parametrize("first", [["1", "2"], ["Event 1", "Event 2"], ["", ""]])
def test_statistics_beside_the_events_are_no_events_and_a_warning_names_them(words, first):
    cells = [*zip(first, ["1250", "2500"], strict=True), *zip(words, ["1875", "883.9"], strict=True)]
    with pytest.warns(UserWarning, match="2 of 4 lines .* line 2, 3.$"):
        events = as_events(pandas.DataFrame(cells, columns=["Event", "Time (ms)"]))
    assert events["onset_s"].tolist() == [1.25, 2.5]


def test_a_letter_of_the_user_is_no_statistic(recwarn):
    table = pandas.DataFrame({"good": ["y", "n", "n"], "Time (ms)": ["1", "2", "3"]})
    assert len(as_events(table)) == 3 and not recwarn.list


@pytest.mark.parametrize("note", [["max", "", ""], ["max", "min", "mean"]])
def test_a_word_in_a_column_of_remarks_is_no_statistic(note, recwarn):
    table = pandas.DataFrame({"note": note, "Time (ms)": ["1", "2", "3"], "decision": ["reject", "", ""]})
    assert len(as_events(table)) == 3 and not recwarn.list


@pytest.mark.parametrize("names", [["my decision"], ["Decision (accept/reject)"], ["decision", "Decision"]])
def test_decisions_under_another_name_are_refused(found, names):
    earlier = found.assign(**dict.fromkeys(names, "reject"))
    with pytest.raises(ValueError, match=r"call it 'decision'|keep one"):
        apply_decisions(found, earlier)


def test_a_line_with_numbers_but_no_time_is_named():
    with pytest.warns(UserWarning, match="line 1"):
        events = as_events(pandas.DataFrame({"Time (ms)": ["1250", ""], "Amplitude": ["-10", "-12"]}))
    assert len(events) == 1


@pytest.mark.parametrize("columns", ["", ",Amplitude", ",Amplitude,Sweep"])
def test_a_line_that_was_pasted_twice_is_one_event_and_a_warning_names_it(columns, tmp_path):
    path = tmp_path / "marks.csv"
    cells = ",3,1"[: 2 * columns.count(",")]
    lines = [f"Time (ms){columns}", f"1250.5{cells}", f"2500.5{cells}", f"1250.50{cells}", f"1251.5{cells}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.warns(UserWarning, match="1 of 4 lines .* line 4.$"):
        events = read_events(path)
    np.testing.assert_allclose(events["onset_s"], [1.2505, 1.2515, 2.5005])


def test_events_at_one_time_in_two_sweeps_or_with_two_decisions_stay(recwarn):
    table = pandas.DataFrame(dict(onset_s=[1.25, 1.25, 1.25], segment=[0, 1, 1], decision=["", "", "accept"]))
    assert len(as_events(table)) == 3 and not recwarn.list
    assert len(as_events(pandas.concat([table, table]))) == 3 and len(recwarn.list) == 1


def test_units_and_sums_around_the_events_are_no_events(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("Onset,onset_ms,Amp\n,ms,pA\n1,250.5,-10\n2,99.5,-8\nMean,,-9\n", encoding="utf-8")
    np.testing.assert_allclose(read_events(path)["onset_s"], [0.0995, 0.2505])


def test_a_segment_that_is_not_said_is_refused_where_there_are_several():
    table = pandas.DataFrame(dict(onset_s=[0.1, 0.2, 0.3], segment=[0, 1, np.nan], decision=["", "", "accept"]))
    recording = si.NumpyRecording([np.zeros((10_000, 1), "float32")] * 2, RATE)
    with pytest.raises(ValueError, match="to which segment"):
        segment_events(recording, corrections=table)
    with pytest.raises(ValueError, match="segment 2"):
        check_events_fit(pandas.DataFrame(dict(onset_s=[0.1], segment=[2])), recording)


def test_negative_times_are_refused_with_their_line(tmp_path):
    (tmp_path / "marks.csv").write_text("Time (ms),Amplitude\n20,1\n-500,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"1 of 2 events have a negative time .line 3: -0.5 s"):
        read_events(tmp_path / "marks.csv")


@pytest.mark.parametrize("text_format", [TextFormat(), TextFormat("utf-8", ";", ","), TextFormat("utf-8", "|", ".")])
def test_numbers_are_written_as_they_are_read(text_format, tmp_path):
    table = pandas.DataFrame({"onset_s": [12345.1234567, 86400.5], "snr": [1e-5, np.nan], "note": ["a.b", "1,5"]})
    save_events(table, tmp_path / "events.csv", text_format)
    again = read_events(tmp_path / "events.csv")
    np.testing.assert_array_equal(again["onset_s"], table["onset_s"])
    np.testing.assert_array_equal(again["snr"], table["snr"])
    assert again["note"].tolist() == table["note"].tolist()
