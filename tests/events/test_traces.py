"""Files of traces: units, rates, sweeps and channels are those of the file."""

import os
from pathlib import Path

import h5py
import neo
import numpy as np
import pytest
import quantities as pq
import scipy.io
import spikeinterface.core as si
from spikeinterface.preprocessing import scale_to_physical_units, scale_to_uV

from si_deepsort.events.segment import one_channel, segment_events
from si_deepsort.events.simulate import simulate_events
from si_deepsort.events.text_traces import unit_in_name
from si_deepsort.events.traces import _recording_of_block, read_trace, scaled_traces, unit_of
from si_deepsort.events.units import clean_unit

RATE = 10_000.0
FACTORS = {"V": 1e6, "mV": 1e3, "uV": 1.0, "A": 1e12, "nA": 1e3, "pA": 1.0}
MICRO, MU = "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"
ABF = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")) / "pyabf_psc"
needs_abf = pytest.mark.skipif(not ABF.exists(), reason="the public ABF recordings are not here")


def stored(values, unit, gain):
    """An integer recording as SpikeInterface's readers make it from a file in `unit`."""
    recording = si.NumpyRecording([np.round(values / gain).astype("int16")[:, None]], RATE)
    to_uv = {"V": 1e6, "mV": 1e3, "uV": 1.0}.get(unit, 1.0)
    for name, value in (("gain_to_uV", gain * to_uv), ("offset_to_uV", 0.0)):
        recording.set_property(name, [value])
    for name, value in (("physical_unit", unit), ("gain_to_physical_unit", gain), ("offset_to_physical_unit", 0.0)):
        recording.set_property(name, [value])
    return recording


@pytest.mark.parametrize("unit", ["V", "mV", "uV", f"{MICRO}V", f"{MU}V", "A", "nA", "pA", "nV"])
def test_values_are_in_the_unit_that_is_named(unit, tmp_path):
    values = np.linspace(-60, 40, 1000)
    recording = stored(values, unit, 0.0305)
    named = unit.replace(MICRO, "u").replace(MU, "u")
    variants = [recording, scale_to_physical_units(recording), scale_to_uV(recording)]
    variants.append(recording.save(folder=tmp_path / "saved", verbose=False))
    for variant in variants:
        assert unit_of(variant) == named
        np.testing.assert_allclose(scaled_traces(variant, 0, 0, 1000), values, atol=0.02)


@pytest.mark.parametrize("unit", sorted(FACTORS))
def test_events_are_the_same_in_any_unit(unit):
    recording, _ = simulate_events("current", duration_s=5.0, seed=3)
    trace = recording.get_traces()[:, 0]
    reference = segment_events(recording)
    scaled = si.NumpyRecording([(trace / FACTORS[unit])[:, None].astype("float32")], recording.sampling_frequency)
    scaled.set_property("physical_unit", [unit])
    events = segment_events(scaled)
    assert events.attrs["unit"] == unit and len(events) == len(reference)
    np.testing.assert_allclose(events.amplitude * FACTORS[unit], reference.amplitude, rtol=1e-2)
    np.testing.assert_allclose(events.onset_s, reference.onset_s, atol=1e-4)


SPELLINGS = {f"{MICRO}V": "uV", f"{MU}A": "uA", "millivolts": "mV", "pa": "pA", "Volts": "V", "[mV]": "mV"}
SPELLINGS |= {"": "", "dimensionless": "", "MV": "MV", "a.u.": "a.u."}


@pytest.mark.parametrize("spelling, unit", SPELLINGS.items())
def test_spellings_of_units(spelling, unit):
    assert clean_unit(spelling) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("I (pA)", "pA"),
        ("Vm [mV]", "mV"),
        ("I_pA", "pA"),
        ("mV", "mV"),
        ("pa", "pA"),
        ("V", ""),
        ("A", ""),
        ("NA", ""),
        ("Vm", ""),
    ],
)
def test_units_in_names_of_columns(name, unit):
    assert unit_in_name(name) == unit


