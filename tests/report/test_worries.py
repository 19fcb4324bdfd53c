"""Checks: each finds the units that it is for, the gravest first, and says nothing of good ones."""

import numpy as np
import pandas as pd
import pytest

from si_deepsort.report.worries import find_worries

GOOD = dict(rp_contamination=0.0, amplitude_cutoff=0.01, presence_ratio=1.0, snr=12.0, num_spikes=1000)


def metrics(**of_second):
    return pd.DataFrame([GOOD, {**GOOD, **of_second}], index=["a", "b"])


def test_good_units_are_no_worry():
    assert find_worries(metrics(), np.eye(2)) == []


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"rp_contamination": 0.5}, "contaminated"),
        ({"amplitude_cutoff": 0.4}, "spikes missing"),
        ({"presence_ratio": 0.2}, "not always present"),
        ({"snr": 3.0}, "small"),
        ({"num_spikes": 5}, "few spikes"),
    ],
)
def test_a_bad_unit_is_named(change, label):
    (found,) = find_worries(metrics(**change), np.eye(2))
    assert found.label == label and found.unit_ids == ("b",)


@pytest.mark.parametrize("label", ["noise", "multi-unit", "fragment"])
def test_a_unit_that_is_judged_bad_comes_first(label):
    expected = pd.DataFrame({"label": ["good", label]})
    found = find_worries(metrics(snr=3.0), np.eye(2), expected)
    assert [worry.label for worry in found] == [label, "small"] and found[0].unit_ids == ("b",)


def test_what_could_not_be_measured_is_no_worry():
    assert find_worries(metrics(rp_contamination=np.nan, amplitude_cutoff=np.nan), np.eye(2)) == []


def test_similar_units_are_named_both_and_the_matrix_is_left_alone():
    similarity = np.array([[1.0, 0.95], [0.95, 1.0]])
    found = find_worries(metrics(rp_contamination=0.5), similarity)
    assert [worry.label for worry in found] == ["contaminated", "similar to another"]
    assert found[1].unit_ids == ("a", "b") and similarity[0, 0] == 1
