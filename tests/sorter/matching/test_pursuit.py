"""Matching: a spike at frame 1000 comes out at frame 1000; overlapping spikes are told apart; chunks do not matter."""

import numpy as np
import pytest
from small_recording import add_spikes, as_recording, spike_trains, unit_templates

from si_deepsort.chunks import are_inside, spread_chunks
from si_deepsort.preprocessing.half_precision import single_precision
from si_deepsort.sorter.matching.correlate import correlate_blocks, correlate_templates, make_matched_filters
from si_deepsort.sorter.matching.kernels import INTERPOLATION_REACH, JITTERS, peak_between
from si_deepsort.sorter.matching.match import MatchingValues, match_templates, noise_scales
from si_deepsort.sorter.matching.overlaps import correlate_pairs, make_template_overlaps
from si_deepsort.sorter.matching.pursuit import pursue_spikes

NUM_CHANNELS = 4
TEMPLATES, NBEFORE = unit_templates(3, NUM_CHANNELS, amplitude_uV=12.0)


def pursue(traces, templates=TEMPLATES, threshold=18.0, refractory=10, stride=1):
    frames, units, amplitudes, scores = pursue_spikes(
        traces.astype("float32"),
        make_matched_filters(templates, stride),
        make_template_overlaps(templates, stride),
        thresholds=np.full(len(templates), threshold),
        amplitude_variance=0.02,
        refractory_frames=refractory,
    )
    return frames + NBEFORE, units, amplitudes, scores


def silent(num_frames=4000):
    return np.zeros((num_frames, NUM_CHANNELS))


@pytest.mark.parametrize(("frame", "stride"), [(1000, 1), (1000, 2), (1001, 2)])
def test_spike_at_a_frame_comes_out_there(frame, stride):
    traces = silent()
    add_spikes(traces, [[], [frame], []], TEMPLATES, NBEFORE)
    frames, units, amplitudes, scores = pursue(traces, stride=stride)
    assert frames.tolist() == [frame] and units.tolist() == [1]
    np.testing.assert_allclose(amplitudes, 1.0, atol=0.02)
    np.testing.assert_allclose(scores[0], np.sum(TEMPLATES[1] ** 2), rtol=0.05)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("delay", [0, 1, 4, 9, 25])
def test_two_overlapping_units_are_both_found(delay, stride):
    traces = silent() + np.random.default_rng(delay).standard_normal((4000, NUM_CHANNELS))
    add_spikes(traces, [[2000], [2000 + delay], []], TEMPLATES, NBEFORE)
    frames, units, _, _ = pursue(traces, stride=stride)
    found = dict(zip(units.tolist(), frames.tolist(), strict=True))
    assert set(found) == {0, 1}
    assert abs(found[0] - 2000) <= 1 and abs(found[1] - 2000 - delay) <= 1


def test_silence_and_noise_have_no_spikes():
    assert len(pursue(silent())[0]) == 0
    noise = np.random.default_rng(0).standard_normal((200_000, NUM_CHANNELS))
    assert len(pursue(noise)[0]) <= 5


def test_larger_threshold_keeps_a_subset():
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((40_000, NUM_CHANNELS))
    add_spikes(traces, spike_trains(3, 40_000, rng), 0.5 * TEMPLATES, NBEFORE)
    sizes = [len(pursue(traces, threshold=threshold)[0]) for threshold in (5.0, 18.0, 1000.0)]
    assert sizes[0] >= sizes[1] > sizes[2]


def test_unit_does_not_fire_twice_within_its_refractory_period():
    traces = silent()
    add_spikes(traces, [[1000, 1006], [], []], TEMPLATES, NBEFORE)
    frames, units, _, _ = pursue(traces, refractory=20)
    assert np.sum(units == 0) <= 1
    assert np.all(np.diff(frames[units == 0]) > 20)


def test_correlation_is_the_inner_product():
    traces = np.random.default_rng(0).standard_normal((10_000, NUM_CHANNELS)).astype("float32")
    correlations = correlate_templates(traces, make_matched_filters(TEMPLATES))
    for start in (0, 17, 8190, 8200, 10_000 - TEMPLATES.shape[1]):
        expected = [np.sum(template * traces[start : start + len(template)]) for template in TEMPLATES]
        np.testing.assert_allclose(correlations[:, start], expected, rtol=1e-3, atol=1e-2)


