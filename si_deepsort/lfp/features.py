"""
Features of the field potential: the signal, amplitude and phase of each channel in each band, bin by bin.

Bins start at the first frame of the recording and last `bin_ms`, whether or not the sampling rate divides. In causal
mode no feature of a bin depends on a sample after the bin's end minus `lead_ms`.
"""

import logging
from dataclasses import dataclass

import numpy as np
import scipy.signal
from spikeinterface.core import BaseRecording

from ..settings import Settings, setting
from .bands import band_kernel, check_bands, reach_seconds
from .checks import check_no_gaps, check_traces

logger = logging.getLogger(__name__)

KINDS = ("signal", "phase", "amplitude", "power", "broadband")


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(Settings):
    """What is computed of each channel; saved with a model, so that prediction sees what training saw."""

    bands: dict | str = setting("human", "Name -> (low, high) in Hz, or 'human', or 'rodent'")
    kinds: tuple = setting(
        ("signal", "phase", "amplitude"),
        "Features of each band: 'signal' (band-limited trace and its quadrature), 'phase' (cosine and sine), "
        "'amplitude' (logarithm of the envelope), 'power' (squared envelope); 'broadband' adds the unfiltered trace",
    )
    bin_ms: float = setting(5.0, "Width of a bin, ms", minimum=1.0, maximum=50.0)
    causal: bool = setting(False, "Look at the past only")
    lead_ms: float = setting(0.0, "Causal mode: how far before the end of a bin its features stop", minimum=0.0)
    standardise: bool = setting(
        False,
        "Scale each feature within each recording: carries a model to other participants; needs whole recordings",
    )
    line_frequency: float = setting(None, "Frequency of the mains, 50 or 60 Hz: warns if it dominates the recording")

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "kinds", tuple(self.kinds))  # JSON gives a list
        unknown = set(self.kinds) - set(KINDS)
        if unknown or not self.kinds:
            raise ValueError(f"FeatureSettings.kinds is {self.kinds}; expected a selection of {KINDS}.")
        if self.lead_ms and not self.causal:
            raise ValueError("FeatureSettings.lead_ms needs causal=True: an acausal filter looks past any lead.")


@dataclass(frozen=True)
class FeatureTable:
    """
    Features of one recording.

    Attributes
    ----------
    values : np.ndarray, shape (num_bins, num_features), float32
    names : list of tuple
        (channel id, band, kind) of each feature; the band of the unfiltered trace is "broadband".
    start_s : float
        Time of the first bin's beginning, s.
    bin_s : float
        Width of a bin, s.
    reach_s : float
        How far a feature looks beyond its bin, s.
    """

    values: np.ndarray
    names: list
    start_s: float
    bin_s: float
    reach_s: float

    @property
    def times(self) -> np.ndarray:
        """Centre of each bin, s."""
        return self.start_s + (np.arange(len(self.values)) + 0.5) * self.bin_s

    def select(self, keep) -> "FeatureTable":
        """The features for which `keep(channel, band, kind)` is true."""
        columns = [column for column, name in enumerate(self.names) if keep(*name)]
        names = [self.names[column] for column in columns]
        return FeatureTable(self.values[:, columns], names, self.start_s, self.bin_s, self.reach_s)


