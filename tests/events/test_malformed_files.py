"""Mark tables and traces as programs and people write them: the right numbers or an error, never others."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from si_deepsort.events.tables import read_events
from si_deepsort.events.traces import read_trace, scaled_traces, unit_of

# One hundred variants of each kind of file; the same ones in every run.
MANY = settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HEADINGS = {
    "s": ["onset_s", "Onset (s)", "Time (s)", "time [s]", "Event Start Time (s)", "TIME_S", "Onset time (sec)"],
    "ms": ["onset_ms", "Time (ms)", "Event Start Time (ms)", "Time of Peak (ms)", "time [msec]", "Start (ms)"],
    "us": ["Time (us)", "Time (\N{MICRO SIGN}s)", "Onset (\N{GREEK SMALL LETTER MU}s)"],
}
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]
# What people and programs break.
FAULTS = ["none", "point and comma mixed", "cell is text", "extra cell", "other delimiter in a row", "no heading"]
TRACE_FAULTS = [*FAULTS, "lines are missing", "goes back", "NaN in the times", "one column"]
HEADS = ["", "sep={}\n", "Events of cell 3\n\n", 'ATF\t1.0\n1\t3\n"Comment=x"\n']
NAMES = [["time ({})", "I (pA)"], ["Time_{}", "I [pA]"], ["Time", "I (pA)"], ["t", "I (pA)"], [], ["a", "b"]]
STYLES = [(",", ".", ""), (";", ",", "."), ("\t", ".", ","), (";", ",", "")]


def written(value, decimals, decimal, thousands):
    """A number with a decimal mark and groups of thousands."""
    text = f"{value:,.{decimals}f}" if thousands else f"{value:.{decimals}f}"
    return text.translate(str.maketrans({",": thousands or "", ".": decimal}))


@st.composite
def number_styles(draw, delimiters=("\t", ";", ",")):
    delimiter = draw(st.sampled_from(delimiters))
    decimal = draw(st.sampled_from([".", ","]))
    thousands = draw(st.sampled_from(["", "", ".", ",", " ", "'"]))
    return delimiter, decimal, "" if thousands == decimal else thousands


def joined(rows, delimiter, newline, quotes):
    def cell(text):
        return f'"{text}"' if quotes or (delimiter in text and delimiter != "\t") else text

    return newline.join(delimiter.join(map(cell, row)) for row in rows) + newline


def break_table(rows, fault, delimiter, decimal, row):
    """Rows with a fault; whatever is read from them must be the truth or an error."""
    row = 1 + row % (len(rows) - 1)
    if fault == "point and comma mixed" and len(rows) > 2:
        other = "," if decimal == "." else "."
        rows[row] = [cell.replace(decimal, other) if cell.count(decimal) == 1 else cell for cell in rows[row]]
    elif fault == "cell is text":
        rows[row][0] += " ms?"
    elif fault == "extra cell":
        rows[row].append("1")
    elif fault == "no heading":
        del rows[0]
    return rows


@MANY
@given(data=st.data())
def test_tables_of_marks_are_right_or_refused(data, tmp_path):
    draw = data.draw
    delimiter, decimal, thousands = draw(number_styles())
    unit = draw(st.sampled_from(sorted(HEADINGS)))
    count = draw(st.integers(1, 8))
    onset_s = np.sort(draw(st.lists(st.floats(0.0, 5000.0), min_size=count, max_size=count)))
    decimals = draw(st.integers(0, 5))
    values = np.round(onset_s * PER_SECOND[unit], decimals)
    assume(len(set(values)) == count)  # a line that repeats another one is a case of its own
    columns = draw(st.integers(1, 4))
    fault = draw(st.sampled_from(FAULTS))
    rows = [[draw(st.sampled_from(HEADINGS[unit])), "Amplitude", "Note", "Baseline"][:columns]]
    amplitudes = draw(st.lists(st.floats(-40, -5), min_size=count, max_size=count))
    for value, amplitude in zip(values, amplitudes, strict=True):
        cells = [written(value, decimals, decimal, thousands), written(amplitude, 2, decimal, ""), "a note", "0"]
        rows.append(cells[:columns])
    if fault == "extra cell" and columns == 1 and delimiter == ",":
        fault = "none"  # "349,1" in a single column is a number with a decimal comma
    rows = break_table(rows, fault, delimiter, decimal, draw(st.integers(0, 7)))
    head = draw(st.sampled_from(HEADS)).format(delimiter)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    quotes = draw(st.booleans())
    if fault == "other delimiter in a row" and len(rows) > 1:
        other = ";" if delimiter != ";" else ","
        text = joined(rows[:-1], delimiter, newline, quotes) + joined(rows[-1:], other, newline, False)
    else:
        # A table whose decimal commas are not quoted, as some programs write them: columns cannot be told apart.
        hides_commas = delimiter == "," and draw(st.booleans())
        text = joined(rows, delimiter, newline, quotes and not hides_commas)
        text = text.replace('"', "") if hides_commas else text
    path = tmp_path / "marks.csv"
    path.write_bytes((head.replace("\n", newline) + text).encode(draw(st.sampled_from(ENCODINGS)), "replace"))
    try:
        found = read_events(path)
    except ValueError:
        return
    np.testing.assert_allclose(np.sort(found["onset_s"]), np.sort(values) / PER_SECOND[unit], atol=1e-9)


@MANY
@given(data=st.data())
def test_traces_of_text_are_right_or_refused(data, tmp_path):
    draw = data.draw
    delimiter, decimal, thousands = draw(number_styles(("\t", ";", ",", " ")))
    thousands = "" if delimiter == " " else thousands
    unit = draw(st.sampled_from(["s", "ms", "us"]))
    rate = draw(st.sampled_from([1000.0, 5000.0, 10_000.0, 20_000.0, 24_414.0625, 50_000.0, 1e6 / 99]))
    num_frames = draw(st.integers(2, 1500))
    start_s = draw(st.sampled_from([0.0, 0.0, 100.0]))
    times = (start_s + np.arange(num_frames) / rate) * PER_SECOND[unit]
    trace = np.round(np.random.default_rng(draw(st.integers(0, 99))).normal(-60, 3, num_frames), 4)
    decimals = draw(st.integers(0, 9))
    names = [name.format(unit) for name in draw(st.sampled_from(NAMES))]
    cells = [[written(t, decimals, decimal, thousands) for t in times], [written(x, 4, decimal, "") for x in trace]]
    fault, row = draw(st.sampled_from(TRACE_FAULTS)), draw(st.integers(0, 99))
    rows = [names, *map(list, zip(*cells, strict=True))]
    rows = break_table(rows, fault if fault != "no heading" else "none", delimiter, decimal, row)[1:]
    if fault == "lines are missing":
        rows = [*rows[: num_frames // 3], *rows[num_frames // 2 :]]
    elif fault == "goes back":
        rows = [*rows, *rows]
    elif fault == "NaN in the times":
        rows[len(rows) // 2][0] = "NaN"
    elif fault == "one column":
        rows, names = [[row[1]] for row in rows], names[1:]
    is_quoted = draw(st.booleans())
    text = joined([names, *rows] if names else rows, delimiter, "\n", False)
    text = text if is_quoted else text.replace('"', "")
    path = tmp_path / f"trace.{draw(st.sampled_from(['csv', 'CSV', 'txt', 'TSV']))}"
    path.write_bytes(text.encode(draw(st.sampled_from(ENCODINGS)), "replace"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            recording = read_trace(path)
    except ValueError:
        return
    assert recording.get_num_channels() == 1
    assert recording.get_sampling_frequency() == pytest.approx(rate, rel=3e-3)
    np.testing.assert_allclose(scaled_traces(recording, 0, 0, num_frames), trace.astype("float32"), rtol=1e-6)
    assert unit_of(recording) == ("pA" if names else "a.u.")


@pytest.mark.parametrize("unit", sorted(HEADINGS))
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter, decimal, thousands", STYLES)
def test_usual_tables_are_read(unit, encoding, delimiter, decimal, thousands, tmp_path):
    onset_s = np.array([0.34948, 0.42551, 1.46944, 2375.5712])
    for heading in HEADINGS[unit]:
        if encoding == "cp1252" and "\N{GREEK SMALL LETTER MU}" in heading:
            continue
        rows = [[heading, "Amplitude"]]
        rows += [[written(v * PER_SECOND[unit], 2 if unit == "ms" else 5, decimal, thousands), "-10"] for v in onset_s]
        path = tmp_path / "marks.txt"
        path.write_bytes(joined(rows, delimiter, "\r\n", False).encode(encoding))
        np.testing.assert_allclose(read_events(path)["onset_s"], onset_s, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "Time (s)\n0.828\n1'638\n2.212\n",  # an apostrophe where the others have a point
        "Time (s)\n0,933\n3,057\n3 078\n",
        "onset_ms\tAmplitude\n0.000\t-5\n1,000.000\t-5\n1,000,000\t-5\n",
        "Time (s);Amplitude\n170.518;-38.43\n1777'277;-16.9\n3279.325;-28.6\n",
        "Time (ms);Amplitude\n1161,6;-33,36\n1753;6,-26,30\n1636,9;-20,79\n",  # a cell ends too early
        "time [s]\tAmplitude\n0,747\t-10,34\n2\t774;-19,80\n",
        '"onset_ms","Amplitude"\n"790470.5","-6.78,\n"998949.5"."-22.74"\n"1120482.3","-16.29"\n',  # an open quote
        '"Time (ms)"\n"77099"654.\n"84829.676"\n',
    ],
)
def test_one_wrong_mark_among_numbers_is_refused(text, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read as a table of events"):
        read_events(path)


@pytest.mark.parametrize("mark", [" ", "'", ","])
def test_separators_of_thousands_are_read_where_all_numbers_have_decimals(mark, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text(f"Time (ms);n\n828.50;1\n1{mark}638.25;1\n1{mark}234{mark}567.00;1\n", encoding="utf-8")
    np.testing.assert_allclose(read_events(path)["onset_s"], [0.8285, 1.63825, 1234.567])
