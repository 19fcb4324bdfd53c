"""Denoise a recording by DeepInterpolation: what the frames around a frame cannot predict is noise (Lecoq 2021)."""

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_handling_dict_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..geometry import recording_geometry
from ..noise import MAD_TO_SD, sample_signal
from .tell_denoising import tell_chosen, tell_measuring, warn_of_slow_potentials
from .traces import cast_traces, check_has_traces, output_dtype

DEFAULT_MODEL = "interpolator-any"
DEFAULT_ARCHITECTURE = "interpolator"


class DeepInterpolateRecording(BasePreprocessor):
    """
    Lazily replaces each sample by its prediction from the samples around it, blended with the sample itself.

    Parameters
    ----------
    recording : BaseRecording
        High-pass filtered traces with a probe, in any unit.
    model : str | Path, default: "interpolator-any"
        Name of a bundled model, folder of one that `train_deep_interpolation` made, "owner/name@revision" on the Hub,
        or a Keras `.h5` file of the original DeepInterpolation.
    blend : "auto" | float, default: "auto"
        Weight of the recorded sample in the output, 0 (the pure prediction, which shrinks small spikes) to 1 (nothing
        changes). "auto" injects small spikes into a stretch of the recording, measures how much of them each channel
        would keep, and takes the smallest weight that keeps 97 %. It also lowers the share of the nonlinear part of the
        network until noise with the spectrum of the recording crosses -4 noise levels no more often than before.
    bad_channel_ids : list | set | str | int | None, default: None
        Channels that are predicted from their neighbours but not used to predict them. Channels without any signal or
        with NaN throughout are always treated so.
    normalization : dict | None, default: None
        `centers`, `scales`, `raw_weights` and `prediction_scales`, each a list with one value per channel, and
        `nonlinear_share`, a number. None measures them; `prediction_scales` are 1 unless the model overshoots, as one
        of another layout can, and the share is 1 unless `blend` is "auto".
    dtype : dtype-like | None, default: None
        Dtype of the output; None keeps the dtype of the recording. Integers are rounded and saturate.
    device : str, default: "cpu"
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    seed : int, default: 0
        Random seed of the chunks in which noise is measured.

    Raises
    ------
    ValueError
        If there is no probe, no usable channel, no such model, or the model works at another sampling frequency.
    """

    def __init__(
        self,
        recording: BaseRecording,
        model: str | Path = DEFAULT_MODEL,
        blend: float | str = "auto",
        bad_channel_ids: list | set | str | int | None = None,
        normalization: dict | None = None,
        dtype: DTypeLike | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        from ..zoo import model_provenance
        from .prediction import check_sampling_frequency, load_interpolator

        check_has_traces(recording)
        dtype = output_dtype(recording, dtype)
        _check_blend(blend)
        bad = _ids_of(bad_channel_ids)
        net = load_interpolator(model, device=device, num_channels=recording.get_num_channels())
        check_sampling_frequency(net, recording.get_sampling_frequency(), model)
        # The saved reference must mean the same weights in another folder or process, and after a tag has moved.
        model = str(Path(model).expanduser().absolute()) if net.info is None else net.info.source["reference"]
        is_bad = _is_bad(recording, bad)
        tiles, raw_weights = _fitted(recording, net, model, device, blend, is_bad, normalization, seed)
        BasePreprocessor.__init__(self, recording, dtype=dtype)
        if str(device).startswith("cuda"):
            self._preferred_mp_context = "spawn"  # a CUDA context does not survive a fork
        for segment in recording._recording_segments:
            self.add_recording_segment(DeepInterpolateRecordingSegment(segment, tiles, raw_weights, dtype))
        self.annotate(denoised_by=model_provenance(net))
        self._kwargs = dict(
            recording=recording,
            model=model,
            blend=blend,
            bad_channel_ids=bad,
            normalization=dict(
                centers=tiles.centers.tolist(),
                scales=np.where(tiles.usable, tiles.scales, 0).tolist(),
                raw_weights=raw_weights.tolist(),
                prediction_scales=tiles.prediction_scales.tolist(),
                nonlinear_share=tiles.nonlinear_share,
            ),
            dtype=dtype.str,
            device=device,
            seed=seed,
        )


class DeepInterpolateRecordingSegment(BasePreprocessorSegment):
    """One segment of a `DeepInterpolateRecording`."""

    def __init__(self, parent_segment, tiles, raw_weights, dtype):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.tiles, self.raw_weights, self.dtype = tiles, raw_weights, dtype

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Denoised traces, (num_frames, num_channels); the same whatever the chunks."""
        channel_indices = slice(None) if channel_indices is None else channel_indices
        start_frame = 0 if start_frame is None else start_frame
        end_frame = self.get_num_samples() if end_frame is None else end_frame
        traces = np.empty((end_frame - start_frame, len(self.raw_weights)), dtype=self.dtype)
        for window, recorded, blended in self.tiles.predict(self.parent_recording_segment, start_frame, end_frame):
            blended += self.raw_weights * (recorded - blended)
            blended *= self.tiles.scales
            blended += self.tiles.centers
            traces[window] = cast_traces(blended, self.dtype)
        return traces[:, channel_indices]


class _Tiles:
    """Normalised traces and their prediction, tile by tile; the network is loaded when it is first needed."""

    def __init__(self, model, device, geometry, usable, centers, scales):
        self.model, self.device, self.geometry, self.usable = model, device, geometry, usable
        self.centers, self.scales = centers, scales
        self.prediction_scales, self.nonlinear_share = np.ones(len(usable), dtype="float32"), 1.0
        self._predictor = None

    def __getstate__(self):
        return self.__dict__ | {"_predictor": None}

    @property
    def predictor(self):
        if self._predictor is None:
            from .prediction import TracePredictor, load_interpolator

            net = load_interpolator(self.model, device=self.device, num_channels=len(self.usable))
            self._predictor = TracePredictor(net, *self.geometry, self.usable)
        self._predictor.nonlinear_share = self.nonlinear_share
        return self._predictor

    def stretch(self, recording, max_frames: int) -> np.ndarray:
        """Whole tiles from the middle of the longest segment, with their context, in noise levels."""
        lengths = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]
        segment_index = int(np.argmax(lengths))
        context, tile = self.predictor.context, self.predictor.tile_frames
        num_tiles = min(max(1, (lengths[segment_index] - 2 * context) // tile), max(1, max_frames // tile))
        num_frames = num_tiles * tile + 2 * context
        first = max(0, (lengths[segment_index] - num_frames) // 2)
        window = dict(segment_index=segment_index, start_frame=first, end_frame=min(first + num_frames, max(lengths)))
        traces = (recording.get_traces(**window).astype("float32") - self.centers) / self.scales
        traces = np.nan_to_num(traces, nan=0.0, posinf=0.0, neginf=0.0)
        return np.pad(traces, ((0, num_frames - len(traces)), (0, 0)))

    def predict(self, segment, start_frame: int, end_frame: int):
        """
        Predict the frames [start_frame, end_frame), on a CPU tile by tile: intermediate arrays stay in its cache.

        Yields
        ------
        window : slice
            Frames of the tiles, counted from `start_frame`.
        recorded, predicted : np.ndarray, shape (num_frames, num_channels), float32
            In noise levels.
        """
        tile, context = self.predictor.batch_frames, self.predictor.context
        first, last = start_frame // tile * tile - context, -(-end_frame // tile) * tile + context
        offset, stop = max(first, 0), min(last, segment.get_num_samples())
        traces = segment.get_traces(offset, stop, slice(None))
        for at in range(first, last - 2 * context, tile):
            read = max(at, offset), min(at + tile + 2 * context, stop)
            piece = (traces[read[0] - offset : read[1] - offset].astype("float32") - self.centers) / self.scales
            if traces.dtype.kind == "f":
                piece = np.nan_to_num(piece, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            # Samples beyond the ends of a segment or NaN are unknown and become 0, the mean of the noise. Reflected
            # samples would show the network the very frame that it must predict.
            if len(piece) < tile + 2 * context:
                piece = np.pad(piece, ((read[0] - at, at + tile + 2 * context - read[1]), (0, 0)))
            wanted = max(at + context, start_frame), min(at + context + tile, end_frame)
            inside = slice(wanted[0] - at - context, wanted[1] - at - context)
            window = slice(wanted[0] - start_frame, wanted[1] - start_frame)
            predicted = self.prediction_scales * self.predictor.predict_tile(piece)[inside]
            yield window, piece[context:-context][inside], predicted


def _fitted(recording, net, model, device, blend, is_bad, normalization, seed):
    """Tiles with their normalization, measured if it is None, and the weight of the recorded trace on each channel."""
    from .calibration import calibrate, weights_that_keep_spikes

    is_measured = normalization is None
    if is_measured:
        warn_of_slow_potentials(recording, seed=seed)
        if blend == "auto":
            tell_measuring()
        normalization = measure_normalization(recording, net.architecture, seed=seed)
    centers, scales, usable = _checked_normalization(normalization, is_bad)
    tiles = _Tiles(model, device, recording_geometry(recording), usable, centers, scales)
    if is_measured and net.architecture == DEFAULT_ARCHITECTURE:
        calibrate(tiles, recording, is_automatic=blend == "auto", seed=seed)
    elif not is_measured:
        scales_of_prediction = normalization.get("prediction_scales", np.ones(len(usable)))
        tiles.prediction_scales = np.asarray(scales_of_prediction, dtype="float32")
        tiles.nonlinear_share = float(normalization.get("nonlinear_share", 1.0))
    raw_weights = normalization.get("raw_weights")
    if raw_weights is None:
        raw_weights = weights_that_keep_spikes(tiles, recording, seed) if blend == "auto" else blend
        if blend == "auto":
            tell_chosen(np.broadcast_to(raw_weights, len(usable)), tiles.nonlinear_share, usable)
    return tiles, np.where(usable, np.broadcast_to(raw_weights, len(usable)), 0).astype("float32")


def measure_normalization(recording, architecture: str = DEFAULT_ARCHITECTURE, *, seed: int = 0) -> dict:
    """
    Centre and scale of each channel: median and robust noise level.

    The original network expects one mean and one standard deviation for all channels, from the first 200,000 frames.

    Returns
    -------
    dict
        `centers` and `scales`, lists with one value per channel; a scale of 0 marks a channel without signal.
    """
    num_channels = recording.get_num_channels()
    if architecture == "keras_unet":
        num_frames = min(200_000, recording.get_num_frames(0))
        traces = recording.get_traces(segment_index=0, end_frame=num_frames).astype("float64")
        return dict(centers=[np.nanmean(traces)] * num_channels, scales=[np.nanstd(traces)] * num_channels)
    sample = sample_signal(recording, seed=seed)
    has_values = np.isfinite(sample).any(axis=0)
    sample[:, ~has_values] = 0
    sample[~np.isfinite(sample)] = np.nan
    centers = np.nanmedian(sample, axis=0)
    scales = MAD_TO_SD * np.nanmedian(np.abs(sample - centers), axis=0)
    return dict(centers=centers.tolist(), scales=scales.tolist())


def _check_blend(blend):
    if blend != "auto" and not (np.isscalar(blend) and not isinstance(blend, str) and 0 <= blend <= 1):
        raise ValueError(
            f"blend={blend!r}, expected 'auto' or a number from 0 (pure prediction) to 1 (nothing changes)."
        )


def _checked_normalization(normalization, bad):
    centers, scales = (np.asarray(normalization[name], dtype="float32") for name in ("centers", "scales"))
    if centers.shape != bad.shape or scales.shape != bad.shape:
        raise ValueError(
            f"normalization has {centers.size} centers and {scales.size} scales, expected {bad.size} each; "
            "leave it None to measure them."
        )
    usable = ~bad & np.isfinite(scales) & (scales > 0)
    if not usable.any():
        raise ValueError("No usable channel: all are bad, constant or NaN. Nothing can be predicted.")
    scales = np.where(usable, scales, np.median(scales[usable])).astype("float32")
    return np.where(np.isfinite(centers), centers, 0).astype("float32"), scales, usable


def _ids_of(bad_channel_ids) -> list:
    """The ids as a list: a single one, such as the text "10", is one channel and not a list of its digits."""
    if isinstance(bad_channel_ids, set | frozenset):
        return sorted(bad_channel_ids, key=str)
    is_several = isinstance(bad_channel_ids, list | tuple | np.ndarray)
    if not is_several and not np.isscalar(bad_channel_ids) and bad_channel_ids is not None:
        raise ValueError(
            f"bad_channel_ids: got a {type(bad_channel_ids).__name__}, expected a list or a set of ids, or one id. "
            "Give list(...) of the ids."
        )
    return np.atleast_1d([] if bad_channel_ids is None else bad_channel_ids).tolist()


def _is_bad(recording, bad_channel_ids: list) -> np.ndarray:
    """Whether each channel is among the bad ones, (num_channels,) bool."""
    channel_ids = recording.channel_ids.tolist()
    if any(isinstance(channel_id, bool) for channel_id in bad_channel_ids):
        # True and False would pass for the ids 1 and 0.
        raise ValueError(
            "bad_channel_ids: got a mask of True and False, expected ids of channels. Give recording.channel_ids[mask]."
        )
    unknown = [channel_id for channel_id in bad_channel_ids if channel_id not in channel_ids]
    if unknown:
        raise ValueError(
            f"bad_channel_ids: got {unknown}, which the recording does not have. Expected ids such as "
            f"{channel_ids[:10]}; see recording.channel_ids."
        )
    return np.array([channel_id in bad_channel_ids for channel_id in channel_ids])


deep_interpolate = define_function_handling_dict_from_class(
    source_class=DeepInterpolateRecording, name="deep_interpolate"
)
