"""White traces that PyTorch computes are those of the compiled code, whatever the chunk and the probe."""

import numpy as np
import pytest
import scipy.signal
import spikeinterface.core as si
import torch
from probeinterface import Probe
from spikeinterface.core import Motion

from si_deepsort.on_device import DeviceStep
from si_deepsort.preprocessing import device_steps
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.device_lines import LineFitOnDevice
from si_deepsort.preprocessing.half_precision import round_to_half_precision
from si_deepsort.preprocessing.line_noise import remove_lines
from si_deepsort.preprocessing.motion_interpolation import follow_motion
from si_deepsort.preprocessing.reference import common_reference, subtract_medians
from si_deepsort.preprocessing.white_on_device import WhiteOnDeviceRecording, _BandPass, _Lines, _White
from si_deepsort.preprocessing.whiten import whiten_time_space

FREQUENCY, NUM_FRAMES = 20_000.0, 33_000
# Largest difference, in standard deviations of the noise, without artefacts and within a few ms of them. It is what the
# compiled filter, a recursion in single precision, differs from one in double precision; see the test of it below.
TOLERANCE, TOLERANCE_AT_ARTEFACTS = 5e-4, 1e-2
# Traces are rounded to half precision afterwards: the largest error relative to their size.
ROUNDING = 2.0**-11


def two_shanks(num_first: int, num_second: int) -> Probe:
    """Contacts on two lines far apart."""
    places = [(0.0, 20.0 * row) for row in range(num_first)] + [(500.0, 20.0 * row) for row in range(num_second)]
    probe = Probe(ndim=2)
    probe.set_contacts(np.asarray(places), shank_ids=["a"] * num_first + ["b"] * num_second)
    probe.set_device_channel_indices(np.arange(num_first + num_second))
    return probe


def unfiltered(num_first=33, num_second=3, dtype="int16"):
    """Noise with slow waves and an offset, a loud artefact, and a dead channel, in two segments."""
    rng, num_channels = np.random.default_rng(0), num_first + num_second
    parts = []
    for num_frames in (NUM_FRAMES, 9_000):
        slow = np.cumsum(rng.standard_normal((num_frames, 1)), axis=0)
        traces = 300 + slow + 12 * rng.standard_normal((num_frames, num_channels))
        traces[6000:6020] += 3000
        traces[:, 2] = 70
        parts.append(np.round(traces).astype(dtype))
    recording = si.NumpyRecording(parts, FREQUENCY)
    recording.set_probe(two_shanks(num_first, num_second))
    return recording


def drifting(recording):
    """Follow a motion of 20 um and back."""
    times = [np.linspace(0.1, recording.get_num_frames(i) / FREQUENCY, 4) for i in range(recording.get_num_segments())]
    moved = [np.array([[0.0], [9.0], [20.0], [3.0]])] * len(times)
    return follow_motion(recording, Motion(moved, times, np.zeros(1)))


CHAINS = {
    "filtered": lambda recording: common_reference(band_pass(recording, freq_min=150.0, freq_max=7000.0)),
    "scaled reference": lambda recording: subtract_medians(
        band_pass(recording, freq_min=150.0, freq_max=7000.0),
        groups=[range(5), range(5, 25)],
        gains=[[0.5, 1.0, 1.5, 0.9, 1.0], np.linspace(0.5, 1.5, 20).tolist()],
    ),
    "low": lambda recording: band_pass(recording, freq_min=15.0, freq_max=7000.0),
    "drifting": lambda recording: drifting(common_reference(band_pass(recording, freq_min=300.0, freq_max=6000.0))),
    "hum": lambda recording: common_reference(
        remove_lines(band_pass(recording, 150.0, 7000.0), frequencies_hz=[150.0], levels=[5.0] * 36)
    ),
}
CHUNKS = {
    "start": (0, 0, 3000),
    "artefact": (0, 5000, 8000),
    "middle": (0, 10_001, 14_000),
    "end": (0, 30_100, None),
    "short segment": (1, 0, None),
}