@pytest.mark.parametrize("unit", ["V", "mV", "uV", "A", "nA", "pA"])
def test_neo_blocks_keep_units_sweeps_and_channels(unit):
    block = neo.Block()
    for sweep in range(3):
        segment = neo.Segment()
        values = np.arange(20.0).reshape(10, 2) + 100 * sweep
        segment.analogsignals.append(neo.AnalogSignal(values, units=unit, sampling_rate=5 * pq.kHz, name="a"))
        block.segments.append(segment)
    recording = _recording_of_block(block)
    assert recording.get_num_segments() == 3 and recording.get_sampling_frequency() == 5000.0
    assert unit_of(recording) == unit
    with pytest.raises(ValueError, match=f"channels.*{unit}"):
        one_channel(recording)
    second = one_channel(recording, recording.channel_ids[1])
    np.testing.assert_array_equal(scaled_traces(second, 2, 0, 10), np.arange(201, 220, 2))


def test_patch_clamp_series_of_nwb_are_read(tmp_path):
    with h5py.File(tmp_path / "cell.nwb", "w") as file:
        for sweep in (1, 0, 10):
            group = file.create_group(f"acquisition/sweep_{sweep}")
            group.attrs["neurodata_type"], group.attrs["sweep_number"] = "CurrentClampSeries", sweep
            data = group.create_dataset("data", data=np.full(100, -65 + sweep, dtype="int16"))
            data.attrs["conversion"], data.attrs["unit"] = 1e-3, "volts"
            group.create_dataset("starting_time", data=10.0 * sweep).attrs["rate"] = 20_000.0
    recording = read_trace(tmp_path / "cell.nwb")
    assert recording.get_num_segments() == 3 and unit_of(recording) == "V"
    levels = [scaled_traces(recording, segment, 0, 100).mean() for segment in range(3)]
    np.testing.assert_allclose(levels, [-0.065, -0.064, -0.055], rtol=1e-6)


