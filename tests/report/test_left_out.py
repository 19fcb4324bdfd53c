"""Units that were left out: the report tells them, largest first, and names those that may be lost neurons."""

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, small_recording

from si_deepsort.report import write_report
from si_deepsort.report.left_out import (
    ADVICE,
    LARGE_SNR,
    MANY_SPIKES,
    MOST_ROWS,
    large_left_out_units,
    left_out_item,
    left_out_section,
    left_out_units,
)
from si_deepsort.sorter.units import dropped


def table(*rows) -> pd.DataFrame:
    """Rows are (SNR, spikes, reason)."""
    columns = ["snr", "num_spikes", "reason"]
    return pd.DataFrame(rows, columns=columns).assign(main_channel_id="<ch>", depth_um=20.0)


def annotated(left_out: pd.DataFrame) -> si.BaseSorting:
    sorting = si.NumpySorting.from_unit_dict([{0: np.array([5])}], SAMPLING_FREQUENCY)
    sorting.annotate(dropped_units=left_out.to_dict(orient="list"))
    return sorting


def test_every_reason_of_the_sorter_has_advice():
    reasons = {value for name, value in vars(dropped).items() if name.isupper()}
    assert reasons == set(ADVICE)


def test_only_large_units_that_were_not_merged_are_named():
    left_out = table(
        (LARGE_SNR, MANY_SPIKES, dropped.RARE),
        (LARGE_SNR - 0.1, 1000, dropped.COLLISION),
        (50.0, MANY_SPIKES - 1, dropped.FEW_SPIKES),
        (50.0, 1000, dropped.MERGED),
    )
    assert list(large_left_out_units(left_out).index) == [0]
    assert "SNR 8.0" in left_out_item(left_out) and dropped.RARE in left_out_item(left_out)
    assert left_out_item(left_out[1:]) == ""


@pytest.mark.parametrize("annotation", [None, "text", {"snr": [1.0]}])
def test_sortings_of_other_sorters_say_nothing(annotation):
    sorting = si.NumpySorting.from_unit_dict([{0: np.array([5])}], SAMPLING_FREQUENCY)
    if annotation is not None:
        sorting.annotate(dropped_units=annotation)
    assert left_out_units(sorting) is None


def test_the_annotation_is_read_after_saving_the_largest_first(tmp_path):
    saved = annotated(table((3.0, 10, dropped.SMALL), (9.0, 20, dropped.FEW_SPIKES))).save(folder=tmp_path / "sorting")
    for sorting in (saved, si.load(tmp_path / "sorting"), saved.select_units([0])):
        assert list(left_out_units(sorting)["snr"]) == [9.0, 3.0]


def test_text_is_escaped_and_a_long_table_is_cut_with_a_word():
    page = left_out_section(table(*[(9.0, 40, "<b>")] * (MOST_ROWS + 1)))
    assert "<b>" not in page and "<ch>" not in page
    assert page.count("<tr>") == MOST_ROWS and "dropped.csv has all" in page
    assert "every unit that was found is in the result" in left_out_section(table())


@pytest.mark.slow
@pytest.mark.parametrize("has_units", [True, False])
def test_the_page_has_the_section_also_without_units(tmp_path, has_units):
    recording, truth = small_recording(tmp_path / "recording", duration_s=3.0)
    sorting = truth if has_units else si.NumpySorting.from_unit_dict([{}], SAMPLING_FREQUENCY)
    sorting.annotate(dropped_units=table((12.0, 100, dropped.COLLISION)).to_dict(orient="list"))
    text = write_report(sorting, recording, tmp_path / "report").read_text(encoding="utf-8")
    assert "<h2>Units that were left out</h2>" in text and "Large units left out: 1." in text
    assert text.count('href="#left-out"') == text.count('id="left-out"') == 1
