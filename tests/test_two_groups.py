"""The split of sorted numbers is the one with the least spread within the two groups."""

import numpy as np
import pytest

from si_deepsort.two_groups import most_compact_split


@pytest.mark.parametrize("fewest", [1, 5])
def test_the_spread_within_the_groups_is_smallest(fewest):
    ordered = np.sort(np.random.default_rng(0).gamma(2.0, size=60))

    def spread(split):
        return sum(((group - group.mean()) ** 2).sum() for group in (ordered[:split], ordered[split:]))

    allowed = range(fewest, len(ordered) - fewest + 1)
    assert most_compact_split(ordered, fewest=fewest) == min(allowed, key=spread)


def test_two_values_are_two_groups():
    assert most_compact_split(np.array([1.0, 2.0])) == 1
