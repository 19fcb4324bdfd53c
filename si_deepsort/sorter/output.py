"""Step 6 of the sorter: which units are kept, in which order, and what is told about them."""

import logging

import numpy as np
from spikeinterface.core import NumpySorting

from ..preprocessing.whitening import Whitening
from .matching.correlate import squared_norms
from .units.averages import UnitAverages
from .units.spike_features import read_spike_features
from .units.templates import MOST_SHIFT

logger = logging.getLogger(__name__)

# A template whose typical spike shows less than this of it was made by noise, or by spikes of other units.
TYPICAL_SHARE = 0.75


def clean_units(
    traces, whitening: Whitening, noise_before: np.ndarray, spikes: np.ndarray, averages: UnitAverages, settings
) -> NumpySorting:
    """
    Drop units that fire too rarely or are too small; order the rest by depth.

    Parameters
    ----------
    traces : BaseRecording
        White, cached.
    whitening : Whitening
        The whitening that made them white.
    noise_before : np.ndarray, shape (num_channels,), float
        Noise levels of the traces before whitening, in their unit.
    spikes : np.ndarray
        SpikeInterface's spike vector.
    averages : UnitAverages
        Of its units.
    settings : DeepSortSettings

    Returns
    -------
    NumpySorting
        With the properties `snr` (peak in noise levels) and `main_channel_id`.
    """
    num_units = len(averages.values)
    before_whitening = whitening.unwhiten(averages.values)
    peaks = np.abs(before_whitening).max(axis=1) / np.where(noise_before > 0, noise_before, np.inf)
    snr = peaks.max(axis=1)
    counts = np.bincount(spikes["unit_index"], minlength=num_units)
    is_kept = counts >= settings.min_firing_rate * traces.get_total_duration()
    is_kept &= snr >= settings.min_amplitude
    is_kept &= _have_typical_spikes(traces, spikes, averages.templates(), settings)
    main_channels = peaks.argmax(axis=1)
    depths = traces.get_channel_locations()[main_channels, 1]
    order = np.flatnonzero(is_kept)[np.argsort(depths[is_kept], kind="stable")]
    logger.info("%d of %d units kept", len(order), num_units)
    # The lag of the whitening filter differs between units; a user expects the time of the largest peak.
    main_traces = before_whitening[np.arange(num_units), :, main_channels]
    lags = np.abs(main_traces).argmax(axis=1) - averages.nbefore - MOST_SHIFT
    return _as_sorting(traces, spikes, order, lags, snr, main_channels)


def _have_typical_spikes(traces, spikes, templates, settings):
    """Which units have spikes that are large enough to be told from those of others, and that look like their mean."""
    features = read_spike_features(traces, spikes, templates, seed=settings.seed)
    sizes = np.array([features.typical_size(unit) for unit in range(len(templates.values))])
    smallest = np.maximum(settings.min_spike_size, TYPICAL_SHARE * np.sqrt(squared_norms(templates.values)))
    # Too few spikes tell nothing.
    return ~(sizes < smallest)


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
