"""
What every lazy recording of the package promises, the sorter's own included.

A new class of recordings belongs into `CASES`: the first test fails as long as it is missing there.
"""

import copy
import hashlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from functools import cache

import numpy as np
import pytest
import spikeinterface.core as si
from small_interpolator import save_random_interpolator
from small_recording import add_spikes, line_probe, unit_templates
from spikeinterface.core import Motion
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor

import si_deepsort
from si_deepsort.generation.disturbances import Disturbances, DisturbedRecording
from si_deepsort.noise.matching import NoiseMatchedRecording
from si_deepsort.preprocessing import PREPROCESSORS
from si_deepsort.preprocessing.band_pass import BandPassRecording
from si_deepsort.preprocessing.even_noise import EvenNoiseRecording
from si_deepsort.preprocessing.fill_blanks import FillBlanksRecording
from si_deepsort.preprocessing.half_precision import RoundedRecording, SinglePrecisionRecording
from si_deepsort.preprocessing.hybrid import HybridRecording, InjectedSpikes
from si_deepsort.preprocessing.line_noise import RemoveLinesRecording
from si_deepsort.preprocessing.motion_interpolation import FollowMotionRecording
from si_deepsort.preprocessing.reference import MedianReferenceRecording
from si_deepsort.preprocessing.white_on_device import WhiteOnDeviceRecording
from si_deepsort.preprocessing.whiten import WhitenTimeSpaceRecording, whiten_time_space

RATE, NUM_CHANNELS = 25_000.0, 8
# Frames of the segments: one with spikes, a silent one, a very short one.
LENGTHS = (31_000, 5_000, 40)
ZERO, CONSTANT, HALF_DEAD = 5, 6, 2
TEMPLATE = -np.hanning(31)
MOTION = dict(
    displacement=[np.array([[-5.0], [9.0]])] * 3,
    temporal_bins_s=[np.array([10.0, 12.0]), np.array([100.0, 100.1]), np.array([200.0, 200.1])],
    spatial_bins_um=np.array([0.0]),
)
LEVELS = [np.linspace(1, 3, 5 * NUM_CHANNELS).reshape(5, NUM_CHANNELS).tolist()] * 3
MIXING = np.random.default_rng(3).standard_normal((NUM_CHANNELS, NUM_CHANNELS)).tolist()
# Classes whose input has one dtype.
INPUT_DTYPES = {SinglePrecisionRecording: "float16", RoundedRecording: "float32", DisturbedRecording: "float32"}
# Cases that no other process can read; generated recordings are saved first.
IN_MEMORY = {"disturbances"}
DENOISERS = {name: recording_class for name, (recording_class, _) in PREPROCESSORS.items()}

# Name -> class and arguments.
CASES = {
    "band_pass": (BandPassRecording, dict(freq_min=150.0, freq_max=7000.0)),
    "band_pass of slow signals": (BandPassRecording, dict(freq_min=5.0, freq_max=300.0)),
    "blanks": (FillBlanksRecording, dict(values=list(range(8)))),
    "even noise": (EvenNoiseRecording, dict(chunk_frames=700, levels=LEVELS)),
    "lines": (RemoveLinesRecording, dict(frequencies_hz=[50.0, 250.0], levels=[40.0] * 5 + [0.0, 0.0, 40.0])),
    "median reference": (MedianReferenceRecording, dict(groups=[[0, 2, 4], [1, 3, 7]])),
    "scaled reference": (MedianReferenceRecording, dict(groups=[[0, 2, 7], [1, 3]], gains=[[0.5, 1.0, 1.5], None])),
    "whitening": (WhitenTimeSpaceRecording, dict(order=12, radius_um=100.0)),
    "whitening over channels": (WhitenTimeSpaceRecording, dict(order=0, radius_um=500.0)),
    "whitening on a device": (WhiteOnDeviceRecording, dict(device="torch-cpu")),
    "filter, lines, reference, motion and whitening on a device": (WhiteOnDeviceRecording, dict(device="torch-cpu")),
    "motion": (FollowMotionRecording, dict(motion=Motion(**MOTION))),
    "single precision": (SinglePrecisionRecording, dict()),
    "rounded": (RoundedRecording, dict()),
    "noise matching": (NoiseMatchedRecording, dict(taps=np.hanning(9)[:, None].tolist(), mixing=MIXING, seed=4)),
    "disturbances": (
        DisturbedRecording,
        dict(disturbances=Disturbances(line_noise_uV=9.0, artefact_rate=2.0, dead_channel_share=0.2), seed=0),
    ),
    "hybrid": (HybridRecording, dict()),
    "deep_interpolate": (DENOISERS["deep_interpolate"], dict()),
    "deep_interpolate, bad channel": (
        DENOISERS["deep_interpolate"],
        dict(bad_channel_ids=["10"], blend=0.0, dtype="float32"),
    ),
    "wavelet_denoise": (DENOISERS["wavelet_denoise"], dict()),
    "wavelet_denoise, soft": (DENOISERS["wavelet_denoise"], dict(wavelet="db4", mode="soft", num_levels=3)),
    "matched_filter": (DENOISERS["matched_filter"], dict(template=TEMPLATE)),
    "matched_filter, whitened": (DENOISERS["matched_filter"], dict(template=TEMPLATE, whiten=True, dtype=None)),
    "matched_filter, per channel": (
        DENOISERS["matched_filter"],
        dict(template=np.stack([TEMPLATE * (1 + channel) for channel in range(NUM_CHANNELS)], axis=1)),
    ),
}


