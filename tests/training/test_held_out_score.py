"""The verdict agrees with the numbers that are shown, whichever direction is better."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from si_deepsort.training.held_out_score import HeldOutScore

NUMBERS = st.floats(min_value=-10.0, max_value=10.0)


def score(value, default, higher_is_better=True):
    return HeldOutScore(
        measure="F1", value=value, default=default, default_name="energy alone", higher_is_better=higher_is_better
    )


@pytest.mark.parametrize("higher_is_better", [True, False])
@given(value=NUMBERS, default=NUMBERS)
def test_the_verdict_turns_with_the_two_numbers_and_with_the_direction(value, default, higher_is_better):
    opposite = {"better": "worse", "worse": "better", "as good": "as good"}
    verdict = score(value, default, higher_is_better).verdict
    assert score(default, value, higher_is_better).verdict == opposite[verdict]
    assert score(value, default, not higher_is_better).verdict == opposite[verdict]


@given(value=NUMBERS, default=NUMBERS)
def test_it_is_as_good_where_a_reader_sees_no_difference(value, default):
    text = str(score(value, default))
    shown, other = text.split()[1].rstrip(","), text.split()[-1]
    assert ("as good as" in text) == (shown == other)
    assert "energy alone" in text


def test_nothing_with_and_without_a_sign_is_the_same():
    assert score(0.0, -0.0).verdict == "as good" and "-0" not in str(score(0.0, -0.0))


def test_a_loss_is_better_if_it_is_lower():
    assert "better than the simple method" in str(score(0.5, 1.0, higher_is_better=False))
    assert "lower is better" in str(score(0.5, 1.0, higher_is_better=False))
