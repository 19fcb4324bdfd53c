"""Tables of corrections: what is one."""

import pandas
import pytest

from si_deepsort.events.columns import as_events
from si_deepsort.events.decisions import check_has_corrections


@pytest.mark.parametrize(
    ("columns", "is_refused"),
    [
        ({"V (mV)": ["0.1", "0.2"]}, True),
        ({"V (mV)": ["-1.5e-05", "NaN"]}, True),
        ({"2": ["3e", "1"]}, False),
        ({}, True),
        ({"V (mV)": ["0.1", "0.2"], "decision": ["", ""]}, False),
        ({"note": ["", "small"]}, False),
        ({"amplitude": ["1", "2"]}, False),
    ],
)
def test_a_table_without_decisions_and_words_is_no_table_of_corrections(columns, is_refused):
    table = as_events(pandas.DataFrame({"time (s)": ["0.1", "0.2"], **columns}))
    if not is_refused:
        check_has_corrections(table, "trace.csv")
        return
    with pytest.raises(ValueError, match=r"trace.csv holds no corrections.*'decision'"):
        check_has_corrections(table, "trace.csv")