@pytest.fixture(scope="module")
def pairs():
    """White traces by compiled code and by PyTorch, for each chain of steps."""
    whites = {name: whiten_time_space(chain(unfiltered())) for name, chain in CHAINS.items()}
    return {name: (white, WhiteOnDeviceRecording(white, "torch-cpu")) for name, white in whites.items()}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_white_traces_are_the_same(pairs, chain, chunk, caplog):
    segment, start, stop = CHUNKS[chunk]
    expected, found = (
        white.get_traces(segment_index=segment, start_frame=start, end_frame=stop) for white in pairs[chain]
    )
    assert found.dtype == expected.dtype
    tolerance = TOLERANCE_AT_ARTEFACTS if chunk in ("artefact", "short segment") else TOLERANCE
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=ROUNDING)
    assert expected.std() > 0.5 and not caplog.records, "computed by PyTorch, and not nothing"


def test_artefacts_are_blanked(pairs):
    expected, found = (white.get_traces(segment_index=0, start_frame=5000, end_frame=8000) for white in pairs["low"])
    is_blank = ~expected.any(axis=1)
    assert 0 < is_blank.sum() < len(is_blank)
    np.testing.assert_array_equal(~found.any(axis=1), is_blank)


def test_the_band_pass_is_more_exact_than_the_compiled_one():
    recording = unfiltered()
    segment = band_pass(recording, freq_min=150.0, freq_max=7000.0).segments[0]
    step = DeviceStep("filter", torch.device("cpu"))
    on_device = _BandPass(segment, step)
    found = on_device.compute(step.send(on_device.read(0, NUM_FRAMES)).T.contiguous(), 0, NUM_FRAMES).T.numpy()
    traces, sections = recording.get_traces(segment_index=0).astype("float64"), segment.sections.astype("float64")
    exact = scipy.signal.sosfiltfilt(sections, traces, axis=0, padtype="even", padlen=6000)
    error, compiled_error = (np.abs(part - exact) for part in (found, segment.get_traces(0, NUM_FRAMES, None)))
    assert np.median(error) < 0.2 * np.median(compiled_error) and error.max() < 0.5 * compiled_error.max()


@pytest.mark.parametrize(("start", "stop"), [(0, 3000), (2500, 5000), (12_345, 21_000), (28_000, 31_234), (0, 31_234)])
def test_line_noise_is_the_same_beside_artefacts_and_blanks(start, stop):
    rng, times = np.random.default_rng(4), np.arange(31_234) / FREQUENCY
    traces = rng.standard_normal((len(times), 5)) + 8 * np.sin(2 * np.pi * 180.2 * times)[:, None]
    traces += 3 * np.sin(2 * np.pi * 301.0 * times + 1)[:, None]
    traces[9000:9200] += 500
    traces[15_000:18_500] = 0
    recording = si.NumpyRecording([traces.astype("float32")], FREQUENCY)
    levels = [6.0, 6.0, 0.0, 6.0, 6.0]
    cleaned = remove_lines(recording, frequencies_hz=[180.2, 301.0], levels=levels)
    step = DeviceStep("lines", torch.device("cpu"))
    step.num_parts = 2
    lines = _Lines(cleaned.segments[0], step)
    found = lines.compute(step.send(lines.read(start, stop)).T.contiguous(), start, stop).T.numpy()
    expected = cleaned.get_traces(start_frame=start, end_frame=stop)
    assert np.abs(expected - traces[start:stop]).max() > 5, "there are lines"
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("num_channels", [1, 5])
def test_filtered_recordings_of_few_channels(num_channels):
    rng = np.random.default_rng(1)
    recording = si.NumpyRecording([rng.standard_normal((20_000, num_channels))], FREQUENCY)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(num_channels), 20.0 * np.arange(num_channels)]))
    white = whiten_time_space(recording.astype("float32"), order=0 if num_channels == 1 else 24)
    found = WhiteOnDeviceRecording(white, "torch-cpu").get_traces()
    np.testing.assert_allclose(found, white.get_traces(), atol=TOLERANCE, rtol=ROUNDING)


def test_the_traces_of_the_user_stay():
    traces = np.random.default_rng(2).standard_normal((20_000, 36)).astype("float32")
    recording = si.NumpyRecording([traces], FREQUENCY)
    recording.set_probe(two_shanks(33, 3))
    before = traces.copy()
    WhiteOnDeviceRecording(whiten_time_space(common_reference(recording)), "torch-cpu").get_traces()
    np.testing.assert_array_equal(traces, before)


