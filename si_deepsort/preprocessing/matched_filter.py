"""Matched filter: each channel is correlated with the waveform of a spike (Turin 1960)."""

import numpy as np
import scipy.linalg
import scipy.ndimage
from numpy.typing import DTypeLike
from spikeinterface.core import BaseRecording, BaseSorting
from spikeinterface.core.core_tools import define_function_handling_dict_from_class
from spikeinterface.core.recording_tools import get_chunk_with_margin
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..noise import MAD_TO_SD, sample_signal
from .traces import cast_traces, check_has_traces, fill_gaps, output_dtype


class MatchedFilterRecording(BasePreprocessor):
    """
    Lazily correlates each channel with a template of unit energy.

    A spike equal to `a * template / norm(template)` comes out with a peak of `a`, at its own sample and with its own
    sign, so that thresholds for troughs stay thresholds for troughs; white noise keeps its standard deviation. NaN and
    inf become NaN (0 in integers), and count as 0 for the frames around them.

    Parameters
    ----------
    recording : BaseRecording
        High-pass filtered traces, in any unit.
    template : array-like | None, shape (num_samples,) or (num_samples, num_channels), default: None
        The waveform, at the sampling frequency of the recording and in any unit; one for all channels or one per
        channel. None makes it from `sorting`.
    sorting : BaseSorting | None, default: None
        Spikes of this recording; the template is their mean waveform, each spike scaled to 1, on its largest channel.
    nbefore : int | None, default: None
        Sample of the peak in the template. None takes the largest absolute value.
    ms_before, ms_after : float, default: 0.7 and 1.0
        Window around the spikes of `sorting`, in ms.
    whiten : bool, default: False
        Divide the template by the temporal covariance of the recording's noise before use, which is the best linear
        detector where noise is coloured.
    dtype : dtype-like, default: "float32"
        Dtype of the output; integers are rounded and saturate. None keeps the dtype of the recording.
    seed : int, default: 0
        Random seed of the chunks in which noise is measured and of the choice of spikes.

    Raises
    ------
    ValueError
        If not exactly one of template and sorting is given, or the template is unusable.
    """

    def __init__(
        self,
        recording: BaseRecording,
        template: np.ndarray | list | None = None,
        sorting: BaseSorting | None = None,
        nbefore: int | None = None,
        ms_before: float = 0.7,
        ms_after: float = 1.0,
        whiten: bool = False,
        dtype: DTypeLike | None = "float32",
        seed: int = 0,
    ) -> None:
        check_has_traces(recording)
        if (template is None) == (sorting is None):
            raise ValueError(
                f"Got {'neither' if template is None else 'both'} of template and sorting, expected one of them: the "
                "waveform that the filter looks for, or the sorting from which it is computed."
            )
        dtype = output_dtype(recording, dtype)
        if sorting is not None:
            template, nbefore = template_from_sorting(recording, sorting, ms_before, ms_after, seed=seed)
        template = _checked_template(template, recording.get_num_channels())
        nbefore = int(np.argmax(np.abs(template).max(axis=1))) if nbefore is None else int(nbefore)
        if not 0 <= nbefore < len(template):
            raise ValueError(f"nbefore={nbefore}, expected a sample of the template, 0 to {len(template) - 1}.")
        taps = template
        if whiten:
            taps = scipy.linalg.solve_toeplitz(noise_autocovariance(recording, len(template), seed=seed), template)
        taps = taps / np.maximum(np.linalg.norm(taps, axis=0, keepdims=True), 1e-30)
        taps = (taps * np.where(template[nbefore] < 0, -1.0, 1.0)).astype("float32")
        BasePreprocessor.__init__(self, recording, dtype=dtype)
        if recording.get_property("offset_to_uV") is not None:
            self.set_channel_offsets(recording.get_channel_offsets() * taps.sum(axis=0))
        for segment in recording._recording_segments:
            self.add_recording_segment(MatchedFilterRecordingSegment(segment, taps, nbefore, dtype))
        # The template made from a sorting is kept instead of the sorting: a reloaded recording does not measure again.
        self._kwargs = dict(
            recording=recording,
            template=template.tolist(),
            sorting=None,
            nbefore=nbefore,
            ms_before=ms_before,
            ms_after=ms_after,
            whiten=whiten,
            dtype=dtype.str,
            seed=seed,
        )


