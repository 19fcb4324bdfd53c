"""White traces of a recording: band-passed, referenced, corrected for motion and whitened; all of it lazy."""

from spikeinterface.core import BaseRecording, Motion

from ...geometry import separated_locations
from ...preprocessing.band_pass import band_pass
from ...preprocessing.motion_interpolation import follow_motion
from ...preprocessing.reference import common_reference
from ...preprocessing.whiten import WhitenTimeSpaceRecording, whiten_time_space
from .blanks import without_blank_steps
from .line_noise import without_line_noise


def filtered_recording(
    recording: BaseRecording, *, freq_min: float, freq_max: float, with_reference: bool, seed: int = 0
) -> BaseRecording:
    """
    Fill blanks, band-pass a recording, subtract line noise where there is some, and subtract the common reference.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered traces.
    freq_min, freq_max : float
        Edges of the band in Hz.
    with_reference : bool
        Whether to subtract the median of shanks with many channels.
    seed : int, default: 0
        Seed of the choice of chunks in which line noise is looked for.

    Returns
    -------
    BaseRecording
        Lazy, float32.
    """
    filled = without_blank_steps(recording, seed=seed)
    filtered = without_line_noise(band_pass(filled, freq_min=freq_min, freq_max=freq_max), seed=seed)
    return common_reference(filtered) if with_reference else filtered


def white_recording(
    filtered: BaseRecording, *, motion: Motion | None, order: int, radius_um: float, seed: int
) -> WhitenTimeSpaceRecording:
    """
    Correct a recording for motion and whiten it.

    Parameters
    ----------
    filtered : BaseRecording
        Band-passed traces.
    motion : Motion | None
        Motion of the tissue, if it is to be corrected.
    order : int
        Order of the whitening filter over time; 0 for none.
    radius_um : float
        Channels this close are whitened together.
    seed : int
        Random seed of the chunks from which noise is estimated.

    Returns
    -------
    WhitenTimeSpaceRecording
        Lazy, float32; the noise of each channel has standard deviation 1. Probes lie so far apart that distance
        alone separates them in all later steps, see `geometry.separated_locations`.
    """
    if motion is not None:
        filtered = follow_motion(filtered, motion, seed=seed)
    white = whiten_time_space(filtered, order=order, radius_um=radius_um, seed=seed)
    # All later steps read plain positions in um, and see shanks only by their distance.
    white.set_dummy_probe_from_locations(separated_locations(filtered))
    return white
