"""Own units that injected ones replace are taken out of the recording."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY

from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.stress import StressTestSettings, stress_test
from si_deepsort.stress.own_units import SourceTemplates, look_at, own_templates
from si_deepsort.stress.plan import hybrid_of, load_units, repetition_folder
from si_deepsort.stress.sizes import replacing_sizes

ONE = StressTestSettings(num_repetitions=1, units_per_repetition=1, snr_min=6.0, snr_max=6.0)


def mean_spike(recording, frames):
    """Mean waveform (samples, channels) in the band of the SNR."""
    filtered = band_pass(recording, 150.0, 7000.0)
    parts = [filtered.get_traces(start_frame=frame - 20, end_frame=frame + 30) for frame in frames]
    return np.mean(np.asarray(parts, dtype=float), axis=0)


@pytest.fixture
def tested(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    test = stress_test(recording, sorting=truth, folder=tmp_path / "test", settings=ONE)
    folder = repetition_folder(tmp_path / "test", 0)
    return recording, truth, test, hybrid_of(recording, folder), load_units(folder)


def test_a_unit_that_was_taken_out_is_gone_and_the_others_stay(tested):
    recording, truth, test, hybrid, units = tested
    assert (units["replaces"] != "").all() and test.facts["own_units_taken_out"]
    for unit in truth.unit_ids:
        frames = truth.get_unit_spike_train(unit)[1:-1]
        before, after = mean_spike(recording, frames), mean_spike(hybrid, frames)
        change = np.abs(after - before).max() / np.abs(before).max()
        left = np.abs(after).max() / np.abs(before).max()
        if str(unit) == units["replaces"][0]:
            assert left < 0.25
        else:
            assert change < 0.25


def test_injected_units_fire_as_fast_as_those_they_replace(tested):
    recording, truth, test, _, units = tested
    (model,) = [unit for unit in truth.unit_ids if str(unit) == units["replaces"][0]]
    rate = len(truth.get_unit_spike_train(model)) / recording.get_total_duration()
    assert test.units["firing_rate"][0] == pytest.approx(rate, rel=0.4)


def test_units_are_not_larger_than_those_they_replace_and_take_turns():
    snr = np.linspace(2.5, 30.0, 10)
    sources = SourceTemplates(
        templates=np.zeros((10, 40, 4), "float32"),
        nbefore=20,
        positions_um=np.zeros((4, 2)),
        snr=snr,
        rates=np.ones(10),
        names=[str(unit) for unit in range(10)],
        origin="own units",
    )
    repetitions = replacing_sizes(sources, 4, StressTestSettings(num_repetitions=5))
    used = np.concatenate([sizes.replaced for sizes in repetitions])
    assert (np.bincount(used, minlength=10) == 2).all()
    for sizes in repetitions:
        largest = np.clip(snr[sizes.replaced], 3.0, 20.0)
        assert (sizes.snr >= 3.0).all() and (sizes.snr <= largest + 1e-9).all()
        np.testing.assert_allclose(sizes.snr[::2], largest[::2])


def test_units_stay_where_templates_are_given(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    shape = np.hanning(40)[None, :, None] * np.ones(recording.get_num_channels())
    library = si.Templates(-50 * shape, SAMPLING_FREQUENCY, 20, probe=recording.get_probe(), unit_ids=["mine"])
    test = stress_test(recording, templates=library, sorting=truth, settings=ONE)
    assert (test.units["replaces"] == "").all() and not test.facts["own_units_taken_out"]


def test_all_own_units_may_be_replaced(recording_and_truth, fake_sorters):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    settings = StressTestSettings(num_repetitions=1, units_per_repetition=len(truth.unit_ids))
    test = stress_test(recording, settings=settings)
    assert set(test.units["replaces"]) == {str(unit) for unit in truth.unit_ids}
    assert test.runs["own_units_kept"].isna().all() and test.summary()


def test_rates_of_own_units_count_all_spikes(recording_and_truth):
    recording, truth = recording_and_truth
    sources, _ = own_templates(truth, look_at(recording, seed=0), seed=0)
    counts = [len(truth.get_unit_spike_train(unit)) for unit in truth.unit_ids if str(unit) in sources.names]
    np.testing.assert_allclose(sources.rates * recording.get_total_duration(), counts)
