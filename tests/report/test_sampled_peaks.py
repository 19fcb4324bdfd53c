"""Sampled peaks: those of true units are explained, others are not, and their depth is that of the unit."""

import numpy as np
import pytest
from small_recording import small_recording

from si_deepsort.report.analyze import analyze
from si_deepsort.report.figures import drift_map, traces_with_spikes
from si_deepsort.report.measured import measure_units
from si_deepsort.report.sampled_peaks import SampledPeaks, sample_peaks

QUIET = dict(progress_bar=False)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peaks")
    recording, truth = small_recording(folder / "recording", duration_s=3.0)
    return recording, truth, folder


def test_peaks_belong_to_the_units_that_are_known_and_to_no_other(scene):
    recording, truth, folder = scene
    analyzer = analyze(truth, recording, folder / "all", job_kwargs=QUIET)
    units = measure_units(analyzer)
    peaks = sample_peaks(analyzer.recording, units, job_kwargs=QUIET)
    large = peaks.sizes > np.median(peaks.sizes)
    assert (peaks.units[large] >= 0).mean() > 0.95
    # Without one unit, its peaks are explained by none.
    fewer = measure_units(
        analyze(truth.select_units(truth.unit_ids[1:]), recording, folder / "fewer", job_kwargs=QUIET)
    )
    left = sample_peaks(analyzer.recording, fewer, job_kwargs=QUIET)
    assert len(left.times_s) == len(peaks.times_s) and left.explained_share < peaks.explained_share
    for unit in range(len(units.unit_ids)):
        place = units.channel_locations[units.main_channel(unit), 1]
        assert abs(np.median(peaks.depths_um[peaks.units == unit]) - place) < 50
    assert drift_map(peaks, units).axes and traces_with_spikes(units, analyzer.recording).axes


def test_drift_is_how_far_the_peaks_of_a_unit_move():
    times = np.arange(0.0, 100.0, 0.25)
    rng = np.random.default_rng(1)
    depths = 200 + rng.normal(0, 5, (3, len(times)))
    depths[1] += 30 * times / 100
    some = slice(0, len(times), 20)
    peaks = SampledPeaks(
        times_s=np.concatenate([times, times, times[some]]),
        depths_um=np.concatenate([depths[0], depths[1], depths[2][some]]),
        sizes=np.ones(2 * len(times) + len(times[some])),
        units=np.repeat([0, 1, 2], [len(times), len(times), len(times[some])]),
    )
    assert peaks.drift_um(0) < 5 and 24 < peaks.drift_um(1) < 33
    assert np.isnan(peaks.drift_um(2)) and np.isnan(peaks.drift_um(7))
