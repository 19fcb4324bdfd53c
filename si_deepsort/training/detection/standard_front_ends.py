"""Preprocessing that may help a detector in a noisy recording, as steps to choose from."""

from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.front_end import FrontEnd
from ...preprocessing.matched_filter import template_from_sorting

# Highest multiple of the mains frequency in Hz that is taken out: above it spikes have most of their power.
HIGHEST_NOTCH_HZ = 500.0
# Quality factor of the notches: centre frequency over width.
NOTCH_QUALITY = 30.0
# Window in ms around the peak of the matched filter's template.
TEMPLATE_MS_BEFORE, TEMPLATE_MS_AFTER = 0.7, 1.0


def standard_front_ends(
    recording: BaseRecording | None = None,
    sorting: BaseSorting | None = None,
    *,
    freq_min: float = 300.0,
    freq_max: float = 6000.0,
    notch_hz: float = 50.0,
) -> dict[str, FrontEnd]:
    """
    Front ends to choose from: none, band-pass, notches, wavelets and a matched filter.

    Parameters
    ----------
    recording, sorting : BaseRecording, BaseSorting | None, default: None
        The labelled recording and its spikes. Their mean waveform is the template of the matched filter; without them
        there is no matched filter.
    freq_min, freq_max : float
        Edges of the band-pass in Hz.
    notch_hz : float, default: 50.0
        Mains frequency in Hz. Its multiples up to 500 Hz are taken out, too.

    Returns
    -------
    dict of list
        Name -> steps, see `detection.front_end`.
    """
    multiples = [notch_hz * multiple for multiple in range(1, int(HIGHEST_NOTCH_HZ // notch_hz) + 1)]
    notches = [dict(freq=frequency, q=NOTCH_QUALITY, dtype="float32") for frequency in multiples]
    front_ends = {
        "none": [],
        "bandpass": [{"name": "band_pass", "params": {"freq_min": freq_min, "freq_max": freq_max}}],
        "notch": [{"name": "notch_filter", "params": params} for params in notches],
        "wavelet": [{"name": "wavelet_denoise", "params": {}}],
    }
    if recording is not None and sorting is not None:
        template, nbefore = template_from_sorting(recording, sorting, TEMPLATE_MS_BEFORE, TEMPLATE_MS_AFTER)
        params = {"template": template.tolist(), "nbefore": int(nbefore)}
        front_ends["matched_filter"] = [{"name": "matched_filter", "params": params}]
    return front_ends
