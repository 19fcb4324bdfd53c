"""White traces and their peaks: what the log says of peaks that are too large."""

import numpy as np
import pytest

from si_deepsort.sorter.prepare import tell_large_peaks


@pytest.mark.parametrize("large, is_told", [(0, False), (1, False), (20, True), (100, True)])
def test_peaks_that_are_too_large_to_be_matched_are_told_if_they_are_many(caplog, large, is_told):
    sizes = np.full(100, 20.0)
    sizes[:large] = -500.0
    tell_large_peaks(sizes)
    assert ("exceed 250 noise levels" in caplog.text) == is_told


def test_no_peaks_are_no_large_peaks(caplog):
    tell_large_peaks(np.zeros(0))
    assert not caplog.text
