"""Line noise has its frequencies, artefacts their times and size, dead channels are silent; chunks do not matter."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.generation import Disturbances, DisturbedRecording, disturbances

FREQUENCY = 10_000.0


@pytest.fixture
def silence():
    return si.NumpyRecording([np.zeros((40_000, 6), dtype="float32")], FREQUENCY)


def disturbed(silence, **knobs):
    return DisturbedRecording(silence, Disturbances(**knobs), seed=2).get_traces()


def test_nothing_is_added_by_default(silence):
    assert not disturbed(silence).any()


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
@pytest.mark.parametrize("harmonics", [0.0, 0.3])
def test_line_noise_has_its_harmonics(silence, line_hz, harmonics):
    traces = disturbed(silence, line_noise_uV=100.0, line_hz=line_hz, line_harmonics=harmonics)
    amplitudes = 2 * np.abs(np.fft.rfft(traces, axis=0)).mean(axis=1) / len(traces)
    frequencies = np.fft.rfftfreq(len(traces), 1 / FREQUENCY)

    def at(number):
        return amplitudes[np.argmin(np.abs(frequencies - number * line_hz))]

    assert at(1) == pytest.approx(100.0, rel=0.1)
    assert at(3) == pytest.approx(100 * harmonics, rel=0.1, abs=0.1)
    assert at(9) == pytest.approx(100 * harmonics / 3, rel=0.1, abs=0.1)
    assert np.corrcoef(traces.T).min() > 0.99


def test_artefacts_come_at_their_rate_and_end(silence):
    traces = disturbed(silence, artefact_rate=5.0, artefact_uV=4000.0, artefact_ms=50.0)
    is_loud = np.abs(traces).max(axis=1) > 0
    onsets = np.flatnonzero(np.diff(is_loud.astype(int), prepend=0) == 1)
    assert len(onsets) == 20 and set(np.diff(onsets)) == {2000}
    assert is_loud.mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(traces).max(axis=0) == pytest.approx(np.full(6, 4000.0), rel=0.2)


def test_dead_channels_are_silent_to_the_end(silence):
    traces = disturbed(silence, line_noise_uV=100.0, dead_channel_share=0.34)
    ends = np.array([np.flatnonzero(channel).max() for channel in traces.T])
    assert (ends < 30_001).sum() == 2 and (ends[ends < 30_001] >= 9_999).all()


def test_chunks_do_not_matter(silence):
    knobs = dict(line_noise_uV=100.0, artefact_rate=7.0, dead_channel_share=0.5)
    recording = DisturbedRecording(silence, Disturbances(**knobs), seed=2)
    whole = recording.get_traces()
    pieces = [recording.get_traces(start_frame=start, end_frame=start + 3333) for start in range(0, 39_000, 3333)]
    np.testing.assert_array_equal(whole[: 3333 * len(pieces)], np.concatenate(pieces))
    some = recording.get_traces(start_frame=100, end_frame=200, channel_ids=recording.channel_ids[[4, 1]])
    np.testing.assert_array_equal(some, whole[100:200][:, [4, 1]])


def test_artefact_has_a_peak_of_one_and_decays():
    artefact = disturbances.stimulation_artefact(sampling_frequency=30_000.0, duration_ms=50.0)
    assert len(artefact) == 1500 and np.abs(artefact).max() == 1.0 and abs(artefact[-1]) < 1e-3
