"""Separators of columns: those that are read, and what is said of others."""

import numpy as np
import pytest

from si_deepsort.events.tables import read_events


@pytest.mark.parametrize(
    "text",
    [
        "onset_s|end_s\n0.5|0.6\n1|1.1\n",
        "Onset (ms) | End (ms)\n500 | 600\n1000 | 1100\n",
        "| onset_s | end_s |\n|:---|---:|\n| 0,5 | 0,6 |\n| 1,0 | 1,1 |\n",
    ],
)
def test_vertical_bars_separate_columns(text, tmp_path):
    (tmp_path / "marks.csv").write_text(text)
    events = read_events(tmp_path / "marks.csv")
    np.testing.assert_allclose(events[["onset_s", "end_s"]], [[0.5, 0.6], [1.0, 1.1]])


@pytest.mark.parametrize("heading", ["onset_s   end_s", "Time (ms)   Amplitude (mV)", "onset_s end_s"])
def test_columns_aligned_with_spaces_are_refused_and_the_separators_are_named(heading, tmp_path):
    (tmp_path / "marks.csv").write_text(f"{heading}\n500.5   600.1\n1000.0  1100.2\n")
    with pytest.raises(ValueError, match=r"spaces separate the columns.*a comma, a semicolon, a tab or"):
        read_events(tmp_path / "marks.csv")
