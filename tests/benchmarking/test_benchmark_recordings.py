"""Named recordings: their noise is the intended one, their spikes are where the truth says, the cache is faithful."""

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from held_files import held_files_stay

from si_deepsort.benchmarking import recipes, recordings, synthesis, templates
from si_deepsort.benchmarking.external import hybrid_recording, load_ground_truth, save_ground_truth, unit_snr
from si_deepsort.geometry import channel_distances
from si_deepsort.noise import noise_levels, spatial_correlation

NAMES = recordings.recording_names()
needs_data = pytest.mark.skipif(templates.data_folder() is None, reason="the folder SI_DEEPSORT_DATA is not at hand")


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("SI_DEEPSORT_DATA", str(tmp_path / "absent"))


@pytest.mark.slow
def test_noise_has_the_intended_spectrum_and_spatial_correlation(no_data):
    recipe = recipes.Recipe("noise only", None, "neuropixels1", 1, firing_rate=(1e-3, 1e-3))
    recording, _ = synthesis.synthesize(recipe, seed=3, duration_s=8.0)
    noise = recording
    while noise.get_parent() is not None or (hasattr(noise, "_kwargs") and "parent_recording" in noise._kwargs):
        noise = noise._kwargs["parent_recording"]
    filtered = spre.bandpass_filter(noise, freq_min=150, freq_max=7000, dtype="float32").get_traces()
    filtered = filtered - filtered.mean(axis=0)
    lags = [np.mean(filtered[:-lag] * filtered[lag:]) / np.mean(filtered**2) for lag in range(1, 6)]
    # Measured on a real Neuropixels 1.0 recording after the same filter.
    np.testing.assert_allclose(lags, [0.85, 0.52, 0.24, 0.10, 0.05], atol=0.12)
    assert 7.0 < np.median(noise_levels(filtered)) < 9.0
    locations = noise.get_channel_locations()
    found, wanted = np.corrcoef(filtered.T), spatial_correlation(locations)
    distances = channel_distances(locations)
    for low, high in ((10, 30), (70, 90), (150, 180), (290, 310)):
        ring = (distances > low) & (distances < high)
        assert abs(found[ring].mean() - wanted[ring].mean()) < 0.03


def test_usual_simulated_noise_is_more_predictable(no_data):
    def correlation_at_lag_5(simulated):
        recipe = recipes.Recipe("", None, "tetrode", 0, simulated_noise=simulated)
        traces = synthesis.synthesize(recipe, seed=0, duration_s=4.0)[0]
        traces = spre.bandpass_filter(traces, freq_min=150, freq_max=7000, dtype="float32").get_traces()
        return np.mean(traces[:-5] * traces[5:]) / np.mean(traces**2)

    assert correlation_at_lag_5(True) > correlation_at_lag_5(False) + 0.2


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_a_recording_without_data(name, no_data):
    recipe = recordings.RECIPES[name]
    if recipe.drift_um or recipe.jump_um:
        pytest.skip("moving generated templates takes long; one such name is tested below")
    recording, sorting = synthesis.synthesize(recipe, seed=1, duration_s=0.5)
    assert len(sorting.unit_ids) == recipe.num_units
    traces = recording.get_traces(end_frame=3000)
    assert traces.shape == (3000, recording.get_num_channels()) and np.isfinite(traces).all()
    assert recording.has_probe()


@pytest.mark.slow
def test_spikes_are_where_the_truth_says(no_data, tmp_path):
    recording, sorting = recordings.ground_truth_recording("tetrode", seed=2, duration_s=6.0, cache=tmp_path)
    traces = recording.get_traces(return_in_uV=True)
    unit = int(np.argmax(sorting.get_property("gt_peak_uV")))
    frames = sorting.get_unit_spike_train(sorting.unit_ids[unit])
    frames = frames[(frames > 60) & (frames < len(traces) - 60)]
    average = np.mean([traces[frame - 30 : frame + 31] for frame in frames], axis=0)
    assert abs(np.abs(average).max(axis=1).argmax() - 30) <= 1
    assert np.abs(average).max() == pytest.approx(sorting.get_property("gt_peak_uV")[unit], rel=0.25)
    assert recording.get_annotation("templates_origin") == "generated"
    snr = unit_snr(recording, sorting)
    assert snr[unit] == pytest.approx(sorting.get_property("gt_snr")[unit], rel=0.35)


