"""Injected units have the SNR that was asked for, in any recording; they follow motion, and come from a library."""

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from small_recording import SAMPLING_FREQUENCY, as_recording, line_probe, small_recording, small_traces
from spikeinterface.core import Motion

from si_deepsort.noise import recording_noise_levels
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.hybrid import InjectedSpikes
from si_deepsort.stress import StressTestSettings, stress_test
from si_deepsort.stress.plan import hybrid_of
from si_deepsort.stress.sizes import spread_of_snr


def several_segments():
    parts = [small_traces(num_channels=4, duration_s=duration, seed=seed)[0] for seed, duration in ((0, 3.0), (1, 2.0))]
    trains = [
        small_traces(num_channels=4, duration_s=duration, seed=seed)[1] for seed, duration in ((0, 3.0), (1, 2.0))
    ]
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(part)) for part in trains], SAMPLING_FREQUENCY)
    return as_recording(parts), truth


def short():
    return small_recording(num_channels=4, duration_s=2.0)


def in_counts(dtype, offset=0, gain=0.5):
    traces, trains = small_traces(num_channels=4, duration_s=4.0)
    counts = as_recording(np.rint(traces / gain + offset).astype(dtype))
    counts.set_channel_gains(gain)
    counts.set_channel_offsets(-offset * gain)
    return counts, si.NumpySorting.from_unit_dict([dict(enumerate(trains))], SAMPLING_FREQUENCY)


def filtered():
    recording, truth = small_recording(num_channels=4, duration_s=4.0)
    return spre.bandpass_filter(recording, 300.0, 6000.0), truth


def whitened():
    recording, truth = filtered()
    return spre.whiten(recording, dtype="float32"), truth


def one_channel():
    traces, trains = small_traces(num_channels=1, num_units=2, duration_s=4.0)
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(trains))], SAMPLING_FREQUENCY)
    return as_recording(traces, probe=False), truth


CASES = {
    "several segments": several_segments,
    "2 s": short,
    "uint16": lambda: in_counts("uint16", 32768),
    "int16": lambda: in_counts("int16"),
    "float64": lambda: in_counts("float64"),
    "filtered": filtered,
    "whitened": whitened,
    "one channel without probe": one_channel,
}


def test_snr_lies_in_its_limits_and_half_of_the_units_are_small():
    snr = spread_of_snr(200, StressTestSettings(snr_min=3.0, snr_max=20.0))
    assert snr.min() >= 3.0 and snr.max() <= 20.0
    # The inverse is uniform: its middle is the median.
    assert np.median(snr) == pytest.approx(2 / (1 / 3 + 1 / 20), rel=0.02)
    assert np.array_equal(snr, spread_of_snr(200, StressTestSettings())) and not np.array_equal(snr, np.sort(snr))
    assert spread_of_snr(5, StressTestSettings(snr_min=8.0, snr_max=8.0)).tolist() == pytest.approx([8.0] * 5)


@pytest.mark.parametrize("case", CASES)
def test_injected_units_have_their_snr_in_any_recording(case, fake_sorters, tmp_path):
    recording, truth = CASES[case]()
    fake_sorters(truth)
    settings = StressTestSettings(num_repetitions=1, snr_min=10.0, snr_max=10.0)
    test = stress_test(recording, sorting=truth, folder=tmp_path / "test", settings=settings)
    assert (test.units["num_spikes"] > 0).all() and test.units["is_found"].all()
    hybrid = hybrid_of(recording, tmp_path / "test" / "repetition_0")
    assert hybrid.get_dtype() == recording.get_dtype()
    snr = measured_snr(hybrid, recording, si.load(tmp_path / "test" / "repetition_0" / "injected_sorting"))
    np.testing.assert_allclose(snr, 10.0, rtol=0.3)


def measured_snr(hybrid, recording, injected):
    """Peak of the mean difference of the traces at the injected spikes, over the noise level."""
    if not recording.is_filtered():
        hybrid, recording = (band_pass(one, 150.0, 7000.0) for one in (hybrid, recording))
    levels, found = recording_noise_levels(recording), []
    spikes = injected.to_spike_vector()
    for unit in range(len(injected.unit_ids)):
        peaks = []
        for spike in spikes[spikes["unit_index"] == unit]:
            span = dict(start_frame=spike["sample_index"] - 5, end_frame=spike["sample_index"] + 6)
            pair = [one.get_traces(segment_index=spike["segment_index"], **span) for one in (hybrid, recording)]
            peaks.append(pair[0].astype(float) - pair[1].astype(float))
        found.append(np.max(np.abs(np.mean(peaks, axis=0)).max(axis=0) / levels))
    return found


def test_units_follow_the_motion(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    motion = Motion([np.array([[0.0], [40.0]])], [np.array([2.9, 3.1])], np.array([0.0]))
    settings = StressTestSettings(num_repetitions=1, snr_min=15.0, snr_max=15.0)
    test = stress_test(recording, sorting=truth, motion=motion, folder=tmp_path / "test", settings=settings)
    assert test.facts["follows_motion"]
    spikes = InjectedSpikes.load(tmp_path / "test" / "repetition_0")
    mains = np.abs(spikes.templates).max(axis=1).argmax(axis=1)[spikes.template_indices]
    late = spikes.frames > 3.2 * SAMPLING_FREQUENCY
    early = spikes.frames < 2.8 * SAMPLING_FREQUENCY
    for unit in range(len(test.units)):
        own = spikes.template_indices // (len(spikes.templates) // len(test.units)) == unit
        before, after = mains[own & early], mains[own & late]
        assert len(set(before)) == 1 and (after == min(before[0] + 1, 7)).mean() > 0.9, "contacts are 40 um apart"


def test_templates_of_a_library_are_placed_on_another_probe(recording_and_truth, fake_sorters):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    shape = np.hanning(40)[None, :, None] * np.array([0.2, 1.0, 0.3])
    library = si.Templates(
        -50 * shape, SAMPLING_FREQUENCY, 20, probe=line_probe(3, 40.0), channel_ids=np.arange(3), unit_ids=["mine"]
    )
    test = stress_test(recording, templates=library, settings=StressTestSettings(num_repetitions=2))
    assert test.facts["templates"] == "given templates" and set(test.units["source"]) == {"mine"}
    assert test.units["depth_um"].nunique() > 1
