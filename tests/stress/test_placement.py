"""Templates at other places: values at contacts are exact, nothing is guessed, shanks stay apart."""

import numpy as np
import pytest

from si_deepsort.stress.placement import Crowd, Place, placed, possible_places

TEMPLATE = np.zeros((20, 8), "float32")
TEMPLATE[:, 2:5] = -np.hanning(20)[:, None] * np.array([3.0, 10.0, 4.0])
LINE = np.stack([np.zeros(8), 20.0 * np.arange(8)], axis=1)
ONE_SHANK, ALL = np.zeros(8, int), np.ones(8, bool)
STILL = np.zeros(1)


def at(channel, mirror=(1, 1), positions=LINE):
    return Place(channel=channel, mirror=mirror, offset_um=positions[channel] - positions[3] * mirror)


def test_a_shift_by_contacts_is_exact():
    moved = placed(TEMPLATE, LINE, at(5), LINE, ONE_SHANK, displacements_um=STILL)[0]
    np.testing.assert_array_equal(moved[:, 2:], TEMPLATE[:, :6])
    assert not moved[:, :2].any()


def test_a_mirror_image_is_exact():
    moved = placed(TEMPLATE, LINE, at(4, (1, -1)), LINE, ONE_SHANK, displacements_um=STILL)[0]
    np.testing.assert_array_equal(moved[:, 3:6], TEMPLATE[:, [4, 3, 2]])


def test_drift_by_a_contact_is_a_shift_and_by_half_a_contact_lies_between():
    moved = placed(TEMPLATE, LINE, at(3), LINE, ONE_SHANK, displacements_um=np.array([0.0, 10.0, 20.0]))
    np.testing.assert_array_equal(moved[0], TEMPLATE)
    np.testing.assert_allclose(moved[2][:, 1:], TEMPLATE[:, :-1], atol=1e-5)
    peak = np.abs(moved[1]).max(axis=0)
    assert 4.0 < peak[3] < 10.0 and 4.0 < peak[4] < 10.0


def test_other_shanks_see_nothing():
    shanks = np.repeat([0, 1], 4)
    moved = placed(TEMPLATE, LINE, at(3), LINE, shanks, displacements_um=STILL)[0]
    assert not moved[:, 4:].any() and moved[:, :4].any()


@pytest.mark.parametrize("num_channels", [1, 2])
def test_few_channels_will_do(num_channels):
    positions, template = LINE[:num_channels], TEMPLATE[:, 3 : 3 + num_channels]
    shanks, alive = np.zeros(num_channels, int), np.ones(num_channels, bool)
    for place in possible_places(template, positions, positions, shanks, alive):
        moved = placed(template, positions, place, positions, shanks, displacements_um=STILL)
        assert np.abs(moved[0, :, place.channel]).max() == pytest.approx(np.abs(template).max())


def test_contacts_at_one_place_will_do():
    positions = np.concatenate([LINE[:4], LINE[:4]])
    template = np.concatenate([TEMPLATE[:, 1:5], TEMPLATE[:, 1:5]], axis=1)
    place = Place(channel=2, mirror=(1, 1), offset_um=np.zeros(2))
    moved = placed(template, positions, place, positions, ONE_SHANK, displacements_um=STILL)[0]
    np.testing.assert_array_equal(moved, template)


def test_places_are_other_places_whose_surroundings_are_known():
    places = possible_places(TEMPLATE, LINE, LINE, ONE_SHANK, ALL)
    assert places
    for place in places:
        moved = placed(TEMPLATE, LINE, place, LINE, ONE_SHANK, displacements_um=STILL)[0]
        assert not np.array_equal(moved, TEMPLATE)
        # Only what lies beyond the end of the probe is lost.
        assert np.abs(moved).max() == np.abs(TEMPLATE).max()
        assert np.linalg.norm(moved) <= np.linalg.norm(TEMPLATE) + 1e-4


def test_dead_channels_are_never_main_channels():
    is_alive = np.arange(8) % 2 == 0
    assert all(is_alive[place.channel] for place in possible_places(TEMPLATE, LINE, LINE, ONE_SHANK, is_alive))


def test_an_irregular_probe_still_has_places():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 200, (8, 2))
    places = possible_places(TEMPLATE, positions, positions, ONE_SHANK, ALL)
    moved = placed(TEMPLATE, positions, places[0], positions, ONE_SHANK, displacements_um=STILL)[0]
    assert np.isfinite(moved).all() and moved.any()


def test_similarity_is_that_with_the_most_similar_unit_whatever_the_size():
    shifted = np.roll(TEMPLATE, 2, axis=1)
    crowd = Crowd(np.stack([TEMPLATE, shifted, np.roll(TEMPLATE, 4, axis=1)]))
    assert crowd.usual.max() < 1 and crowd.usual.min() >= 0
    assert crowd.similarity(7 * shifted) == pytest.approx(1.0)
    other = np.roll(TEMPLATE, 10, axis=0)
    before = crowd.similarity(other)
    crowd.add(other)
    assert before < 0.9 and crowd.similarity(other) == pytest.approx(1.0) and len(crowd.usual) == 3


def test_one_unit_has_no_usual_similarity():
    assert len(Crowd(TEMPLATE[None]).usual) == 0 and len(Crowd(np.zeros((0, 20, 8), "float32")).usual) == 0