def extract_features(
    recording: BaseRecording, settings: FeatureSettings, *, segment_index: int = 0, chunk_s: float = 60.0
) -> FeatureTable:
    """
    Features of an SI recording, read in chunks with enough margin that chunking leaves no trace.

    Parameters
    ----------
    recording : BaseRecording
        Field potential of any rate; several channels. Traces are in uV where the recording has gains, else as stored.
    settings : FeatureSettings
    segment_index : int, default: 0
    chunk_s : float, default: 60.0
        Bounds the memory.

    Returns
    -------
    FeatureTable

    Raises
    ------
    ValueError
        If a band lies above Nyquist, or the traces hold NaN, are constant or rail too often, or their times have gaps.
    """
    rate = recording.get_sampling_frequency()
    num_frames = recording.get_num_frames(segment_index=segment_index)
    bin_s = settings.bin_ms / 1000
    num_bins = int(np.floor(num_frames / rate / bin_s + 1e-6))
    if num_bins < 1:
        raise ValueError(f"The recording lasts {num_frames / rate:g} s, less than one bin of {settings.bin_ms:g} ms.")
    if recording.has_time_vector(segment_index=segment_index):
        check_no_gaps(recording.get_times(segment_index=segment_index), rate, tolerance_s=bin_s)
    bands = check_bands(settings.bands, rate)
    reach = feature_reach_s(settings, rate)
    chunk_bins = max(1, round(chunk_s / bin_s))
    pieces = []
    for first in range(0, num_bins, chunk_bins):
        last = min(first + chunk_bins, num_bins)
        start = max(0, int(np.floor((first * bin_s - reach) * rate)) - 1)
        end = min(num_frames, int(np.ceil((last * bin_s + reach) * rate)) + 1)
        traces = recording.get_traces(segment_index=segment_index, start_frame=start, end_frame=end)
        check_traces(traces, rate, start_s=start / rate, line_frequency=settings.line_frequency)
        edges_s = np.arange(first, last + 1) * bin_s - start / rate
        traces = in_microvolts(recording, traces)
        pieces.append(features_of_traces(traces, rate, edges_s, bands, settings))
    names = feature_names(list(recording.channel_ids), bands, settings)
    start_s = float(recording.sample_index_to_time(0, segment_index=segment_index))
    values = np.concatenate(pieces)
    if settings.standardise:
        values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
    return FeatureTable(values, names, start_s, bin_s, reach)


def in_microvolts(recording: BaseRecording, traces: np.ndarray) -> np.ndarray:
    """Traces of shape (num_frames, num_channels) in uV, float32, where the recording has gains; else as they are."""
    gains, offsets = recording.get_channel_gains(), recording.get_channel_offsets()
    if gains is None or offsets is None:
        return traces
    return (traces * np.asarray(gains, "float32") + np.asarray(offsets, "float32")).astype("float32")


def features_of_traces(traces, sampling_frequency: float, edges_s, bands: dict, settings: FeatureSettings):
    """
    Features of traces in given bins.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
    sampling_frequency : float
        In Hz.
    edges_s : np.ndarray, shape (num_bins + 1,)
        Edges of the bins, s after the first frame.
    bands : dict of (low, high) in Hz
    settings : FeatureSettings

    Returns
    -------
    np.ndarray, shape (num_bins, num_features), float32
    """
    traces = np.asarray(traces, dtype=np.float32)
    traces, rate = _change_rate(traces, sampling_frequency, bands, settings)
    edges = np.asarray(edges_s) - settings.lead_ms / 1000
    columns = []
    if "broadband" in settings.kinds:
        columns.append(_bin_means(traces, rate, edges))
    only_broadband = tuple(settings.kinds) == ("broadband",)
    for low, high in () if only_broadband else bands.values():
        kernel = band_kernel(low, high, rate, causal=settings.causal)
        analytic = _convolve(traces, kernel, causal=settings.causal)
        columns += _describe_band(analytic, rate, edges, settings, has_phase=keeps_phase(high, settings))
    # (feature of a channel, bins, channels) -> (bins, channels x features), the order of `feature_names`
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(len(stacked), -1).astype(np.float32)


def feature_names(channel_ids: list, bands: dict, settings: FeatureSettings) -> list:
    """(channel id, band, kind) of each column of `features_of_traces`."""
    names = [("broadband", "broadband")] if "broadband" in settings.kinds else []
    for band, (_, high) in bands.items():
        if keeps_phase(high, settings):
            names += [(band, kind) for kind in ("signal", "phase") if kind in settings.kinds for _ in range(2)]
        names += [(band, kind) for kind in ("amplitude", "power") if kind in settings.kinds]
    if not names:
        raise ValueError(
            f"No feature is left: at bins of {settings.bin_ms:g} ms the bands {list(bands)} are too fast for "
            f"{list(settings.kinds)}. Use shorter bins, or add 'amplitude'."
        )
    return [(channel_id, band, kind) for channel_id in channel_ids for band, kind in names]