def test_axon_text_files_have_their_sweeps(tmp_path):
    rows = "".join(f"{n / 20:.3f}\t{-60 + n % 7}\t{-61 + n % 5}\n" for n in range(1000))
    head = 'ATF\t1.0\n3\t3\n"AcquisitionMode=Episodic Stimulation"\n"SweepStartTimesMS=0.000,1000.000"\n'
    head += '"SignalsExported=Im"\n"Time (ms)"\t"Trace #1 (pA)"\t"Trace #2 (pA)"\n'
    (tmp_path / "cell.atf").write_text(head + rows, encoding="cp1252")
    recording = read_trace(tmp_path / "cell.atf")
    assert recording.get_num_segments() == 2 and recording.get_sampling_frequency() == 20_000.0
    assert unit_of(recording) == "pA" and scaled_traces(recording, 1, 0, 1000).mean() == pytest.approx(-59.0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("".join(f"{n / 20},{n % 5}\n" for n in range(600)), "rate of 20 Hz"),
        ("I (pA)\n" + "".join(f"{n % 5}\n" for n in range(600)), "one column"),
        ("I (pA),V (mV)\n" + "".join(f"{n % 5},{n}\n" for n in range(600)), "called 'time"),
        ("time (s),I (pA)\n" + "".join(f"{-n / 2e4},{n % 5}\n" for n in range(600)), "do not increase"),
        ("time (s),I (pA)\n" + "".join(f"0.0,{n % 5}\n" for n in range(600)), "do not increase"),
        ("time (s),I (pA)\n" + "".join(f"{n / 2e4},{'x' if n == 9 else n % 5}\n" for n in range(600)), "line 11"),
        ("time (s),I (pA)\n" + "".join(f"{(n + (n > 300)) / 2e4},1\n" for n in range(600)), "not evenly spaced"),
        ("nothing here\n", "no line holds numbers"),
        ("time (s),I (pA)\nms,pA\n" + "".join(f"{n / 20},{n % 5}\n" for n in range(600)), "different units"),
        ("time (s),I (pA)\n" + "".join(f"{(n + (n > 300)) / 1e4:.4f},1\n" for n in range(600)), "is missing"),
        ("time (s),I (pA)\n" + "".join(f"{(n - (n > 300)) / 1e4:.4f},1\n" for n in range(600)), "repeated"),
        ("time (s),time (ms),I (pA)\n" + "".join(f"{n / 1e4},{n / 9},1\n" for n in range(600)), "different times"),
    ],
)
def test_doubtful_text_traces_are_refused_with_the_reason(text, message, tmp_path):
    (tmp_path / "trace.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_trace(tmp_path / "trace.csv")


@pytest.mark.parametrize(
    "heading, seconds",
    [
        ("index,time (ms),time (s)", 1e-3),
        (",Time/ms,Zeit (s)", 1e-3),
        ("Sample,time (min),time,s", 60.0),
        ("point,t [us],time (s)", 1e-6),
    ],
)
def test_row_numbers_and_second_times_are_no_channels(heading, seconds, tmp_path):
    heading = heading.replace("time,s", "time in s")
    rows = [f"{n},{n / 1e4 / seconds:.12g},{n / 1e4:.4f},{n % 7}" for n in range(600)]
    (tmp_path / "trace.csv").write_text("\n".join([f"{heading},I (pA)", *rows]), encoding="utf-8")
    recording = read_trace(tmp_path / "trace.csv")
    assert recording.get_num_channels() == 1 and recording.get_sampling_frequency() == pytest.approx(1e4, rel=1e-3)
    assert scaled_traces(recording, 0, 0, 14).tolist() == [*range(7), *range(7)] and unit_of(recording) == "pA"


def test_times_since_1970_are_read(tmp_path):
    rows = [f"{1_700_000_000 + n / 1e4:.4f},{n % 7}" for n in range(600)]
    (tmp_path / "trace.csv").write_text("\n".join(["time (s),I (pA)", *rows]), encoding="utf-8")
    assert read_trace(tmp_path / "trace.csv").get_sampling_frequency() == 1e4


def test_several_columns_are_channels(tmp_path):
    rows = "".join(f"{n / 20};{n % 5},5;{n % 3},25\n".replace(".", ",") for n in range(600))
    (tmp_path / "two.csv").write_text("Time (ms);I (nA);V (\N{MICRO SIGN}V)\n" + rows, encoding="cp1252")
    recording = read_trace(tmp_path / "two.csv")
    assert recording.get_sampling_frequency() == 20_000.0
    voltage = one_channel(recording, "V (\N{MICRO SIGN}V)")
    assert unit_of(voltage) == "uV" and scaled_traces(voltage, 0, 0, 3).tolist() == [0.25, 1.25, 2.25]


def test_arrays_of_several_channels_or_without_rate_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", trace=np.zeros((100, 2)), sampling_frequency=RATE)
    with pytest.raises(ValueError, match="one channel"):
        read_trace(tmp_path / "two.npz")
    for rate in (0.0, -1.0, np.inf, np.nan, "10 kHz", [1e4, 2e4]):
        np.savez(tmp_path / "rate.npz", trace=np.zeros(100), sampling_frequency=rate)
        with pytest.raises(ValueError, match="positive"):
            read_trace(tmp_path / "rate.npz")


def test_what_holds_no_trace_says_what_to_give_instead(tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros(100))
    with pytest.raises(ValueError, match="sampling_frequency"):
        read_trace(tmp_path / "plain.npy")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="give the file in it"):
        read_trace(tmp_path / "folder.csv")


def test_an_unknown_format_says_so(tmp_path):
    (tmp_path / "cell.xyz").write_bytes(b"???")
    with pytest.raises(ValueError, match="no reader knows"):
        read_trace(tmp_path / "cell.xyz")


