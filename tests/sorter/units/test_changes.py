"""Parts of a neuron whose spikes change slowly are told from two neurons by the spikes where one follows the other."""

import numpy as np
import pytest

from si_deepsort.sorter.units.changes import change_is_slow, take_turns, without_delays
from si_deepsort.sorter.units.spike_features import SpikeFeatures

SEPARATION = 2.7
FEATURES = 40


def is_slow(positions, is_first, *, beside=None, seed=0):
    """Spikes at positions along the first feature (and along the second), with noise in all features."""
    spikes = np.random.default_rng(seed).normal(size=(len(positions), FEATURES))
    spikes[:, 0] += positions
    if beside is not None:
        spikes[:, 1] += beside
    return change_is_slow(spikes, is_first if is_first is not None else spikes[:, 0] > 0, merge_separation=SEPARATION)


def in_turns(num_spikes, seed, share=0.45):
    """Which of the spikes are those of a neuron that has times when it hardly fires."""
    rng = np.random.default_rng(seed)
    return rng.random(num_spikes) < 0.5 + share * np.cos(np.linspace(0, 2 * np.pi, num_spikes))


@pytest.mark.parametrize("distance", [6.0, 15.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_neuron_that_changes_slowly_is_one(distance, seed):
    change = distance * 0.65 * np.cos(np.linspace(0, 6 * np.pi, 600))
    assert is_slow(change, None, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_parts_that_differ_far_less_where_they_meet_than_on_average_are_one(seed):
    """Each part has a template of its own, so that a step remains where one follows the other."""
    change = 20 * np.cos(np.linspace(0, 6 * np.pi, 600))
    is_first = change + np.random.default_rng(seed).normal(size=600) > 0
    assert is_slow(change, is_first, beside=np.where(is_first, 3.5, -3.5), seed=seed)
    assert not is_slow(change, is_first, beside=np.where(is_first, 20.0, -20.0), seed=seed)


@pytest.mark.parametrize("distance", [4.0, 6.0, 15.0])
@pytest.mark.parametrize("num_spikes", [40, 300])
@pytest.mark.parametrize("seed", range(5))
def test_two_neurons_that_take_turns_are_two(distance, num_spikes, seed):
    is_first = in_turns(num_spikes, seed)
    assert not is_slow(np.where(is_first, distance / 2, -distance / 2), is_first, seed=seed)


def test_one_neuron_that_stops_as_another_begins_makes_two():
    is_first = np.arange(100) < 50
    assert not is_slow(np.where(is_first, 5.0, -5.0), is_first)
    assert not is_slow(np.zeros(10), np.ones(10, dtype=bool)), "nothing follows anything"


@pytest.mark.parametrize("seed", range(3))
def test_two_neurons_that_change_together_are_two(seed):
    """Drift moves both; where one follows the other, they differ in another way than on average."""
    is_first = in_turns(400, seed)
    drift = 4 * np.sin(np.linspace(0, 2 * np.pi, 400))
    assert not is_slow(drift + np.where(is_first, 3.0, -3.0), is_first, seed=seed)
    time = np.linspace(1, -1, 400)
    early = np.random.default_rng(seed).random(400) < 1 / (1 + np.exp(-10 * time))
    assert not is_slow(10 * time, early, beside=np.where(early, 4.0, -4.0), seed=seed)


@pytest.mark.parametrize("dip", [0.4, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_two_neurons_whose_gain_is_low_where_they_meet_are_two(dip, seed):
    is_first = in_turns(400, seed)
    gain = 1 - (1 - dip) * np.abs(np.sin(np.linspace(0, 2 * np.pi, 400)))
    assert not is_slow(np.where(is_first, 6.0, -6.0) * gain, is_first, seed=seed)


@pytest.mark.parametrize("extra", [0, 1])
def test_both_orders_must_be_close(extra):
    """One neuron shrinks in bursts to the size of another one, which fires after each burst."""
    burst = np.concatenate([np.linspace(8, 1.5, 5), [0.0]])
    positions = np.concatenate([np.tile(burst, 40), burst[: 5 * extra]])
    is_first = np.concatenate([np.tile(np.arange(6) < 5, 40), np.ones(5 * extra, dtype=bool)])
    assert not is_slow(positions, is_first)


def test_trains_that_take_turns():
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(10**6, 400, replace=False))
    assert take_turns(times[:200], times[200:]) and take_turns(times[200:], times[:200])
    found = [take_turns(np.sort(times[own]), np.sort(times[~own])) for own in rng.random((200, 400)) < 0.5]
    assert np.mean(found) < 0.02, "chance alone"
    assert not take_turns(times[::2], times[1::2]), "they alternate"
    assert not take_turns(times, np.zeros(0, dtype=int))
    assert not take_turns(times[:1], times[1:2])


@pytest.mark.parametrize("delay", [0.3, 0.5])
def test_what_a_delay_changes_is_left_out_and_a_change_of_shape_stays(delay):
    """The two parts of a neuron have spike times of their own, which differ by part of a sample."""
    times, rng = np.arange(60.0), np.random.default_rng(0)

    def waveforms(time, width, count=60):
        shape = np.exp(-(((times - time) / width) ** 2)) - 0.5 * np.exp(-(((times - time - 8) / 9) ** 2))
        return 60 * np.stack([shape, 0.5 * shape], axis=1) + rng.normal(size=(count, 60, 2))

    def distance(spikes, others):
        return np.linalg.norm(spikes.mean(axis=0) - others.mean(axis=0))

    def before_and_after(first, second):
        coefficients = np.concatenate([first, second]).astype("float32")
        positions = [np.arange(len(first)), len(first) + np.arange(len(second))]
        energies = np.stack([np.sum(part.mean(axis=0) ** 2, axis=0) for part in (first, second)])
        everywhere = np.tile(np.arange(2), (2, 1))
        features = SpikeFeatures(
            coefficients, positions, np.arange(len(coefficients)), everywhere, energies, np.eye(60, dtype="float32")
        )
        pair = features.of_pair(0, 1, 0)
        return distance(*pair), distance(*without_delays(features, *pair))

    before, after = before_and_after(waveforms(25.0, 4.0), waveforms(25.0 + delay, 4.0))
    noise = np.sqrt(2 * 120 / 60)
    assert before > 2 * noise and after < 1.5 * noise
    before, after = before_and_after(waveforms(25.0, 4.0), waveforms(25.0, 5.0))
    assert after > 0.8 * before > 2 * noise
