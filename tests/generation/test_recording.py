"""A generated recording: spikes are where the truth says, as large and wide as they should be; old trains on demand."""

from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.generation import (
    INDEPENDENT_POISSON,
    Disturbances,
    GenerationSettings,
    SpikeStatistics,
    generate_recording,
    inject_units,
    named_probe,
)
from si_deepsort.generation.injection import widening_slopes
from si_deepsort.settings import SettingError

QUIET = GenerationSettings(duration_s=3.0, num_units=3, num_far_units=0, noise_uV=0.0, seed=1)


def test_defaults_are_trains_like_real_ones():
    settings = GenerationSettings()
    assert settings.statistics == SpikeStatistics() and settings.synchrony > 0


def test_old_trains_are_equal_spikes_at_independent_times():
    settings = replace(QUIET, **INDEPENDENT_POISSON)
    recording, sorting = generate_recording(named_probe("tetrode"), settings)
    traces, unit = recording.get_traces(), sorting.unit_ids[0]
    frames, others = (
        sorting.get_unit_spike_train(unit),
        [sorting.get_unit_spike_train(u) for u in sorting.unit_ids[1:]],
    )
    alone = [f for f in frames if np.abs(np.concatenate(others) - f).min(initial=10**6) > 300]
    alone = [f for f in alone if np.abs(frames[frames != f] - f).min(initial=10**6) > 300]
    windows = np.array([traces[f - 30 : f + 60] for f in alone])
    assert len(windows) > 1
    np.testing.assert_allclose(windows, windows[:1].repeat(len(windows), axis=0), atol=1e-3)


def test_synchrony_can_be_added_to_old_trains():
    alone = generate_recording(named_probe("tetrode"), replace(QUIET, **INDEPENDENT_POISSON))[1]
    together = generate_recording(named_probe("tetrode"), replace(QUIET, statistics=None, synchrony=0.5))[1]
    assert together.count_total_num_spikes() > alone.count_total_num_spikes()


def test_any_stretch_is_that_of_the_whole():
    settings = replace(
        QUIET, num_far_units=4, noise_uV=5.0, disturbances=Disturbances(line_noise_uV=50.0, artefact_rate=3.0)
    )
    recording, _ = generate_recording(named_probe("tetrode"), settings)
    whole = recording.get_traces()
    np.testing.assert_allclose(
        recording.get_traces(start_frame=20_000, end_frame=30_000), whole[20_000:30_000], atol=1e-3
    )


def test_widening_makes_spikes_wider_and_leaves_the_peak():
    time = np.arange(-40, 41)
    template = -np.exp(-(time**2) / 50.0)[None, :, None].astype("float32")
    sorting = si.NumpySorting.from_unit_dict([{"a": np.array([100, 300])}], 1000.0)
    silence = si.NumpyRecording([np.zeros((400, 1), dtype="float32")], 1000.0)
    recording = inject_units(silence, sorting, template, nbefore=40, widening=np.array([0.0, 0.1], dtype="float32"))
    plain, wide = (recording.get_traces(start_frame=peak - 40, end_frame=peak + 41)[:, 0] for peak in (100, 300))
    assert wide.argmin() == plain.argmin() == 40 and wide[40] == plain[40]
    second_moment = [np.sqrt((spike * time**2).sum() / spike.sum()) for spike in (plain, wide)]
    assert second_moment[1] / second_moment[0] == pytest.approx(1.1, abs=0.02)
    assert widening_slopes(template, 40)[0, 40] == 0


def test_no_units_and_no_background():
    recording, sorting = generate_recording(named_probe("tetrode"), replace(QUIET, num_units=0, drift_um=10.0))
    assert len(sorting.unit_ids) == 0 and not np.abs(recording.get_traces()).max() > 1e-3


@pytest.mark.parametrize(
    "wrong",
    [dict(refractory_ms=-1.0), dict(burst_probability=2.0), dict(burst_interval_min_ms=20.0), dict(theta_depth=1.5)],
)
def test_wrong_statistics_are_refused(wrong):
    with pytest.raises(SettingError):
        SpikeStatistics(**wrong)


def test_spikes_of_moving_units_widen_too():
    common = replace(QUIET, firing_rate_min=20.0, firing_rate_max=20.0, drift_um=5.0, duration_s=1.0)
    plain, wide = (
        generate_recording(named_probe("linear32"), replace(common, statistics=SpikeStatistics(shape_change_sd=sd)))[0]
        for sd in (0.0, 0.2)
    )
    difference = np.abs(plain.get_traces() - wide.get_traces()).max()
    assert 1.0 < difference < np.abs(plain.get_traces()).max()


def test_peak_of_given_templates_is_found():
    templates = np.zeros((1, 60, 4), dtype="float32")
    templates[0, 17:20, 2] = [-20.0, -100.0, -30.0]
    settings = replace(QUIET, statistics=SpikeStatistics(amplitude_sd=0.0, slow_amplitude_sd=0.0), burst_fraction=0.0)
    recording, sorting = generate_recording(named_probe("tetrode"), settings, templates_uV=templates)
    frames = sorting.get_unit_spike_train(sorting.unit_ids[0])
    assert len(frames) and recording.get_traces()[frames, 2] == pytest.approx(-100.0, abs=1e-3)