def test_traces_are_rounded_as_all_steps_read_them(pairs):
    found = pairs["filtered"][1]
    np.testing.assert_array_equal(
        *(white.get_traces(segment_index=1) for white in (round_to_half_precision(found), found))
    )


def test_a_choice_of_channels(pairs):
    _, found = pairs["filtered"]
    chosen = found.get_traces(segment_index=0, start_frame=100, end_frame=900, channel_ids=found.channel_ids[[4, 1]])
    whole = found.get_traces(segment_index=0, start_frame=100, end_frame=900)
    np.testing.assert_array_equal(chosen, whole[:, [4, 1]])


def test_infinite_traces_are_refused():
    rng = np.random.default_rng(3)
    traces = rng.standard_normal((60_000, 4)).astype("float32")
    traces[59_000, 1] = np.inf
    recording = si.NumpyRecording([traces], FREQUENCY)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(4), 20.0 * np.arange(4)]))
    start = recording.frame_slice(0, 50_000)
    known = whiten_time_space(start).whitening
    white = whiten_time_space(recording, time_filter=known.time_filter, space_matrix=known.space_matrix)
    with pytest.raises(ValueError, match="on 1 of 4 channels"):
        WhiteOnDeviceRecording(white, "torch-cpu").get_traces()


def test_without_memory_parts_become_smaller(pairs, monkeypatch, caplog):
    white = pairs["filtered"][0]
    found = WhiteOnDeviceRecording(white, "torch-cpu")
    compute, sizes = device_steps.conv1d, []

    def with_little_memory(traces, *others):
        sizes.append(len(traces))
        if len(traces) > 36:
            raise torch.OutOfMemoryError("out of memory")
        return compute(traces, *others)

    monkeypatch.setattr(device_steps, "conv1d", with_little_memory)
    monkeypatch.setattr(device_steps, "TILE_FRAMES", 512)
    traces = found.get_traces(segment_index=0, start_frame=11_000, end_frame=14_000)
    np.testing.assert_allclose(
        traces,
        white.get_traces(segment_index=0, start_frame=11_000, end_frame=14_000),
        atol=TOLERANCE,
        rtol=ROUNDING,
    )
    assert min(sizes) == 36 < max(sizes) and "parts" in caplog.text and "CPU" not in caplog.text


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), RuntimeError("device lost")])
def test_without_a_device_the_cpu_goes_on(pairs, monkeypatch, caplog, error):
    white = pairs["filtered"][0]
    found = WhiteOnDeviceRecording(white, "torch-cpu")

    def failing(*_):
        raise error

    monkeypatch.setattr(device_steps, "conv1d", failing)
    for _ in range(2):
        np.testing.assert_array_equal(
            found.get_traces(segment_index=0, start_frame=0, end_frame=900),
            round_to_half_precision(white).get_traces(segment_index=0, start_frame=0, end_frame=900),
        )
    assert caplog.text.count("whitening continues on the CPU") == 1


def test_a_recording_on_a_device_is_saved_and_loaded(pairs, tmp_path):
    _, found = pairs["filtered"]
    again = si.load(found.to_dict())
    np.testing.assert_array_equal(
        *(white.get_traces(segment_index=0, start_frame=0, end_frame=900) for white in (again, found))
    )


@pytest.mark.parametrize("chain", CHAINS)
def test_all_numbers_are_on_the_device(pairs, chain, monkeypatch):
    """Tensors of the device "meta" hold no numbers; together with numbers on the CPU they are refused."""
    monkeypatch.setattr(torch, "isfinite", lambda traces: torch.ones(1))
    monkeypatch.setattr(LineFitOnDevice, "_solved", lambda fit, counts, products: products)
    step = DeviceStep("whitening", torch.device("meta"))
    white = _White(pairs[chain][0].segments[0], step)
    sent = step.send(white.read(0, 3000)).T.contiguous()
    assert white.compute(sent, 0, 3000).shape == (36, 3000)
