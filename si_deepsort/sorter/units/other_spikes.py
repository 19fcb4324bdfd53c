"""What spikes of other units add to the window of a spike, as far as their templates tell."""

from dataclasses import dataclass

import numba
import numpy as np

from ...compiled import COMPILED


@dataclass(frozen=True)
class OtherSpikes:
    """
    All spikes of a recording, of which those around a spike are subtracted from its window.

    Attributes
    ----------
    times : np.ndarray, shape (num_spikes,), int
        In samples, ascending, see `absolute_times`.
    units : np.ndarray, shape (num_spikes,), int
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
    visible : np.ndarray, shape (num_units, num_channels), bool
        Where templates are not 0.
    """

    times: np.ndarray
    units: np.ndarray
    templates: np.ndarray
    visible: np.ndarray

    def subtract(self, waveforms: np.ndarray, positions: np.ndarray, channels: np.ndarray) -> None:
        """
        Subtract the templates of all spikes around some spikes, but not their own, from their waveforms.

        Parameters
        ----------
        waveforms : np.ndarray, shape (num_chosen, num_samples, num_places), float32
            Windows as long as a template, from the same sample before the spike time on; changed in place.
        positions : np.ndarray, shape (num_chosen,), int
            Position of each of these spikes among all.
        channels : np.ndarray, shape (num_chosen, num_places), int
            Channel of each place; -1 where there is none.
        """
        shared = np.empty(channels.shape[1], dtype="int64")  # room
        _subtract(waveforms, positions, channels, self.times, self.units, self.templates, self.visible, shared)


@numba.njit(**COMPILED)
def _subtract(waveforms, positions, channels, times, units, templates, visible, shared):
    num_samples = waveforms.shape[1]
    for row in range(len(positions)):
        for step in (-1, 1):
            other = positions[row] + step
            while 0 <= other < len(times) and abs(times[other] - times[positions[row]]) < num_samples:
                lag, unit = times[other] - times[positions[row]], units[other]
                # Most spikes are far away: few of the channels are those of both.
                num_shared = 0
                for place in range(channels.shape[1]):
                    if channels[row, place] >= 0 and visible[unit, channels[row, place]]:
                        shared[num_shared] = place
                        num_shared += 1
                if num_shared > 0:
                    for sample in range(max(0, lag), min(num_samples, num_samples + lag)):
                        waveform, template = waveforms[row, sample], templates[unit, sample - lag]
                        for number in range(num_shared):
                            waveform[shared[number]] -= template[channels[row, shared[number]]]
                other += step
