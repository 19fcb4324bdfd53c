"""SpikeInterface's threshold detectors with the arguments of `find_peaks`."""

from spikeinterface.core import BaseRecording
from spikeinterface.core.node_pipeline import PeakDetector

from ..geometry import recording_geometry
from ..noise import noise_levels, sample_signal
from .candidates import EXCLUSIVE_MS

THRESHOLD_METHODS = ("locally_exclusive", "matched_filtering")
# Default threshold in noise levels: that of SpikeInterface's detectors.
DEFAULT_THRESHOLD = 5.0
# Window in ms around the peaks from which SpikeInterface makes the prototype of matched filtering, and the number of
# these peaks: the defaults of its own components.
PROTOTYPE_MS_BEFORE, PROTOTYPE_MS_AFTER, NUM_PROTOTYPE_PEAKS = 0.5, 1.5, 5000


def threshold_detector(
    recording: BaseRecording,
    method: str,
    *,
    threshold: float | None,
    radius_um: float,
    exclusive_ms: float | None,
    seed: int,
) -> PeakDetector:
    """
    A threshold detector of SpikeInterface for peaks of both polarities, as a node of its pipelines.

    Parameters
    ----------
    recording : BaseRecording
        With the location of each channel.
    method : "locally_exclusive" | "matched_filtering"
    threshold : float | None
        Smallest height in noise levels; None is 5.
    radius_um : float
        Exclusion radius.
    exclusive_ms : float | None
        Exclusion time; None is 0.4.
    seed : int
        Random seed of the chunks on which noise is estimated.
    """
    from spikeinterface.sortingcomponents.peak_detection.method_list import detect_peak_methods
    from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

    levels = noise_levels(sample_signal(recording, seed=seed))
    params = dict(
        peak_sign="both",
        detect_threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        exclude_sweep_ms=EXCLUSIVE_MS if exclusive_ms is None else exclusive_ms,
        radius_um=radius_um,
    )
    if method == "locally_exclusive":
        return detect_peak_methods[method](recording, noise_levels=levels, **params)
    prototype, _, _ = get_prototype_and_waveforms_from_recording(
        recording,
        n_peaks=NUM_PROTOTYPE_PEAKS,
        ms_before=PROTOTYPE_MS_BEFORE,
        ms_after=PROTOTYPE_MS_AFTER,
        seed=seed,
        noise_levels=levels,
    )
    return detect_peak_methods[method](
        recording,
        prototype=prototype,
        ms_before=PROTOTYPE_MS_BEFORE,
        random_chunk_kwargs=dict(seed=seed),
        **params,
    )


def with_locations(recording: BaseRecording) -> BaseRecording:
    """The recording itself, or a view of it with a location where its one channel has none."""
    locations, _ = recording_geometry(recording)
    if recording.has_channel_location():
        return recording
    located = recording.select_channels(recording.channel_ids)
    located.set_dummy_probe_from_locations(locations)
    return located