def test_stored_halves_are_matched_as_single_precision_traces_of_the_same_numbers():
    halves = np.random.default_rng(0).standard_normal((20_000, NUM_CHANNELS)).astype("float16")
    halves[3000 : 3000 + TEMPLATES.shape[1]] += TEMPLATES[0].astype("float16")
    values = MatchingValues(method="pursuit", threshold=18.0, amplitude_variance=0.02, seed=0)
    found = [
        match_templates(recording, TEMPLATES.astype("float32"), NBEFORE, values, job_kwargs=dict(progress_bar=False))
        for recording in (single_precision(as_recording(halves)), as_recording(halves.astype("float32")))
    ]
    assert len(found[0]) > 0
    np.testing.assert_array_equal(*found)


def test_traces_shorter_than_a_template_and_no_templates():
    assert len(pursue(silent(10))[0]) == 0
    assert len(pursue(silent(), templates=TEMPLATES[:0])[0]) == 0


def matched(traces, method="pursuit", **options):
    values = MatchingValues(method=method, threshold=18.0, amplitude_variance=0.02, seed=0)
    options = dict(job_kwargs=dict(n_jobs=1, progress_bar=False)) | options
    return match_templates(as_recording(traces), TEMPLATES.astype("float32"), NBEFORE, values, **options)


def scene(seed=0, num_frames=60_000):
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((num_frames, NUM_CHANNELS)).astype("float32")
    trains = spike_trains(3, num_frames, rng, rate_hz=20.0)
    add_spikes(traces, trains, TEMPLATES, NBEFORE)
    return traces, trains


def test_most_spikes_are_found_by_their_unit():
    traces, trains = scene()
    spikes = matched(traces)
    for unit, train in enumerate(trains):
        own = spikes["sample_index"][spikes["unit_index"] == unit]
        assert np.mean([np.abs(own - frame).min() <= 1 for frame in train]) > 0.95
        assert len(own) < 1.05 * len(train)


def test_chunks_equal_the_whole():
    traces, _ = scene()
    whole, chunks = (matched(traces, job_kwargs=dict(n_jobs=1, chunk_duration=d)) for d in ("10s", "0.2s"))
    found = [set(spikes[["sample_index", "unit_index"]].tolist()) for spikes in (whole, chunks)]
    assert len(found[0] & found[1]) >= 0.99 * len(found[0] | found[1])


def test_spikes_do_not_depend_on_where_blocks_of_places_end():
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((30_000, NUM_CHANNELS))
    add_spikes(traces, spike_trains(3, 30_000, rng, rate_hz=100.0), TEMPLATES, NBEFORE)
    found = []
    for start in (0, 700, 1500):
        frames, units, _, _ = pursue(traces[start:])
        found.append({pair for pair in zip(frames + start, units, strict=True) if 2000 < pair[0] < 29_000})
    assert len(found[0]) > 200
    assert found[0] == found[1] == found[2]


def test_spikes_that_wait_for_larger_ones_through_many_blocks_are_all_found():
    """Each is a little larger than the one before, which waits for it, and so on from the end to the start."""
    traces, frames = silent(12_000), np.arange(20, 11_800, 60)
    for frame, amplitude in zip(frames, np.linspace(0.8, 1.2, len(frames)), strict=True):
        add_spikes(traces, [[frame + NBEFORE]], amplitude * TEMPLATES[:1], NBEFORE)
    for stride in (1, 2):
        found, _, _, _ = pursue(traces, stride=stride)
        assert found.tolist() == (frames + NBEFORE).tolist()


def test_segments_keep_their_own_times():
    (first, trains), (second, others) = scene(0), scene(1, num_frames=30_000)
    spikes = matched([first, second])
    for segment, expected in enumerate((trains, others)):
        own = spikes[spikes["segment_index"] == segment]["sample_index"]
        assert np.mean([np.abs(own - frame).min() <= 1 for frame in np.concatenate(expected)]) > 0.95
        assert own.max() < [60_000, 30_000][segment]