def test_cache_returns_the_same_and_seeds_differ(no_data, tmp_path):
    with held_files_stay(tmp_path):  # as on Windows
        first, sorting = recordings.ground_truth_recording("tetrode", seed=0, duration_s=1.0, cache=tmp_path)
    again, sorting_again = recordings.ground_truth_recording("tetrode", seed=0, duration_s=1.0, cache=tmp_path)
    other, _ = recordings.ground_truth_recording("tetrode", seed=1, duration_s=1.0, cache=tmp_path)
    np.testing.assert_array_equal(first.get_traces(), again.get_traces())
    np.testing.assert_array_equal(sorting.to_spike_vector(), sorting_again.to_spike_vector())
    assert not np.array_equal(first.get_traces(), other.get_traces())
    made, _ = synthesis.synthesize(recordings.RECIPES["tetrode"], seed=0, duration_s=1.0)
    assert np.abs(first.get_traces(return_in_uV=True) - made.get_traces()).max() <= recordings.GAIN_UV


@pytest.mark.slow
def test_interrupted_recording_is_made_again(no_data, tmp_path):
    recordings.ground_truth_recording("tetrode", duration_s=0.5, cache=tmp_path)
    (next(tmp_path.iterdir()) / "identity.json").unlink()
    recording, _ = recordings.ground_truth_recording("tetrode", duration_s=0.5, cache=tmp_path)
    assert recording.get_num_frames() == 15_000


def test_bursts_lose_amplitude():
    sorting = si.NumpySorting.from_unit_dict([{"a": np.array([1000, 1090, 30_000])}], 30_000)
    factors = synthesis.spike_amplitude_factors(sorting, np.random.default_rng(0), variation=0.0)
    assert factors[0] == factors[2] == 1.0
    assert 0.8 < factors[1] < 0.9


def test_displaced_templates_move_by_what_is_asked(no_data):
    units = templates.generated_templates("neuropixels2", 2, np.random.default_rng(5), drift=True)
    y = units.probe.contact_positions[:, 1]

    def center(moved):
        weight = np.ptp(moved, axis=0) ** 2
        return (weight * y).sum() / weight.sum()

    up = units.moved_uV[np.argmin(np.abs(units.displacements_um - 20))]
    down = units.moved_uV[np.argmin(np.abs(units.displacements_um + 20))]
    assert all(5 < abs(center(up[unit]) - center(down[unit])) < 45 for unit in range(2))


def test_interpolated_displacements_meet_the_given_ones():
    moved = np.random.default_rng(0).standard_normal((3, 2, 4, 5)).astype("float32")
    given = np.array([-10.0, 0.0, 10.0])
    np.testing.assert_allclose(templates.interpolate_displacements(moved, given, given), moved, rtol=1e-5)
    half = templates.interpolate_displacements(moved, given, np.array([5.0]))[0]
    np.testing.assert_allclose(half, (moved[1] + moved[2]) / 2, rtol=1e-4, atol=1e-6)


def test_units_spread_over_all_amplitudes():
    peaks = np.exp(np.random.default_rng(1).uniform(np.log(30), np.log(60), 90)).tolist() + list(range(70, 350, 20))
    chosen = templates.choose_over_all_amplitudes(peaks, 20, np.random.default_rng(0))
    assert len(np.unique(chosen)) == 20
    assert np.median(np.asarray(peaks)[chosen]) > 1.5 * np.median(peaks)