class MatchedFilterRecordingSegment(BasePreprocessorSegment):
    """One segment of a `MatchedFilterRecording`."""

    def __init__(self, parent_segment, taps, nbefore, dtype):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.taps, self.nbefore, self.dtype = taps, nbefore, dtype

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Correlations with the template, (num_frames, num_channels); the same whatever the chunks."""
        channel_indices = slice(None) if channel_indices is None else channel_indices
        traces, _, _ = get_chunk_with_margin(
            self.parent_recording_segment,
            start_frame,
            end_frame,
            channel_indices,
            len(self.taps),
            add_reflect_padding=True,
        )
        taps = self.taps if self.taps.shape[1] == 1 else self.taps[:, channel_indices]
        traces, is_gap = fill_gaps(traces)
        filtered = correlate_channels(traces, taps, self.nbefore)
        return cast_traces(filtered, self.dtype, is_gap[len(self.taps) : len(self.taps) + len(filtered)])


def correlate_channels(traces: np.ndarray, taps: np.ndarray, nbefore: int) -> np.ndarray:
    """
    Correlate each channel with its taps.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames + 2 * num_samples, num_channels), float32
        Padded by the length of the template on both sides.
    taps : np.ndarray, shape (num_samples, 1 or num_channels), float32
    nbefore : int
        Sample of the taps that lies on the output frame.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
    """
    num_samples = len(taps)
    num_frames = len(traces) - 2 * num_samples
    first = num_samples - nbefore + num_samples // 2
    # Direct sums, no FFT: every output frame is the same sum of the same numbers, whatever the chunk.
    if taps.shape[1] == 1:
        return scipy.ndimage.correlate1d(traces, taps[:, 0], axis=0, mode="constant")[first : first + num_frames]
    filtered = np.empty((num_frames, traces.shape[1]), dtype="float32")
    for channel in range(traces.shape[1]):
        column = scipy.ndimage.correlate1d(traces[:, channel], taps[:, channel], mode="constant")
        filtered[:, channel] = column[first : first + num_frames]
    return filtered


def template_from_sorting(
    recording, sorting, ms_before: float = 0.7, ms_after: float = 1.0, *, max_spikes_per_unit: int = 100, seed: int = 0
) -> tuple[np.ndarray, int]:
    """
    Mean waveform of the spikes of a sorting, each unit's on its largest channel and scaled to norm 1.

    Returns
    -------
    template : np.ndarray, shape (num_samples,), float
    nbefore : int
        Sample of the peak.

    Raises
    ------
    ValueError
        If the sorting has no usable spike or another sampling frequency.
    """
    sampling_frequency = recording.get_sampling_frequency()
    if not np.isclose(sorting.get_sampling_frequency(), sampling_frequency):
        raise ValueError(
            f"The sorting has {sorting.get_sampling_frequency()} Hz and the recording {sampling_frequency} Hz; "
            "give the sorting of this recording."
        )
    nbefore, nafter = (round(ms * sampling_frequency / 1000) for ms in (ms_before, ms_after))
    rng = np.random.default_rng(seed)
    waveforms = []
    for unit_id in sorting.unit_ids:
        snippets = _unit_snippets(recording, sorting, unit_id, nbefore, nafter, max_spikes_per_unit, rng)
        if len(snippets):
            mean = snippets.mean(axis=0)
            mean = mean[:, np.argmax(np.abs(mean[nbefore]))]
            waveforms.append(mean / max(np.linalg.norm(mean), 1e-30))
    if not waveforms:
        raise ValueError("The sorting has no spike far enough from the ends of the recording; give a template instead.")
    # Positive units would cancel negative ones: the majority decides.
    signs = np.sign([waveform[nbefore] for waveform in waveforms])
    majority = 1.0 if signs.sum() > 0 else -1.0
    return np.mean([waveform for waveform, sign in zip(waveforms, signs, strict=True) if sign == majority], axis=0), (
        nbefore
    )


def noise_autocovariance(recording, num_lags: int, *, seed: int = 0) -> np.ndarray:
    """
    Autocovariance of the noise over time, the median over channels, large excursions clipped.

    Returns
    -------
    np.ndarray, shape (num_lags,), float
        1 plus a small ridge at lag 0.
    """
    traces, _ = fill_gaps(sample_signal(recording, seed=seed))
    traces = traces - np.median(traces, axis=0)
    scale = MAD_TO_SD * np.median(np.abs(traces), axis=0)
    usable = np.isfinite(scale) & (scale > 0)
    if not usable.any():
        raise ValueError("No channel has any noise (all constant or NaN), so the template cannot be whitened.")
    traces = np.clip(traces[:, usable] / scale[usable], -4, 4)
    spectrum = np.fft.rfft(traces, n=len(traces) + max(len(traces), num_lags), axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:num_lags]
    covariance = np.median(covariance / covariance[0], axis=1) * np.hanning(2 * num_lags + 1)[num_lags:-1]
    covariance[0] += 1e-3
    return covariance


def _unit_snippets(recording, sorting, unit_id, nbefore, nafter, max_spikes, rng):
    snippets = []
    for segment_index in range(recording.get_num_segments()):
        frames = sorting.get_unit_spike_train(unit_id, segment_index=segment_index)
        num_frames = recording.get_num_frames(segment_index)
        frames = frames[(frames >= nbefore) & (frames < num_frames - nafter)]
        if len(frames) > max_spikes:
            frames = np.sort(rng.choice(frames, max_spikes, replace=False))
        for frame in frames:
            window = dict(start_frame=int(frame) - nbefore, end_frame=int(frame) + nafter)
            snippet = recording.get_traces(segment_index=segment_index, **window).astype("float64")
            if np.isfinite(snippet).all():
                snippets.append(snippet)
    return np.asarray(snippets)


def _checked_template(template, num_channels) -> np.ndarray:
    template = np.asarray(template, dtype="float64")
    if template.ndim == 1:
        template = template[:, None]
    if template.ndim != 2 or template.shape[1] not in (1, num_channels) or len(template) < 1:
        raise ValueError(
            f"The template has shape {np.shape(template)}, expected (num_samples,) or "
            f"(num_samples, {num_channels}) for a recording of {num_channels} channels."
        )
    if not np.isfinite(template).all() or not np.any(template):
        raise ValueError("The template holds NaN or infinite values, or zeros alone.")
    return template


matched_filter = define_function_handling_dict_from_class(source_class=MatchedFilterRecording, name="matched_filter")
