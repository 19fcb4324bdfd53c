"""The result: as many segments as the recording, no unit twice at one frame, integer ids, order by depth."""

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from small_recording import as_recording
from spikeinterface.comparison import compare_two_sorters

from si_deepsort.preprocessing.whitening import Whitening
from si_deepsort.sorter.front_end.noise_over_time import NoiseOverTime
from si_deepsort.sorter.output import UnitLimits, make_sorting
from si_deepsort.sorter.units.averages import UnitAverages
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.dropped import RARE, SMALL
from si_deepsort.sorter.units.refine import Refined
from si_deepsort.sorter.units.templates import MOST_SHIFT
from si_deepsort.spike_vectors import as_sorting, make_spike_vector

NUM_CHANNELS, NUM_BEFORE, NUM_SAMPLES = 4, 20, 60
NOTHING_IS_DROPPED = UnitLimits(firing_rate_hz=0.0, snr=0.0, spike_size=-np.inf, seed=0)


def white_noise(num_frames):
    return np.random.default_rng(0).standard_normal((num_frames, NUM_CHANNELS)).astype("float32")


def sorting_of(trains, num_frames, peak_channels=(2, 0), peak_offset=0, limits=NOTHING_IS_DROPPED):
    """Sorting of units with given trains in the segments, whose largest peak is `peak_offset` after the spike time."""
    recording = as_recording([white_noise(length) for length in num_frames])
    values = np.zeros((len(peak_channels), NUM_SAMPLES + 2 * MOST_SHIFT, NUM_CHANNELS), dtype="float32")
    for unit, channel in enumerate(peak_channels):
        values[unit, NUM_BEFORE + MOST_SHIFT + peak_offset, channel] = -20.0 - unit
    rows = [
        (frame, unit, segment)
        for segment, units in enumerate(trains)
        for unit, train in units.items()
        for frame in train
    ]
    spikes = make_spike_vector(*np.array(rows, dtype="int64").reshape(-1, 3).T)
    background = measure_background(recording, num_samples=NUM_SAMPLES, seed=0)
    averages = UnitAverages(values, np.zeros_like(values), NUM_BEFORE, np.full(len(values), 50), background)
    whitening, noise = Whitening.identity(NUM_CHANNELS), NoiseOverTime(100, [np.ones((1, NUM_CHANNELS))] * len(trains))
    units = Refined(spikes, averages, [])
    return make_sorting(recording, recording, noise, whitening, np.ones(NUM_CHANNELS), units, units.spikes, limits)[0]


@pytest.mark.parametrize("trains", [[{0: [100, 400]}, {}], [{}, {0: [100]}], [{}, {}]], ids=str)
def test_silent_segments_are_segments(trains, tmp_path):
    sorting = sorting_of(trains, [30_000, 20_000])
    saved = sorting.save(folder=tmp_path / "sorting")
    for result in (sorting, saved, si.load(tmp_path / "sorting")):
        assert result.get_num_segments() == 2
        for segment, units in enumerate(trains):
            found = [frame for unit in result.unit_ids for frame in result.get_unit_spike_train(unit, segment)]
            assert found == [frame for train in units.values() for frame in train]


def test_a_sorting_with_a_silent_last_segment_can_be_compared():
    first, second = (sorting_of([{0: [100, 400], 1: [900]}, {}], [30_000, 20_000]) for _ in range(2))
    assert compare_two_sorters(first, second).agreement_scores.to_numpy().max() == 1.0


def test_no_units_have_integer_ids():
    sorting = as_sorting(
        make_spike_vector([], [], []), np.arange(0), as_recording([white_noise(3000), white_noise(2000)])
    )
    assert sorting.unit_ids.dtype.kind == "i" and sorting.get_num_segments() == 2


def test_no_unit_fires_twice_at_one_frame_where_times_are_moved_to_the_ends():
    # Peaks are 8 frames before the spike times, which lie up to 6 frames after the start.
    sorting = sorting_of([{0: [2, 6, 500], 1: [3]}], [3000], peak_offset=-8)
    trains = {tuple(sorting.get_unit_spike_train(unit, 0)) for unit in sorting.unit_ids}
    assert trains == {(0, 492), (0,)}


def test_units_are_ordered_by_depth_and_times_are_those_of_their_peaks():
    sorting = sorting_of([{0: [1000], 1: [2000]}], [3000], peak_channels=(2, 0), peak_offset=5)
    assert [sorting.get_unit_spike_train(unit, 0).tolist() for unit in (0, 1)] == [[2005], [1005]]
    assert sorting.get_property("main_channel_id").tolist() == [0, 2]
    np.testing.assert_allclose(sorting.get_property("snr"), [21.0, 20.0])


@pytest.mark.parametrize("limits", [dict(firing_rate_hz=10.0), dict(snr=20.5)], ids=str)
def test_units_that_fire_too_rarely_or_are_too_small_are_dropped(limits):
    limits = UnitLimits(**(dict(firing_rate_hz=0.0, snr=0.0, spike_size=-np.inf, seed=0) | limits))
    # In .15 s the second unit fires twice, the first once.
    sorting = sorting_of([{0: [1000], 1: [500, 2000]}], [3000], limits=limits)
    assert [len(sorting.get_unit_spike_train(unit, 0)) for unit in sorting.unit_ids] == [2]


def test_units_that_are_left_out_are_told_with_their_reasons():
    limits = UnitLimits(firing_rate_hz=20.0, snr=20.5, spike_size=-np.inf, seed=0)
    trains = [{0: [500, 1000, 1500, 2000], 1: [700, 1200, 1700, 2500], 2: [2500]}]
    sorting = sorting_of(trains, [3000], peak_channels=(2, 0, 3), limits=limits)
    table = pd.DataFrame(sorting.get_annotation("dropped_units"))
    assert len(sorting.unit_ids) == 1
    assert table["reason"].tolist() == [RARE, SMALL] and table["num_spikes"].tolist() == [1, 4]
    assert table["snr"].tolist() == [22.0, 20.0] and table["main_channel_id"].tolist() == [3, 2]
