"""What `deep_interpolate` says: that it measures, what it chose, and that traces are not filtered."""

import logging

import numpy as np
from spikeinterface.core import BaseRecording

from ..announce import announce
from ..noise import sample_signal

logger = logging.getLogger(__name__)

# Hz below which potentials count as slow: the lower edge of the sorter's band-pass filter.
SLOW_HZ = 150.0
# Share of slow power from which on traces cannot have been filtered: white noise up to 15 kHz has 1 %.
MOST_SLOW = 0.5
# Length in s of the pieces whose spectrum is measured: several periods of the slowest potentials that matter.
PIECE_S = 0.1


def warn_of_slow_potentials(recording: BaseRecording, *, seed: int) -> None:
    """Warn if most of the power of the traces is slow."""
    share = slow_share(sample_signal(recording, seed=seed), recording.get_sampling_frequency())
    if share > MOST_SLOW:
        logger.warning(
            "%.0f %% of the power of these traces lies below %g Hz: they do not seem to be filtered, and slow "
            "potentials spoil the denoising. Filter first: spikeinterface.preprocessing.bandpass_filter(recording, "
            "freq_min=%g, freq_max=7000).",
            100 * share,
            SLOW_HZ,
            SLOW_HZ,
        )


def slow_share(traces: np.ndarray, sampling_frequency: float) -> float:
    """
    Share of the power below `SLOW_HZ`, without the mean.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    sampling_frequency : float
        In Hz.

    Returns
    -------
    float
        Median over channels, from 0 to 1; 0 if the traces are too short to tell.
    """
    length = round(PIECE_S * sampling_frequency)
    num_pieces = len(traces) // max(length, 1)
    if num_pieces == 0:
        return 0.0
    pieces = np.nan_to_num(traces[: num_pieces * length].astype("float64")).reshape(num_pieces, length, -1)
    centered = pieces - pieces.mean(axis=(0, 1))
    power = np.square(np.abs(np.fft.rfft(centered, axis=1))).sum(axis=0)
    is_slow = np.fft.rfftfreq(length, 1 / sampling_frequency) < SLOW_HZ
    return float(np.median(power[is_slow].sum(axis=0) / np.maximum(power.sum(axis=0), 1e-30)))


def tell_measuring() -> None:
    """Say that the recording is being measured, which takes seconds."""
    announce(logger, "Measuring on the recording which blend of recorded and denoised traces keeps small spikes ...")


def tell_chosen(raw_weights: np.ndarray, nonlinear_share: float, usable: np.ndarray) -> None:
    """
    Say which blend was chosen.

    Parameters
    ----------
    raw_weights : np.ndarray, shape (num_channels,), float
        Weight of the recorded trace.
    nonlinear_share : float
        Share of the nonlinear part of the network that is used.
    usable : np.ndarray, shape (num_channels,), bool
        Channels that the network sees.
    """
    low, high = np.quantile(raw_weights[usable], [0, 1])
    weights = f"{low:.2f}" if round(low, 2) == round(high, 2) else f"{low:.2f} to {high:.2f} (by channel)"
    left_out = int((~usable).sum())
    announce(
        logger,
        f"Blend chosen: recorded traces count {weights}, the prediction the rest, so that 97 % of small spikes stay. "
        f"{nonlinear_share:.0%} of the nonlinear part of the network is used."
        + (f" {left_out} channels without a signal are predicted from their neighbours." if left_out else ""),
    )
