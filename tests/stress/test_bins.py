"""Scores in bins: intervals hold the truth, few units prove little, and the regression follows the data."""

import numpy as np
import pandas as pd
import pytest

from si_deepsort.stress import StressTest
from si_deepsort.stress.bins import RecallCurve, bin_edges, depth_edges, mean_interval, scores_by, scores_of


def units(snr, recall, rate=2.0):
    snr, recall = np.asarray(snr, float), np.asarray(recall, float)
    precision = np.where(recall > 0.5, recall, np.nan)
    return pd.DataFrame(
        dict(
            sorter="one",
            snr=snr,
            firing_rate=rate,
            depth_um=0.0,
            recall=recall,
            precision=precision,
            is_found=recall > 0.5,
        )
    )


def test_edges_hold_all_values():
    assert bin_edges(np.array([2.0, 30.0]), (3.0, 5.0, 20.0))[[0, -1]].tolist()[0] == 2.0
    assert bin_edges(np.array([2.0, 30.0]), (3.0, 5.0, 20.0))[-1] > 30.0
    assert len(depth_edges(np.full(4, 10.0))) == 2
    table = scores_by(units([3, 4, 30], [1, 0, 1]), "snr", bin_edges(np.array([3.0, 30.0]), (3.0, 5.0, 20.0)))
    assert table["num_units"].sum() == 3


def test_intervals_hold_their_value_and_narrow_with_more_units():
    few, many = (scores_of(units(np.full(n, 5.0), np.arange(n) % 4 > 0)) for n in (8, 400))
    for scores in (few, many):
        for name in ("detection", "recall", "precision"):
            assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"]
    assert many["recall_high"] - many["recall_low"] < (few["recall_high"] - few["recall_low"]) / 3


def test_equal_values_do_not_prove_that_all_are():
    low, high = mean_interval(np.ones(4))
    assert low < 0.7 and high == 1.0
    assert mean_interval(np.ones(500))[0] > 0.98


def test_precision_of_nothing_found_is_unknown():
    scores = scores_of(units([4, 4], [0, 0]))
    assert np.isnan(scores["precision"]) and scores["detection"] == 0.0 and scores["detection_high"] > 0.3


def test_expected_recall_rises_with_snr_where_the_data_do():
    rng = np.random.default_rng(0)
    snr = np.exp(rng.uniform(np.log(3), np.log(20), 200))
    recall = (rng.random(200) < 1 / (1 + np.exp(-3 * (snr - 6)))).astype(float)
    expected = RecallCurve.fit(units(snr, recall)).at(np.array([3.5, 6.0, 15.0]), np.full(3, 2.0))
    assert expected[0] < 0.2 < expected[1] < 0.8 < expected[2]


def test_few_units_do_not_flatten_the_rise_and_many_are_believed():
    rng = np.random.default_rng(0)
    wanted = np.array([3.0, 5.0, 12.0])
    few = RecallCurve.fit(units([3.5, 4.5, 9.0, 15.0], [0, 1, 1, 1])).at(wanted, np.full(3, 2.0))
    assert few[0] < 0.6 and few[2] > 0.97 and (np.diff(few) > 0).all()
    snr = np.exp(rng.uniform(np.log(3), np.log(20), 4000))
    flat = (rng.random(4000) < 0.5).astype(float)
    assert RecallCurve.fit(units(snr, flat)).at(wanted, np.full(3, 2.0)) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_expected_recall_where_all_are_alike(value):
    assert (RecallCurve.fit(units([4, 8, 12], [value] * 3)).at(np.array([5.0]), np.array([1.0])) == value).all()


def test_bounds_of_the_expected_recall_narrow_with_more_units():
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 400):
        snr = np.exp(rng.uniform(np.log(3), np.log(20), count))
        recall = (rng.random(count) < 1 / (1 + np.exp(-3 * (snr - 6)))).astype(float)
        test = StressTest(units=units(snr, recall), runs=pd.DataFrame(), facts=dict(sorters=["one"]))
        wanted, rates = np.array([4.0, 6.0, 8.0]), np.full(3, 2.0)
        low, high = test.expected_recall_bounds(wanted, rates)
        expected = test.expected_recall(wanted, rates)
        assert (low <= expected).all() and (expected <= high).all() and (low >= 0).all() and (high <= 1).all()
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 2
    test = StressTest(units=units([4, 8, 12], [1.0] * 3), runs=pd.DataFrame(), facts=dict(sorters=["one"]))
    assert test.expected_recall_bounds(np.array([5.0]), np.array([2.0]))[0] < 0.7, "three units prove little"


def test_sizes_that_were_not_tested_have_wide_intervals():
    snr = np.linspace(6, 12, 30)
    test = StressTest(units=units(snr, np.ones(30)), runs=pd.DataFrame(), facts=dict(sorters=["one"]))
    low, high = test.expected_recall_bounds(np.array([3.0, 8.0, 30.0]), np.full(3, 2.0))
    assert low[0] == 0 and low[1] > 0.8, "nothing is known of smaller units"
    assert low[2] > 0.8 and high[2] == 1