def subclasses_in_package():
    for module in pkgutil.walk_packages(si_deepsort.__path__, "si_deepsort."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = set(), [BasePreprocessor]
    while waiting:
        children = waiting.pop().__subclasses__()
        waiting += children
        found |= {child for child in children if child.__module__.startswith("si_deepsort.")}
    return found


def test_every_class_of_recordings_is_tested_here():
    assert subclasses_in_package() == {recording_class for recording_class, _ in CASES.values()}


def segment_traces():
    rng = np.random.default_rng(0)
    traces = 40 * rng.standard_normal((LENGTHS[0], NUM_CHANNELS))
    templates, nbefore = unit_templates(3, NUM_CHANNELS, amplitude_uV=600.0)
    add_spikes(traces, [np.sort(rng.integers(100, LENGTHS[0] - 100, 60)) for _ in range(3)], templates, nbefore)
    silent, short = np.zeros((LENGTHS[1], NUM_CHANNELS)), 40 * rng.standard_normal((LENGTHS[2], NUM_CHANNELS))
    parts = [traces, silent, short]
    for part in parts:
        part[:, ZERO], part[:, CONSTANT], part[len(part) // 2 :, HALF_DEAD] = 0, 2050, 0
    return parts


def recording_with(parts, dtype="int16", times=True):
    """The second and the third segment start at 100 and 200 s."""
    ids = [str(number) for number in range(3, 3 + NUM_CHANNELS)]
    recording = si.NumpyRecording([part.round().astype(dtype) for part in parts], RATE, [0.0, 100.0, 200.0], ids)
    recording.set_probe(line_probe(NUM_CHANNELS, 20.0))
    recording.set_channel_gains(0.2)
    recording.set_channel_offsets(3.0)
    return with_times(recording) if times else recording


def with_times(recording):
    """Times of the first segment are irregular."""
    jitter = np.random.default_rng(1).uniform(0, 0.4 / RATE, LENGTHS[0])
    recording.set_times(10.0 + np.arange(LENGTHS[0]) / RATE + jitter, segment_index=0)
    return recording


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Saved, so that other processes can read it; the recording itself keeps its times."""
    folder = tmp_path_factory.mktemp("contract") / "parent"
    return with_times(recording_with(segment_traces(), times=False).save(folder=folder, verbose=False))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_random_interpolator(tmp_path_factory.mktemp("model"), sampling_frequency=RATE))


def make(case, parent, model):
    recording_class, arguments = CASES[case]
    if recording_class in INPUT_DTYPES:
        parent = parent.astype(INPUT_DTYPES[recording_class])
    if "deep_interpolate" in case:
        arguments = arguments | dict(model=model)
    if recording_class is WhiteOnDeviceRecording:
        for name in ("band_pass", "lines", "median reference", "motion") if "lines" in case else ():
            parent = make(name, parent, model)
        parent = make("whitening", parent, model)
    if recording_class is HybridRecording:
        arguments = dict(folder=injected_spikes())
    return recording_class(parent, **arguments)


@cache
def injected_spikes():
    """A folder with spikes in all segments, also beyond their ends."""
    rng, templates = np.random.default_rng(5), unit_templates(3, NUM_CHANNELS)[0]
    parts = [np.sort(rng.integers(-5, length + 5, 40)) for length in LENGTHS]
    spikes = InjectedSpikes(
        templates=templates.astype("float32"),
        nbefore=20,
        frames=np.concatenate(parts),
        segment_indices=np.repeat([0, 1, 2], 40),
        template_indices=rng.integers(0, 3, 120),
        amplitudes=rng.uniform(0.5, 1.0, 120).astype("float32"),
        widening=rng.normal(0, 0.05, 120).astype("float32"),
    )
    folder = tempfile.mkdtemp()
    spikes.save(folder)
    return folder


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def recording(case, parent, model):
    return make(case, parent, model)


def everything(recording):
    return [recording.get_traces(segment_index=index) for index in range(recording.get_num_segments())]


def test_segments_times_and_properties_are_kept(recording, parent):
    assert [recording.get_num_frames(index) for index in range(3)] == list(LENGTHS)
    assert recording.get_sampling_frequency() == RATE
    for index, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(recording.get_times(index), parent.get_times(index))
        assert recording.get_start_time(index) == parent.get_start_time(index)
        assert recording.time_to_sample_index(parent.get_times(index)[length // 3], index) == length // 3
    np.testing.assert_array_equal(recording.channel_ids, parent.channel_ids)
    np.testing.assert_array_equal(recording.get_channel_locations(), parent.get_channel_locations())


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_chunks_are_those_of_the_whole_bit_for_bit(recording, segment):
    whole, length = recording.get_traces(segment_index=segment), LENGTHS[segment]
    bounds = [(0, 1), (7, 8), (0, 39), (11, 40), (1990, 2010), (length - 1, length), (length // 3, length // 3)]
    bounds += [(start, min(start + 4096, length)) for start in range(3, length, 4096)]
    for start, end in ((min(start, length), min(end, length)) for start, end in bounds):
        chunk = recording.get_traces(segment_index=segment, start_frame=start, end_frame=end)
        np.testing.assert_array_equal(chunk, whole[start:end], err_msg=f"frames {start} to {end}")


@pytest.mark.parametrize("channels", [[5, 0, 3], [7], list(range(7))])
def test_channels_are_those_of_all_bit_for_bit(recording, channels):
    whole = recording.get_traces(segment_index=0, start_frame=100, end_frame=3000)
    ids = recording.channel_ids[channels]
    picked = recording.get_traces(segment_index=0, start_frame=100, end_frame=3000, channel_ids=ids)
    np.testing.assert_array_equal(picked, whole[:, channels])


def test_traces_are_finite_and_of_the_stated_dtype(recording):
    """Although a channel is 0, one is constant, one dies, and a segment is silent."""
    for traces in everything(recording):
        assert traces.dtype == recording.get_dtype() and np.isfinite(traces).all()


def test_the_same_arguments_give_the_same_traces(recording, case, parent, model):
    for traces, again in zip(everything(recording), everything(make(case, parent, model)), strict=True):
        np.testing.assert_array_equal(traces, again)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_any_dtype_is_taken(case, model, dtype):
    parts = segment_traces()
    if dtype == "uint16":
        if "whitening" in case:
            pytest.skip("traces with an offset are refused")
        parts = [part + 5000 for part in parts]
    recording = make(case, recording_with(parts, dtype), model)
    assert all(np.isfinite(traces).all() for traces in everything(recording))


def test_traces_with_an_offset_are_not_whitened():
    with pytest.raises(ValueError, match=r"not centred on 0.*Band-pass"):
        whiten_time_space(recording_with([part + 5000 for part in segment_traces()]))


def state_of(recording):
    properties = {key: recording.get_property(key).tolist() for key in recording.get_property_keys()}
    state = [properties, recording.get_annotation_keys(), recording.is_filtered(), recording.get_probe().to_dict()]
    return [traces.tobytes() for traces in everything(recording)], repr(state)


def test_inputs_are_left_as_they_were(case, model):
    arguments = CASES[case][1]
    recording, before_arguments = recording_with(segment_traces()), copy.deepcopy(arguments)
    before = state_of(recording)
    everything(make(case, recording, model))
    assert state_of(recording) == before
    assert repr(arguments) == repr(before_arguments)


LOAD = """
import hashlib, json, sys
import spikeinterface.core as si
digests = {}
for name, file in json.load(open(sys.argv[1], encoding="utf-8")).items():
    recording = si.load(file)
    traces = [recording.get_traces(segment_index=index) for index in range(recording.get_num_segments())]
    digests[name] = hashlib.sha256(b"".join(part.tobytes() for part in traces)).hexdigest()
print(json.dumps(digests))
"""


@pytest.mark.slow
def test_another_process_reads_the_same_traces(parent, model, tmp_path):
    files, expected = {}, {}
    for number, case in enumerate(CASES.keys() - IN_MEMORY):
        recording = make(case, parent, model)
        digest = hashlib.sha256(b"".join(part.tobytes() for part in everything(recording))).hexdigest()
        for kind in ("json", "pkl"):
            name = f"{case}, {kind}"
            files[name], expected[name] = str(tmp_path / f"{number}.{kind}"), digest
            recording.dump(files[name])
    (tmp_path / "files.json").write_text(json.dumps(files), encoding="utf-8")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "files.json")]
    # As in this process: sums in another order, by several threads, round differently.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(result.stdout.splitlines()[-1]) == expected