@pytest.mark.parametrize("method", ["wobble", "circus-omp", "nearest"])
def test_spikeinterfaces_methods_can_be_chosen(method):
    traces, _ = scene(num_frames=20_000)
    spikes = matched(traces, method=method)
    assert spikes.dtype.names[:3] == ("sample_index", "unit_index", "segment_index") and len(spikes) > 20


def test_scale_of_white_noise_is_1():
    noise = np.random.default_rng(0).standard_normal((60_000, NUM_CHANNELS)).astype("float32")
    np.testing.assert_allclose(noise_scales(as_recording(noise), TEMPLATES, seed=0), 1.0, atol=0.08)
    np.testing.assert_allclose(noise_scales(as_recording(2 * noise), TEMPLATES, seed=0), 2.0, atol=0.16)


def test_overlaps_are_the_correlations_of_templates():
    for unit, (others, overlaps) in enumerate(correlate_pairs(TEMPLATES.astype("float32"), max_lag=15)):
        for other, overlap in zip(others, overlaps, strict=True):
            for lag in (-15, -2, 0, 7):
                length = TEMPLATES.shape[1] - abs(lag)
                first, second = TEMPLATES[unit][max(lag, 0) :][:length], TEMPLATES[other][max(-lag, 0) :][:length]
                np.testing.assert_allclose(overlap[0, 15 + lag], np.sum(first * second), atol=1e-2)


def test_correlations_at_every_second_frame_are_those_of_all_frames():
    traces = np.random.default_rng(0).standard_normal((10_001, NUM_CHANNELS)).astype("float32")
    add_spikes(traces, [[3000], [3005], [7001]], TEMPLATES, NBEFORE)
    every, second = (correlate_templates(traces, make_matched_filters(TEMPLATES, stride)) for stride in (1, 2))
    # What templates hold above a quarter of the sampling rate, because they end, is all that is missing.
    assert second.shape == every[:, ::2].shape
    assert np.linalg.norm(second - every[:, ::2]) < 0.02 * np.linalg.norm(every[:, ::2])


def test_blocks_between_zeros_have_the_correlations_of_each_alone():
    blocks = np.random.default_rng(0).standard_normal((3, 200, NUM_CHANNELS)).astype("float32")
    blocks[:, : TEMPLATES.shape[1]] = 0
    alone = make_matched_filters(TEMPLATES)
    found = correlate_blocks(blocks, make_matched_filters(TEMPLATES, block_frames=200))
    for number, block in enumerate(blocks):
        expected = correlate_templates(np.pad(block, ((0, TEMPLATES.shape[1] - 1), (0, 0))), alone)
        np.testing.assert_allclose(found[:, number, :200], expected, atol=1e-2)


def test_interpolated_overlaps_are_those_of_delayed_templates():
    overlaps = make_template_overlaps(TEMPLATES.astype("float32"))
    delays = np.arange(JITTERS) / JITTERS - 0.5
    pairs = correlate_pairs(TEMPLATES.astype("float32"), max_lag=TEMPLATES.shape[1] - 1, delays=delays)
    exact = np.concatenate([correlations for _, correlations in pairs])
    taps = range(2 * INTERPOLATION_REACH + 1)
    for jitter in range(JITTERS):
        found = sum(overlaps.delays[jitter, tap] * overlaps.values[:, tap : tap + exact.shape[2]] for tap in taps)
        np.testing.assert_allclose(found, exact[:, jitter], atol=5e-3 * overlaps.norms.max())


def test_overlaps_that_noise_hides_are_left_out():
    templates = np.concatenate([TEMPLATES, 0.01 * TEMPLATES[:1]]).astype("float32")
    overlaps = make_template_overlaps(templates)
    seen = [overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]].tolist() for unit in range(4)]
    assert seen == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [3]]