def test_later_fields_change_no_identity_where_they_are_not_in_use():
    old = recordings._recipe_identity(recordings.RECIPES["linear32"])
    assert not set(old) & set(recordings._LATER_FIELDS)
    new = recordings._recipe_identity(recordings.RECIPES["linear32_synchronous"])
    assert set(new) - set(old) == {"synchrony"}


def pairs_within(sorting, reach_ms):
    """Share of spikes that have a spike of another unit this close."""
    spikes = sorting.to_spike_vector()
    gaps = np.diff(spikes["sample_index"]) / sorting.get_sampling_frequency() * 1000
    is_pair = (gaps <= reach_ms) & (np.diff(spikes["unit_index"]) != 0)
    return (np.r_[is_pair, False] | np.r_[False, is_pair]).mean()


@pytest.mark.parametrize("name", ["tetrode", "linear32"])
def test_synchronous_twins_have_the_same_units_that_fire_together(name, no_data):
    alone, together = (
        synthesis.synthesize(recordings.RECIPES[twin], seed=3, duration_s=20.0)[1]
        for twin in (name, f"{name}_synchronous")
    )
    np.testing.assert_array_equal(alone.get_property("gt_peak_uV"), together.get_property("gt_peak_uV"))
    assert pairs_within(together, 0.8) > pairs_within(alone, 0.8) + 0.15
    for unit in alone.unit_ids:
        own = alone.get_unit_spike_train(unit)
        assert np.isin(own, together.get_unit_spike_train(unit)).mean() > 0.9


def test_units_of_independent_recordings_fire_apart(no_data):
    alone, together = (
        synthesis.synthesize(recordings.RECIPES[f"{kind}_small_generated"], seed=0, duration_s=20.0)[1]
        for kind in ("independent", "synchronous")
    )
    np.testing.assert_array_equal(alone.get_property("gt_peak_uV"), together.get_property("gt_peak_uV"))
    assert pairs_within(together, 0.8) > pairs_within(alone, 0.8) + 0.1


@pytest.mark.parametrize(
    "name, num_channels, num_units", [("plain", 64, 25), ("plain_crowded", 32, 60), ("plain_one_channel", 1, 3)]
)
def test_plain_recordings_are_those_of_spikeinterface(name, num_channels, num_units):
    recording, sorting = synthesis.synthesize(recordings.RECIPES[name], seed=42, duration_s=2.0)
    assert recording.get_num_channels() == num_channels and len(sorting.unit_ids) == num_units
    template = recording.templates[0]
    assert sorting.get_property("gt_peak_uV")[0] == np.abs(template).max()


@needs_data
@pytest.mark.parametrize("name", ["tetrode", "neuropixels2_drift", "hybrid"])
def test_recordings_from_data(name):
    recipe = recordings.RECIPES[name]
    assert synthesis.available_origin(recipe) in ("biophysical", "real")
    recording, sorting = synthesis.synthesize(recipe, seed=0, duration_s=1.0)
    peaks = sorting.get_property("gt_peak_uV")
    assert len(peaks) == recipe.num_units and peaks.max() > 90
    assert np.isfinite(recording.get_traces(end_frame=6000)).all()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="neuropixels2_drift"):
        recordings.ground_truth_recording("neuropixel")


@pytest.mark.slow
def test_own_ground_truth_is_saved_and_loaded(tmp_path):
    recording, _ = si.generate_ground_truth_recording(durations=[4.0], num_channels=8, num_units=3, seed=0)
    hybrid, injected = hybrid_recording(recording, num_units=2, seed=1)
    folder = save_ground_truth(hybrid, injected, tmp_path / "mine")
    loaded, truth = load_ground_truth(folder)
    np.testing.assert_array_equal(truth.to_spike_vector(), injected.to_spike_vector())
    assert truth.get_annotation("exhaustive_gt") is False
    np.testing.assert_allclose(loaded.get_traces(), hybrid.get_traces(), rtol=1e-5)
    with pytest.raises(ValueError, match="exists already"):
        save_ground_truth(hybrid, injected, folder)
    with pytest.raises(ValueError, match="MEArec"):
        load_ground_truth(tmp_path)
