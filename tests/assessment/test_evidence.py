"""Traces are explained by spikes, spikes are compared with similar units, and what is left over is found."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.assessment.evidence import gather_evidence
from si_deepsort.assessment.features import LOG_NORM, compute_features
from si_deepsort.assessment.stretches import choose_stretches, without_overlaps
from si_deepsort.spike_vectors import make_spike_vector

RATE, NUM_FRAMES, NUM_CHANNELS = 30_000.0, 180_000, 6
LOCATIONS = np.column_stack([np.zeros(NUM_CHANNELS), 20.0 * np.arange(NUM_CHANNELS)])


def waveform(size: float, channel: int, width: float = 4.0) -> np.ndarray:
    """A white waveform of 66 samples, largest on one channel."""
    samples = np.arange(66)[:, None] - 24
    falloff = np.exp(-np.abs(np.arange(NUM_CHANNELS) - channel) / 1.5)
    return -size * np.exp(-((samples / width) ** 2)) * np.cos(samples / width) * falloff


@pytest.fixture(scope="module")
def scene():
    """White noise with spikes of three units: a large one, a similar smaller one, and one elsewhere."""
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((NUM_FRAMES, NUM_CHANNELS)).astype("float32")
    templates = [waveform(20, 1), waveform(12, 1, width=3.0), waveform(15, 5)]
    # Spikes of two units overlap, but never lie at the same frame.
    places = [np.arange(100 + 33 * unit, NUM_FRAMES - 100, 100) for unit in range(3)]
    trains = [np.sort(rng.choice(frames, 150, replace=False)) for frames in places]
    for template, train in zip(templates, trains, strict=True):
        for frame in train:
            traces[frame - 24 : frame + 42] += template
    recording = si.NumpyRecording([traces], RATE)
    recording.set_dummy_probe_from_locations(LOCATIONS)
    return recording, trains


def vector(trains):
    labels = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return make_spike_vector(np.concatenate(trains), labels, np.zeros(len(labels), dtype=int))


def test_all_spikes_explain_the_traces(scene):
    recording, trains = scene
    spikes = vector(trains)
    evidence = gather_evidence(recording, spikes, 3, most_s=60.0, seed=0)
    assert len(evidence.judged.positions) == len(spikes) and evidence.duration_s == pytest.approx(6.0)
    assert np.median(evidence.judged.misfits) == pytest.approx(1.0, abs=0.05)
    assert np.median(evidence.judged.amplitudes) == pytest.approx(1.0, abs=0.03)
    units = spikes["unit_index"][evidence.judged.positions]
    norms = evidence.templates.norms
    for unit in range(3):
        assert np.median(evidence.judged.scores[units == unit]) == pytest.approx(norms[unit], rel=0.1)
    margins = evidence.judged.scores - evidence.judged.other_scores
    assert (margins > 0).mean() > 0.98
    assert not ((evidence.events.sources >= 0) & (evidence.events.scores > 30)).any()


def test_similar_units_are_neighbours(scene):
    recording, trains = scene
    neighbours = gather_evidence(recording, vector(trains), 3, most_s=60.0, seed=0).neighbours
    assert neighbours.units[0, 0] == 1 and neighbours.units[1, 0] == 0


def test_spikes_that_were_left_out_are_found_again(scene):
    recording, trains = scene
    evidence = gather_evidence(recording, vector([trains[0][:75], trains[1], trains[2]]), 3, most_s=60.0, seed=0)
    is_spike = evidence.events.scores > 30
    again = evidence.events.frames[is_spike & (evidence.events.sources == 0)]
    gaps = np.abs(again[:, None] - trains[0][75:][None]).min(axis=0)
    assert (gaps <= 3).mean() > 0.9
    assert (evidence.events.sources[is_spike] == 0).mean() > 0.95


def test_a_missed_unit_is_left_over(scene):
    recording, trains = scene
    evidence = gather_evidence(recording, vector(trains[:2]), 2, most_s=60.0, seed=0)
    large = evidence.events.sizes > 8
    assert np.isin(evidence.events.channels[large], (4, 5)).mean() > 0.95 and large.sum() > 120


def test_spikes_of_the_wrong_unit_fit_the_other_better(scene):
    recording, trains = scene
    wrong = np.sort(np.concatenate([trains[1], trains[0][:30]]))
    spikes = vector([trains[0][30:], wrong, trains[2]])
    evidence = gather_evidence(recording, spikes, 3, most_s=60.0, seed=0)
    judged = spikes[evidence.judged.positions]
    is_wrong = (judged["unit_index"] == 1) & np.isin(judged["sample_index"], trains[0][:30])
    margins = evidence.judged.scores - evidence.judged.other_scores
    assert (margins[is_wrong] < 0).mean() > 0.9 and (evidence.judged.others[is_wrong] == 0).all()


def test_the_size_of_a_unit_has_its_place_among_the_features(scene):
    recording, trains = scene
    spikes = vector(trains)
    evidence = gather_evidence(recording, spikes, 3, most_s=60.0, seed=0)
    features = compute_features(evidence, spikes, [NUM_FRAMES], RATE)
    assert list(features.units)[LOG_NORM] == "log_norm"
    np.testing.assert_allclose(np.exp(features.unit_matrix()[:, LOG_NORM]), evidence.templates.norms, rtol=1e-4)
    assert np.isfinite(features.unit_matrix()).all() and np.isfinite(features.spike_matrix()).all()


def test_rare_units_are_read_outside_of_the_spread_stretches(scene):
    recording, trains = scene
    spikes = vector([trains[0], trains[1], trains[2][:20]])
    chosen = choose_stretches(recording, spikes, 3, most_s=2.0, seed=0)
    covered = np.concatenate([np.arange(start, stop) for _, start, stop in chosen])
    assert len(np.unique(covered)) == len(covered), "stretches overlap"
    assert np.isin(trains[2][:20], covered).all()
    assert sum(stop - start for _, start, stop in chosen) < 4 * RATE
    part = gather_evidence(recording, spikes, 3, most_s=2.0, seed=0)
    assert (spikes["unit_index"][part.judged.positions] == 2).sum() == 20


def test_short_stretches_give_way():
    found = without_overlaps([(0, 0, 100), (1, 0, 100)], [(0, 90, 120), (0, 110, 130), (1, 20, 40), (0, 300, 310)])
    assert found == [(0, 0, 100), (0, 100, 120), (0, 120, 130), (0, 300, 310), (1, 0, 100)]


def test_no_more_spikes_can_be_of_one_neuron_than_resemble_each_other(scene):
    recording, trains = scene
    chance = np.sort(np.random.default_rng(1).choice(np.arange(100, NUM_FRAMES - 100), 75, replace=False))
    half = np.sort(np.concatenate([trains[2][::2], chance]))
    few = trains[0][:10]
    evidence = gather_evidence(recording, vector([*trains, half, chance, few]), 6, most_s=60.0, seed=0)
    assert (evidence.most_of_one_neuron[:3] == 1).all(), "true units are not doubted"
    assert 0.5 < evidence.most_of_one_neuron[3] < 0.8 and evidence.most_of_one_neuron[4] < 0.6
    assert evidence.most_of_one_neuron[5] == 1, "ten spikes tell nothing"
