"""A filter over time and a matrix over channels that make the noise of traces white."""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import scipy.signal

from ..compiled import COMPILED

# Singular values of the space matrix below this, relative to the largest, count as 0 when it is inverted.
SMALLEST_SINGULAR_VALUE = 1e-5


@dataclass(frozen=True, eq=False)
class Whitening:
    """
    A filter over time and a matrix over channels that make noise white.

    Attributes
    ----------
    time_filter : np.ndarray, shape (num_taps,), float32
        Causal filter over time, first tap 1; the same for all channels.
    space_matrix : np.ndarray, shape (num_channels, num_channels), float32
        Multiplies filtered traces (frames, channels) from the right; rows and columns of dead channels are 0.
    """

    time_filter: np.ndarray
    space_matrix: np.ndarray

    def __post_init__(self):
        for name in ("time_filter", "space_matrix"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype="float32"))

    @classmethod
    def identity(cls, num_channels: int) -> "Whitening":
        """The whitening that leaves traces as they are."""
        return cls(np.ones(1), np.eye(num_channels))

    def whiten(self, waveforms: np.ndarray) -> np.ndarray:
        """
        Whiten average waveforms.

        Parameters
        ----------
        waveforms : np.ndarray, shape (num_units, num_samples, num_channels), float
            In the unit of the traces before whitening; 0 before the first sample.

        Returns
        -------
        np.ndarray, shape (num_units, num_samples, num_channels), float
            In noise standard deviations.
        """
        if len(waveforms) == 0:
            return waveforms
        return scipy.signal.lfilter(self.time_filter.astype(float), [1.0], waveforms, axis=1) @ self.space_matrix

    @cached_property
    def _inverse(self) -> np.ndarray:
        """Inverse of the space matrix, (num_channels, num_channels), float; dead channels make the matrix singular."""
        return np.linalg.pinv(self.space_matrix.astype(float), rcond=SMALLEST_SINGULAR_VALUE)

    def unwhiten(self, waveforms: np.ndarray) -> np.ndarray:
        """
        Undo the whitening of average waveforms.

        Parameters
        ----------
        waveforms : np.ndarray, shape (num_units, num_samples, num_channels), float
            Averages of white traces, in noise standard deviations.

        Returns
        -------
        np.ndarray, shape (num_units, num_samples, num_channels), float
            In the unit of the traces before whitening; 0 on dead channels.
        """
        if len(waveforms) == 0:
            return waveforms
        mixed = waveforms @ self._inverse
        return scipy.signal.lfilter([1.0], self.time_filter.astype(float), mixed, axis=1)


def filter_over_time(traces: np.ndarray, time_filter: np.ndarray) -> np.ndarray:
    """
    Filter each channel; several times cheaper than by Fourier transforms.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    time_filter : np.ndarray, shape (num_taps,), float32
        Causal filter.

    Returns
    -------
    np.ndarray, shape (num_frames - num_taps + 1, num_channels), float32
        Without the first frames, for which the filter would need frames before the start.
    """
    order = len(time_filter) - 1
    filtered = np.zeros((max(0, len(traces) - order), traces.shape[1]), dtype="float32")
    _filter_over_time(traces, time_filter, filtered)
    return filtered


@numba.njit(fastmath=True, **COMPILED)
def _filter_over_time(traces, time_filter, filtered):
    """Add filtered traces to `filtered`."""
    order = len(time_filter) - 1
    for frame in range(len(filtered)):
        own = filtered[frame]
        for tap in range(order + 1):
            weight, earlier = time_filter[tap], traces[frame + order - tap]
            for channel in range(len(own)):
                own[channel] += weight * earlier[channel]