def test_chunks_are_spread_over_all_segments():
    recording = as_recording([silent(100_000), silent(50_000)])
    second = round(recording.get_sampling_frequency())
    assert spread_chunks(recording, most_s=recording.get_total_duration()) is None
    chunks = spread_chunks(recording, most_s=3.0)
    assert len(chunks) == 3 and all(stop - start <= second for _, start, stop in chunks)
    assert chunks[0][:2] == (0, 0) and chunks[-1][0] == 1 and chunks[-1][2] == 50_000


def test_chosen_chunks_have_the_spikes_that_the_whole_has_there():
    traces, _ = scene()
    whole, chunks = matched(traces), [(0, 10_000, 20_000), (0, 40_000, 50_000)]
    some = matched(traces, chunks=chunks)
    inside = whole[are_inside(whole, chunks)]
    assert 0 < len(inside) < len(whole) and are_inside(whole, None).all()
    expected, found = (set(spikes[["sample_index", "unit_index"]].tolist()) for spikes in (inside, some))
    assert len(expected & found) >= 0.98 * len(expected | found)


def test_templates_of_a_few_samples_at_the_ends_of_the_traces():
    """Overlaps reach no farther than a template, and a peak on the first or last frame has nothing beside it."""
    shape = np.array([1.0, -8.0, 4.0])
    templates = np.stack([np.outer(shape, [1.0, 0.0]), np.outer(shape[::-1], [0.0, 1.0])])
    traces = np.zeros((40, 2), dtype="float32")
    for unit, start in ((0, 0), (1, 20), (0, 37)):
        traces[start : start + 3] += templates[unit]
    frames, units, amplitudes, _ = pursue(traces, templates=templates, refractory=2)
    assert (frames - NBEFORE).tolist() == [0, 20, 37] and units.tolist() == [0, 1, 0]
    np.testing.assert_allclose(amplitudes, 1.0, atol=0.05)


def test_height_between_places_is_bounded():
    """A spike a quarter of a place late is read exactly; what is no sine of a spike cannot be any height."""
    places = np.cos(0.8 * (np.arange(-1, 2) - 0.25)).astype("float32")
    jitter, height = peak_between(*places)
    assert jitter == 0.75 * JITTERS and np.isclose(height, 1.0, atol=1e-3)
    assert peak_between(np.float32(-1.7), np.float32(1.0), np.float32(0.2))[1] < 1.12


def test_a_unit_that_may_not_fire_is_not_chosen_when_spikes_are_fitted_again():
    """The spike is of unit 1, which its threshold forbids; it is found as the most similar unit 0."""
    templates = np.stack([TEMPLATES[0] + 0.3 * TEMPLATES[1], TEMPLATES[0] + 0.5 * TEMPLATES[1]])
    traces = silent()
    add_spikes(traces, [[], [1000]], templates, NBEFORE)
    found = []
    for thresholds in ([18.0, 18.0], [18.0, np.inf]):
        _, units, _, _ = pursue_spikes(
            traces.astype("float32"),
            make_matched_filters(templates),
            make_template_overlaps(templates),
            thresholds=np.array(thresholds),
            amplitude_variance=0.02,
            refractory_frames=10,
        )
        found.append(units.tolist())
    assert found == [[1], [0]]


def test_what_is_far_too_small_for_a_unit_is_left_out_of_the_last_matching_only():
    traces = np.random.default_rng(0).standard_normal((20_000, NUM_CHANNELS)).astype("float32")
    large = 5 * TEMPLATES
    add_spikes(traces, [[2000, 4000], [], []], large, NBEFORE)
    add_spikes(traces, [[6000, 8000], [], []], 0.7 * large, NBEFORE)
    add_spikes(traces, [[10_000, 12_000], [], []], 0.25 * large, NBEFORE)
    values = MatchingValues(method="pursuit", threshold=18.0, amplitude_variance=0.02, seed=0)
    all_found, spikes = (
        match_templates(
            as_recording(traces), large.astype("float32"), NBEFORE, values, job_kwargs={}, keep_misfits=keep_misfits
        )
        for keep_misfits in (True, False)
    )
    found = [set(some["sample_index"][some["unit_index"] == 0]) for some in (all_found, spikes)]
    assert found[0] == {2000, 4000, 6000, 8000, 10_000, 12_000}
    assert found[1] == {2000, 4000, 6000, 8000}
