"""White traces of any recording: band-passed, referenced and whitened, whatever was done to it before."""

from spikeinterface.core import BaseRecording

from ..geometry import separated_locations
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..preprocessing.whiten import WhitenTimeSpaceRecording, whiten_time_space

# Edges of the band in Hz, order of the whitening filter in samples and radius of whitening in um: the defaults of the
# sorter, so that its cached white traces are the same.
FREQ_MIN, FREQ_MAX = 150.0, 7000.0
WHITENING_ORDER, WHITENING_RADIUS_UM = 24, 100.0


def white_traces(recording: BaseRecording, *, seed: int) -> WhitenTimeSpaceRecording:
    """
    Filter and whiten a recording, lazily.

    A recording that was filtered or whitened before is filtered and whitened again: this hardly changes it, and no
    annotation has to be trusted.

    Parameters
    ----------
    recording : BaseRecording
        Traces in any unit, with a probe if there are several channels.
    seed : int
        Seed of the chunks from which noise is estimated.

    Returns
    -------
    WhitenTimeSpaceRecording
        float32; the noise of each channel has standard deviation 1. Probes lie far apart, see `separated_locations`.

    Raises
    ------
    ValueError
        If there are several channels and no probe, or if traces hold NaN or inf.
    """
    filtered = common_reference(band_pass(recording, freq_min=FREQ_MIN, freq_max=FREQ_MAX))
    white = whiten_time_space(filtered, order=WHITENING_ORDER, radius_um=WHITENING_RADIUS_UM, seed=seed)
    white.set_dummy_probe_from_locations(separated_locations(recording))
    return white