def keeps_phase(high: float, settings: FeatureSettings) -> bool:
    """Whether bins are short enough to follow a band's cycles: two and a half bins per cycle of its fastest edge."""
    return high * settings.bin_ms / 1000 <= 0.4


def feature_reach_s(settings: FeatureSettings, sampling_frequency: float) -> float:
    """How far the features of a bin look beyond it, s."""
    if tuple(settings.kinds) == ("broadband",):
        return settings.lead_ms / 1000 + 0.1
    bands = check_bands(settings.bands, sampling_frequency)
    reach = max(reach_seconds(low, high, causal=settings.causal) for low, high in bands.values())
    return reach + settings.lead_ms / 1000 + 0.1  # 0.1 s: the filter of the change of rate


def _describe_band(analytic, rate, edges, settings, *, has_phase) -> list:
    envelope = np.abs(analytic)
    floor = 1e-6 * float(envelope.mean()) + 1e-12
    columns = []
    if has_phase and "signal" in settings.kinds:
        columns += [_bin_means(part, rate, edges) for part in (analytic.real, analytic.imag)]
    if has_phase and "phase" in settings.kinds:
        unit = analytic / (envelope + floor)
        columns += [_bin_means(part, rate, edges) for part in (unit.real, unit.imag)]
    if "amplitude" in settings.kinds:
        columns.append(np.log(_bin_means(envelope, rate, edges) + floor))
    if "power" in settings.kinds:
        columns.append(_bin_means(envelope**2, rate, edges))
    return columns


def _change_rate(traces, rate, bands, settings):
    """Resample: rates far above the bands waste time; rates below those of the bins (if not causal) are too coarse."""
    bin_rate = 1000 / settings.bin_ms
    wanted = max(4 * bin_rate, 5 * max(high for _, high in bands.values()))
    if rate >= 2 * wanted:
        factor = int(rate // wanted)
        taps = scipy.signal.firwin(20 * factor + 1, 0.8 / factor)
        padded = np.pad(traces, ((20 * factor, 20 * factor), (0, 0)), mode="edge")
        # output sample k stands for the frames around (acausal) or up to (causal) k * factor
        first = 20 * factor + (0 if settings.causal else 10 * factor)
        filtered = scipy.signal.oaconvolve(padded, taps[:, None].astype(np.float32), axes=0)
        return filtered[first : first + len(traces) : factor], rate / factor
    if rate < 2 * bin_rate and not settings.causal:
        factor = int(np.ceil(4 * bin_rate / rate))
        return scipy.signal.resample_poly(traces, factor, 1, axis=0, padtype="line"), rate * factor
    return traces, rate


def _convolve(traces, kernel, *, causal):
    reach = len(kernel) - 1 if causal else len(kernel) // 2
    # the edges of a recording are mirrored; constant offsets vanish, since kernels are band-pass
    padded = np.pad(
        traces, ((reach, 0 if causal else reach), (0, 0)), mode="reflect" if len(traces) > reach else "edge"
    )
    return scipy.signal.oaconvolve(padded, kernel[:, None], mode="valid", axes=0)


def _bin_means(values, rate, edges):
    """Mean over each bin of a signal that keeps the value of each sample until the next; the first one reaches back."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    position = np.clip(edges * rate, 0, len(values))
    lower = np.minimum(position.astype(int), len(values) - 1)
    integral = total[lower] + (position - lower)[:, None] * values[lower]
    width = np.diff(position)[:, None]
    means = np.diff(integral, axis=0) / np.maximum(width, 1e-9)
    return np.where(width > 1e-6, means, values[lower[:-1]]).astype(np.float32)
