"""What a large spike makes of the matches around it is subtracted: smaller spikes are found, its humps are not."""

import numpy as np
import pytest

from si_deepsort.detection.candidates import CandidateFinder
from si_deepsort.detection.energy import make_energy_filters, spike_energy, spike_matches
from si_deepsort.detection.typical_waveform import make_typical_filters
from si_deepsort.preprocessing.whitening import Whitening

FREQUENCY, NUM_CHANNELS, SPACING = 30_000.0, 6, 1500
LARGE, HUMP, SMALL = 40.0, 8.0, 9.0
# Frames after the large spike, beyond the time in which one peak alone is kept: of its hump, and of a smaller spike.
HUMP_LAG, SMALL_LAG = 36, 24


def new_finder(sample=None):
    locations = np.column_stack([np.zeros(NUM_CHANNELS), 40.0 * np.arange(NUM_CHANNELS)])
    whitening = Whitening.identity(NUM_CHANNELS)
    energy = make_energy_filters(whitening, locations, sampling_frequency=FREQUENCY)
    none = np.zeros((0, NUM_CHANNELS), dtype="float32")
    filters = make_typical_filters(none, CandidateFinder(energy, locations, FREQUENCY), whitening, locations, FREQUENCY)
    finder = CandidateFinder(filters, locations, FREQUENCY)
    if sample is not None:
        finder.learn_responses(sample)
    return finder


@pytest.fixture(scope="module")
def scene():
    """White traces, and the frames of large spikes with a hump on channel 2; a fifth have a smaller one beside them."""
    waveform = new_finder().filters.directions[0]
    nbefore, rng = new_finder().filters.nbefore, np.random.default_rng(0)
    frames = np.arange(SPACING, 100 * SPACING, SPACING)
    traces = rng.standard_normal((101 * SPACING, NUM_CHANNELS)).astype("float32")
    for number, frame in enumerate(frames):
        for lag, size, channel in ((0, LARGE, 2), (HUMP_LAG, HUMP, 2), (SMALL_LAG, SMALL * (number % 5 == 0), 4)):
            start = frame + lag - nbefore
            traces[start : start + len(waveform), channel] += size * waveform
    return traces, frames


def found_at(finder, traces, frames, channel):
    found = finder.find(traces, threshold=5.0, margin=finder.margin)
    own = found.frames[found.channels == channel]
    return np.array([np.any(np.abs(own - frame) <= 3) for frame in frames])


def test_humps_are_no_candidates_and_smaller_spikes_beside_are(scene):
    traces, frames = scene
    finder = new_finder(traces)
    assert found_at(finder, traces, frames, 2).all()
    assert found_at(new_finder(), traces, frames + HUMP_LAG, 2).mean() > 0.9
    assert found_at(finder, traces, frames + HUMP_LAG, 2).mean() < 0.1
    assert found_at(finder, traces, frames[::5] + SMALL_LAG, 4).mean() > 0.9


def test_both_matches_give_what_the_largest_is_made_of(scene):
    traces, finder = scene[0][:20_001], new_finder()
    found = spike_matches(traces, finder.filters, finder.stride)
    np.testing.assert_array_equal(finder._matches(found), spike_energy(traces, finder.filters, finder.stride))


def test_without_large_spikes_nothing_changes():
    noise = np.random.default_rng(0).standard_normal((30_000, NUM_CHANNELS)).astype("float32")
    before, after = new_finder(), new_finder(noise)
    assert not after.responses.values.any()
    expected, found = (one.find(noise, threshold=2.5, margin=after.margin) for one in (before, after))
    assert len(found) > 100
    for name in ("frames", "channels", "sizes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_channels_with_few_spikes_take_over_what_others_show(scene):
    traces, _ = scene
    values = new_finder(traces).responses.values
    own, other = values[2, 2, 0], values[4, 4 - 1, 0]  # the channel itself, in the lists of both
    assert own.max() == pytest.approx(1.0, abs=0.2) and np.corrcoef(own, other)[0, 1] > 0.95


@pytest.mark.parametrize("num_frames", [0, 10, 200])
def test_short_traces(scene, num_frames):
    finder = new_finder(scene[0][:num_frames])
    assert len(finder.find(scene[0][:num_frames], threshold=5.0, margin=finder.margin)) == 0
