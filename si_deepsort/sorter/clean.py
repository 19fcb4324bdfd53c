"""Step 6 of the sorter: which units are kept, in which order, and what is told about them."""

import logging

import numpy as np
from spikeinterface.core import NumpySorting

from ..noise import noise_levels, sample_traces
from .templates import average_waveforms

logger = logging.getLogger(__name__)

NUM_SPIKES_FOR_AMPLITUDE = 500


def clean_units(traces, white, spikes: np.ndarray, settings) -> NumpySorting:
    """
    Drop units that fire too rarely or are too small; order the rest by depth.

    Amplitudes are measured before whitening, where they mean something to a user.

    Parameters
    ----------
    traces, white : BaseRecording
        Cached and lazy white traces.
    spikes : np.ndarray
        SpikeInterface's spike vector.
    settings : DeepSortSettings

    Returns
    -------
    NumpySorting
        With the properties `snr` (peak in noise levels) and `main_channel_id`.
    """
    sampling_frequency = traces.get_sampling_frequency()
    num_units = int(spikes["unit_index"].max(initial=-1)) + 1
    band_passed = white.get_parent()
    nbefore, nafter = (round(ms * sampling_frequency / 1000) for ms in (1.0, 1.5))
    few = _some_spikes(spikes, num_units, settings.seed)
    averages = average_waveforms(band_passed, few, num_units, nbefore=nbefore, nafter=nafter, seed=settings.seed)
    levels = noise_levels(sample_traces(band_passed, seed=settings.seed, num_chunks=10))
    peaks = np.abs(averages).max(axis=1) / np.where(levels > 0, levels, np.inf)
    snr = peaks.max(axis=1) if num_units else np.zeros(0)
    counts = np.bincount(spikes["unit_index"], minlength=num_units)
    is_kept = (counts >= settings.min_firing_rate * traces.get_total_duration()) & (snr >= settings.min_amplitude)
    main_channels = peaks.argmax(axis=1) if num_units else np.zeros(0, dtype=int)
    depths = traces.get_channel_locations()[main_channels, 1] if num_units else np.zeros(0)
    order = np.flatnonzero(is_kept)[np.argsort(depths[is_kept], kind="stable")]
    logger.info("%d of %d units kept", len(order), num_units)
    # The lag of the whitening filter differs between units; a user expects the time of the largest peak.
    lags = np.abs(averages[np.arange(num_units), :, main_channels]).argmax(axis=1) - nbefore if num_units else order
    return _as_sorting(traces, spikes, order, lags, snr, main_channels)


def _some_spikes(spikes, num_units, seed):
    rng = np.random.default_rng(seed)
    chosen = []
    for unit in range(num_units):
        own = np.flatnonzero(spikes["unit_index"] == unit)
        chosen.append(rng.permutation(own)[:NUM_SPIKES_FOR_AMPLITUDE])
    return spikes[np.sort(np.concatenate(chosen))] if chosen else spikes


def _as_sorting(traces, spikes, order, lags, snr, main_channels):
    new_index = np.full(len(lags) + 1, -1)
    new_index[order] = np.arange(len(order))
    spikes = spikes[new_index[spikes["unit_index"]] >= 0].copy()
    lengths = np.array([traces.get_num_frames(i) for i in range(traces.get_num_segments())])
    last = lengths[spikes["segment_index"]] - 1
    spikes["sample_index"] = np.clip(spikes["sample_index"] + lags[spikes["unit_index"]], 0, last)
    spikes["unit_index"] = new_index[spikes["unit_index"]]
    spikes = spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]
    sorting = NumpySorting(spikes, traces.get_sampling_frequency(), np.arange(len(order)))
    sorting.set_property("snr", snr[order])
    sorting.set_property("main_channel_id", traces.channel_ids[main_channels[order]])
    return sorting
