"""Second peaks of spikes are told by coming back; coincidences of neurons are not."""

import numpy as np
import pytest

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.second_peaks import are_second_peaks
from si_deepsort.generation import GenerationSettings, cable_templates, generate_recording, named_probe

FREQUENCY = 30_000.0
LOCATIONS_UM = 25.0 * np.arange(12)
DISTANCES_UM = np.abs(LOCATIONS_UM[:, None] - LOCATIONS_UM)
QUIET = dict(progress_bar=False, n_jobs=1)


def train(rng, rate=10.0, duration_s=60.0):
    """Spikes that come at random, at least 3 ms apart."""
    return np.cumsum(90 + rng.exponential(FREQUENCY / rate, int(rate * duration_s))).astype(int)


def found(*peaks, frequency=FREQUENCY):
    """For each (frames, channel, size), which of its peaks are second ones; sizes vary by a tenth."""
    rng = np.random.default_rng(1)
    frames = np.concatenate([frames for frames, *_ in peaks])
    channels = np.concatenate([np.full(len(frames), channel) for frames, channel, _ in peaks])
    sizes = np.concatenate([size * np.exp(0.05 * rng.standard_normal(len(frames))) for frames, _, size in peaks])
    order = rng.permutation(len(frames))
    result = np.zeros(len(frames), dtype=bool)
    result[order] = are_second_peaks(frames[order], channels[order], sizes[order], DISTANCES_UM, frequency)
    return np.split(result, np.cumsum([len(frames) for frames, *_ in peaks])[:-1])


@pytest.mark.parametrize(("delay", "channel", "size"), [(0, 6, 8.0), (12, 2, 15.0), (-15, 1, 7.0), (30, 3, 9.0)])
def test_a_peak_that_comes_with_every_spike_is_a_second_one_and_the_spike_is_not(delay, channel, size):
    spikes = train(np.random.default_rng(0))
    main, second = found((spikes, 2, 20.0), (spikes + delay, channel, size))
    assert not main.any() and second.mean() > 0.95


def test_neurons_that_ignore_each_other_lose_nothing():
    rng = np.random.default_rng(0)
    results = found(
        *((train(rng, 20.0), channel, size) for channel, size in ((2, 30.0), (3, 15.0), (5, 9.0), (5, 7.0)))
    )
    assert np.concatenate(results).mean() < 0.005


def test_neurons_that_join_each_other_within_a_millisecond_lose_little():
    rng = np.random.default_rng(0)
    spikes = train(rng)
    joined = spikes[rng.random(len(spikes)) < 0.3]
    small = np.sort(np.r_[train(rng), joined + rng.integers(-24, 25, len(joined))])
    main, other = found((spikes, 2, 20.0), (small, 4, 8.0))
    assert not main.any() and other.mean() < 0.06


def test_a_few_spikes_say_nothing_and_no_peaks_do_no_harm():
    spikes = train(np.random.default_rng(0))[:5]
    assert not np.concatenate(found((spikes, 2, 20.0), (spikes, 5, 8.0))).any()
    assert len(are_second_peaks(*(np.zeros(0, dtype=int),) * 2, np.zeros(0), DISTANCES_UM, FREQUENCY)) == 0


def test_peaks_far_away_are_spikes_of_others():
    spikes = train(np.random.default_rng(0))
    main, far = found((spikes, 0, 20.0), (spikes, 11, 8.0))
    assert not main.any() and not far.any()


def test_a_neuron_with_dendrites_is_found_once():
    sizes, rates = dict(amplitude_min_uV=190.0, amplitude_max_uV=200.0), dict(firing_rate_min=14.0)
    settings = GenerationSettings(duration_s=10.0, num_units=1, num_far_units=0, **sizes, **rates, seed=1)
    probe = named_probe("linear32")
    templates_uV, nbefore = cable_templates(probe.contact_positions, settings, np.random.default_rng(3))
    recording, sorting = generate_recording(probe, settings, templates_uV=templates_uV, nbefore=nbefore)
    recording = recording.save(format="memory", progress_bar=False)
    num_spikes = sorting.count_total_num_spikes()
    options = dict(method="energy", threshold=9.0, job_kwargs=QUIET)
    once, often = (len(find_peaks(recording, as_candidates=second, **options)) for second in (False, True))
    assert once == pytest.approx(num_spikes, rel=0.15) and often > 1.2 * num_spikes
