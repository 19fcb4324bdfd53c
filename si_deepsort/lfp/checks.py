"""Check a field potential and its spikes before anything is computed from them."""

import logging

import numpy as np

logger = logging.getLogger(__name__)

# Fewest spikes of a unit from which a predictor is trained: the standard error of its log rate is 1 / sqrt(50) = .14.
MIN_SPIKES = 50


def check_traces(traces: np.ndarray, sampling_frequency: float, *, start_s: float = 0.0, line_frequency=None):
    """
    Refuse traces that cannot be used; warn of those that are doubtful.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
    sampling_frequency : float
        In Hz.
    start_s : float, default: 0.0
        Time of the first frame, for messages.
    line_frequency : float | None, default: None
        If given, warns when more than a tenth of a channel's power lies within 1 Hz of it.

    Raises
    ------
    ValueError
        For NaN or infinite values, or when more than a fifth of a channel's samples lie at its rails.
    """
    if np.issubdtype(traces.dtype, np.floating):
        bad = ~np.isfinite(traces).all(axis=1)
        if bad.any():
            raise ValueError(
                f"The field potential holds {int(bad.sum())} frames with NaN or infinite values, the first at "
                f"{start_s + np.argmax(bad) / sampling_frequency:.3f} s. Interpolate them or cut them out first "
                "(for example spikeinterface.preprocessing.remove_artifacts)."
            )
    share = saturated_share(traces)
    if share.max(initial=0) > 0.2:
        raise ValueError(
            f"Channel {int(share.argmax())} of the field potential is saturated or constant in {share.max():.0%} of "
            f"its samples near {start_s:.0f} s; expected less than 20 %. Leave this channel out."
        )
    if share.max(initial=0) > 1e-3:
        logger.warning(
            "Channel %d is saturated in %.2f %% of its samples near %.0f s", share.argmax(), 100 * share.max(), start_s
        )
    if line_frequency is not None and len(traces) > 4 * sampling_frequency:
        _warn_of_line_noise(traces, sampling_frequency, line_frequency)


def saturated_share(traces: np.ndarray) -> np.ndarray:
    """
    Share of each channel's samples that sit at a rail: at an integer type's last value, or in a run at an extreme.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)

    Returns
    -------
    np.ndarray, shape (num_channels,)
    """
    if len(traces) < 2:
        return np.zeros(traces.shape[1])
    at_rail = (traces == traces.max(axis=0)) | (traces == traces.min(axis=0))
    run = at_rail[1:] & at_rail[:-1] & (traces[1:] == traces[:-1])
    share = run.mean(axis=0)
    if np.issubdtype(traces.dtype, np.integer):
        limits = np.iinfo(traces.dtype)
        share = np.maximum(share, ((traces <= limits.min + 1) | (traces >= limits.max)).mean(axis=0))
    return share


def check_no_gaps(times_s: np.ndarray, sampling_frequency: float, *, tolerance_s: float):
    """
    Refuse times that leave even steps by more than a bin: bins would be placed as if there was no gap.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_frames,)
    sampling_frequency : float
        In Hz.
    tolerance_s : float
    """
    late_s = times_s - times_s[0] - np.arange(len(times_s)) / sampling_frequency
    if np.abs(late_s).max() > tolerance_s:
        frame = int(np.argmax(np.abs(late_s) > tolerance_s))
        raise ValueError(
            f"The times of the field potential do not agree with its rate of {sampling_frequency:g} Hz: frame {frame} "
            f"is at {times_s[frame]:.3f} s, expected {times_s[frame] - late_s[frame]:.3f} s. Cut the recording at gaps "
            "(recording.frame_slice), or drop the times with recording.reset_times()."
        )


def check_spike_count(num_spikes: int, name, *, minimum: int = MIN_SPIKES):
    """Refuse a unit with too few spikes to learn from."""
    if num_spikes < minimum:
        raise ValueError(
            f"Unit {name} has {num_spikes} spikes in the training data; at least {minimum} are needed. Record longer, "
            "leave this unit out, or predict the population."
        )


def check_common_clock(recording_s: tuple[float, float], spike_times_s: np.ndarray, name, *, tolerance_s: float = 1.0):
    """
    Refuse spikes that do not fall into the recording.

    Parameters
    ----------
    recording_s : (float, float)
        Start and end of the recording, s.
    spike_times_s : np.ndarray, shape (num_spikes,)
    name
        Name of the unit, for the message.
    tolerance_s : float, default: 1.0
        Spikes this far outside are dropped with a warning; spikes further out are an error.
    """
    if len(spike_times_s) == 0:
        return
    first, last = float(np.min(spike_times_s)), float(np.max(spike_times_s))
    if first < recording_s[0] - tolerance_s or last > recording_s[1] + tolerance_s:
        raise ValueError(
            f"Spikes of unit {name} lie between {first:.3f} and {last:.3f} s, but the field potential covers "
            f"{recording_s[0]:.3f} to {recording_s[1]:.3f} s: lengths or clocks differ. Cut both to the same span, or "
            "shift one (recording.shift_times, sorting.frame_slice)."
        )
    if first < recording_s[0] or last > recording_s[1]:
        logger.warning("Some spikes of unit %s lie just outside the field potential and are dropped", name)


def _warn_of_line_noise(traces, sampling_frequency, line_frequency):
    import scipy.signal

    frequency, power = scipy.signal.welch(
        traces.astype(np.float32), sampling_frequency, nperseg=int(2 * sampling_frequency), axis=0
    )
    near = np.abs(frequency - line_frequency) <= 1
    share = power[near].sum(axis=0) / power[1:].sum(axis=0)
    if near.any() and share.max() > 0.1:
        logger.warning(
            "%.0f %% of the power of channel %d lies at %g Hz: remove it (spikeinterface.preprocessing.notch_filter)",
            100 * share.max(),
            share.argmax(),
            line_frequency,
        )
