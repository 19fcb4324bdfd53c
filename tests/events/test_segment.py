"""Options of the segmentation: excluded intervals, doubtful fits, the end of an event."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_trace import recording_of

from si_deepsort.events.matching import match_events
from si_deepsort.events.measure import measure_events
from si_deepsort.events.prepare import prepare_trace
from si_deepsort.events.segment import segment_events


@pytest.mark.parametrize("time_constant_ms", [0.3, 3.0])
def test_test_pulses_are_excluded_and_nothing_else_changes(simulated, time_constant_ms):
    trace = simulated[0].get_traces()[:, 0].copy()
    times_ms = np.arange(1000) / 10
    transient = 5.0 * np.exp(-times_ms / time_constant_ms)  # the capacity of the cell, charged and discharged
    for start in (20_000, 120_000):
        trace[start : start + 1000] += transient + 1.0
        trace[start + 1000 : start + 2000] -= transient
    sweeps = si.NumpyRecording([trace[:100_000, None], trace[100_000:, None]], 10_000.0)
    clean = si.NumpyRecording([part[:, None] for part in np.split(simulated[0].get_traces()[:, 0], 2)], 10_000.0)
    options = dict(polarity=1, exclude_s=[(1.99, 2.25)])
    events, expected = segment_events(sweeps, **options), segment_events(clean, **options)
    assert not events.peak_s.between(1.99, 2.25).any()
    assert events.attrs["analysed_s"] == pytest.approx(20.0 - 2 * 0.26, abs=0.01)
    pairs = match_events(expected.onset_s + 10 * expected.segment, events.onset_s + 10 * events.segment, 5e-4)
    assert len(pairs) >= 0.95 * max(len(events), len(expected))


def test_a_poor_fit_is_doubtful_however_sure_the_network(simulated):
    trace = np.random.default_rng(0).normal(0, 0.05, 20_000)
    trace[10_000:10_300] += 8.0 * np.sin(np.arange(300) / 6.0)  # nothing that an event could explain
    table = measure_events(
        prepare_trace(recording_of(trace), 0),
        np.array([1.0]),
        np.array([1.02]),
        np.array([0.99]),
        noise_level=0.05,
        polarity=1,
    )
    assert table.doubtful.all()


@pytest.mark.parametrize("interval", [(0.2, 0.1), (-1.0, 0.1), (0.0, np.inf), (0.1,)])
def test_intervals_that_are_none_are_refused(simulated, interval):
    with pytest.raises(ValueError, match="exclude_s"):
        segment_events(simulated[0], exclude_s=[interval])


@pytest.mark.parametrize("end", ["decay_constant", 0.5, "0.5"])
def test_the_end_can_be_chosen_and_is_stated(simulated, found, end):
    events = segment_events(simulated[0], end=end)
    assert events.attrs["end"] == (end if end == "decay_constant" else 0.5)
    assert (events.end_s < found.end_s).all() and (events.overlap == found.overlap).all()
    if end == "decay_constant":
        np.testing.assert_allclose(events.end_s - events.peak_s, events.decay_ms / 1000, rtol=1e-3, atol=1e-5)
    for wrong in ("half", 0.0, 1.5, np.nan):
        with pytest.raises(ValueError, match="end="):
            segment_events(simulated[0], end=wrong)


def test_an_event_that_began_before_the_sweep_is_none_of_it(simulated):
    recording, truth = simulated
    trace, rate = recording.get_traces(), recording.get_sampling_frequency()
    large = truth[(truth.amplitude > truth.amplitude.quantile(0.5)) & ~truth.onset_s.diff(-1).abs().lt(0.02)]
    starts = [int((onset + 0.003) * rate) for onset in large.onset_s if onset < truth.onset_s.max() - 1.0]
    sweeps = si.NumpyRecording([trace[start : start + int(0.5 * rate)] for start in starts], rate)
    events = segment_events(sweeps, polarity=1)
    assert len(starts) >= 3 and (events.onset_s < 0.001).sum() == 0


@pytest.mark.parametrize(("rate", "time_scale", "least"), [(20.0, 1.0, "500"), (499.0, 1.0, "500"), (20.0, 4.0, "125")])
def test_a_recording_too_slow_to_show_events_is_refused(rate, time_scale, least):
    recording = si.NumpyRecording([np.random.default_rng(0).normal(size=(4000, 1)).astype("float32")], rate)
    with pytest.raises(ValueError, match=f"{rate:g} frames per second.*at least {least} Hz.*in kHz"):
        segment_events(recording, time_scale=time_scale)


@pytest.mark.parametrize("interval", [(100.0, 200.0), (2.0, 2.1)])
def test_an_interval_outside_of_every_segment_is_refused(interval):
    noise = np.random.default_rng(0).normal(size=20_000).astype("float32")
    sweeps = si.NumpyRecording([noise[:5000, None], noise[:, None]], 10_000.0)
    with pytest.raises(ValueError, match=r"exclude_s holds .*the longest segment lasts 2 s.*in s from the start"):
        segment_events(sweeps, exclude_s=[(0.1, 0.2), interval])
    segment_events(sweeps, polarity=1, exclude_s=[(1.9, 200.0)])