@needs_abf
def test_a_membrane_potential_in_mv_is_in_mv():
    recording = read_trace(ABF / "171116sh_0017.abf")
    assert unit_of(recording) == "mV"
    assert np.median(scaled_traces(recording, 0, 0, 100_000)) == pytest.approx(-62, abs=3)


@needs_abf
def test_sweeps_of_abf1_are_segments():
    one, two = (read_trace(ABF / name) for name in ("171116sh_0020.abf", "171116sh_0020_saved.abf"))
    assert one.get_num_segments() == two.get_num_segments() == 7
    for sweep in range(7):
        np.testing.assert_allclose(scaled_traces(two, sweep, 0, 999), scaled_traces(one, sweep, 0, 999), atol=0.1)


@needs_abf
def test_a_test_pulse_of_a_recorded_sweep_is_excluded():
    recording = read_trace(ABF / "2018-11-26_mini_analysis_converted.abf").frame_slice(0, 25_000)
    without = segment_events(recording, polarity=-1, exclude_s=[(0.0, 0.2)])
    assert (without.onset_s >= 0.199).all() and len(without) > 5
    assert without.attrs["analysed_s"] == pytest.approx(without.attrs["duration_s"] - 0.2, abs=0.01)


def test_bytes_of_an_unknown_rate_are_no_trace(tmp_path):
    for name in ("cell.bin", "cell.raw"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(3000))
        with pytest.raises(ValueError, match="cannot be read as a trace") as caught:
            read_trace(tmp_path / name)
        assert "RawBinary" not in str(caught.value) and len(str(caught.value)) < 600
    np.savez(tmp_path / "empty.npz", trace=np.zeros(0), sampling_frequency=RATE)
    with pytest.raises(ValueError, match="expected one channel of numbers"):
        read_trace(tmp_path / "empty.npz")


def test_an_empty_column_between_two_separators_is_no_channel(tmp_path):
    rows = "".join(f"{i / RATE:.4f}\t\t{i % 7}.25\n" for i in range(2000))
    (tmp_path / "cell.txt").write_text(f"time (s)\t\tI (pA)\n{rows}", encoding="utf-8")
    recording = read_trace(tmp_path / "cell.txt")
    assert recording.get_num_channels() == 1 and unit_of(recording) == "pA"
    np.testing.assert_array_equal(recording.get_traces()[:, 0], np.arange(2000) % 7 + np.float32(0.25))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_that_ends_within_a_number_is_refused(encoding, tmp_path):
    text = "time (s),I (pA)\n" + "".join(f"{i / RATE:.4f},{-50 - i % 7}.250\n" for i in range(2000))
    for cut, is_whole in ((1, True), (2, False), (5, False)):
        (tmp_path / "cell.csv").write_bytes(text[:-cut].encode(encoding))
        if is_whole:
            assert read_trace(tmp_path / "cell.csv").get_num_frames() == 2000
            continue
        with pytest.raises(ValueError, match="ends within its last number"):
            read_trace(tmp_path / "cell.csv")


@pytest.mark.parametrize(("columns", "is_right"), [(2, True), (3, False), (1, False)])
def test_an_axon_text_file_has_the_columns_that_it_announces(columns, is_right, tmp_path):
    rows = "".join(f"{frame / 20:.3f}\t{frame % 7}\n" for frame in range(200))
    (tmp_path / "a.atf").write_text(f'ATF\t1.0\n0\t{columns}\n"Time (ms)"\t"Im (pA)"\n{rows}', encoding="utf-8")
    if is_right:
        assert read_trace(tmp_path / "a.atf").get_sampling_frequency() == pytest.approx(20_000)
        return
    with pytest.raises(ValueError, match=f"says that there are {columns} columns, but there are 2"):
        read_trace(tmp_path / "a.atf")


def test_a_file_of_variables_is_refused_with_the_remedy(tmp_path):
    scipy.io.savemat(tmp_path / "m.mat", dict(x=np.zeros(100)))
    with pytest.raises(ValueError, match=r"does not say which variable is the trace; save an \.npz"):
        read_trace(tmp_path / "m.mat")
