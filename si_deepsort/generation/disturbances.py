"""What the room and the experiment add to the traces: line noise, stimulation artefacts, channels that die."""

import numpy as np
import spikeinterface.core as si
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from .settings import Disturbances

# Harmonics of the mains that are added, as multiples of its frequency: rectifiers make odd ones mostly.
LINE_HARMONICS = (3, 5, 7, 9)
# Share of a stimulation artefact that is its sharp onset; the rest of it is the slow recovery of the amplifier.
ONSET_SHARE = 0.05
# Line noise and artefacts differ in size from channel to channel by this much (relative standard deviation), so that a
# common reference leaves a part of them.
CHANNEL_GAIN_SD = 0.05


def line_noise(frames: np.ndarray, *, sampling_frequency: float, line_hz: float, harmonics: float) -> np.ndarray:
    """
    The mains with its odd harmonics, for an amplitude of 1.

    Parameters
    ----------
    frames : np.ndarray, shape (num_frames,), int
    sampling_frequency : float
        In Hz.
    line_hz : float
        50 or 60 Hz.
    harmonics : float
        Amplitude of the third harmonic; the n-th has 3 / n times that. 0 gives a pure sine.

    Returns
    -------
    np.ndarray, shape (num_frames,), float64
    """
    phase = 2 * np.pi * np.mod(np.asarray(frames) * (line_hz / sampling_frequency), 1.0)
    overtones = sum(3 / number * np.sin(number * phase + number) for number in LINE_HARMONICS)
    return np.sin(phase) + harmonics * overtones


def stimulation_artefact(*, sampling_frequency: float, duration_ms: float) -> np.ndarray:
    """
    A biphasic pulse and the slow recovery of the amplifier, for a peak of 1.

    Parameters
    ----------
    sampling_frequency : float
        In Hz.
    duration_ms : float
        It has decayed to e^-4 and is tapered to 0 at its end.

    Returns
    -------
    np.ndarray, shape (num_frames,), float64
    """
    num_frames = max(round(duration_ms * sampling_frequency / 1000), 2)
    recovery = -np.exp(-4 * np.arange(num_frames) / num_frames) * np.linspace(1, 0, num_frames)
    onset = max(round(ONSET_SHARE * num_frames / 2), 1)
    recovery[:onset] = 1.0
    return recovery


def artefact_frames(num_frames: int, *, sampling_frequency: float, rate: float) -> np.ndarray:
    """Onsets of regular stimulation at `rate` Hz, (num_artefacts,) int64; none at a rate of 0."""
    if rate == 0:
        return np.zeros(0, dtype="int64")
    period = sampling_frequency / rate
    return np.round(np.arange(period / 2, num_frames, period)).astype("int64")


class DisturbedRecording(BasePreprocessor):
    """
    A recording with line noise, stimulation artefacts and channels that die, lazily.

    Parameters
    ----------
    recording : BaseRecording
        In uV.
    disturbances : Disturbances
    seed : int
        Seed of the gains of the channels and of the choice of dead channels.
    """

    def __init__(self, recording: si.BaseRecording, disturbances: Disturbances, seed: int):
        BasePreprocessor.__init__(self, recording)
        gain_rng, dead_rng = np.random.default_rng([seed, 33]).spawn(2)
        num_channels = recording.get_num_channels()
        gains = 1 + CHANNEL_GAIN_SD * np.clip(gain_rng.standard_normal((2, num_channels)), -3, 3)
        num_dead = round(disturbances.dead_channel_share * num_channels)
        dead = dead_rng.permutation(num_channels)[:num_dead]
        for parent in recording.segments:
            num_frames = parent.get_num_samples()
            dies_at = np.full(num_channels, num_frames)
            dies_at[dead] = (num_frames * dead_rng.uniform(0.25, 0.75, num_dead)).astype("int64")
            self.add_recording_segment(
                _DisturbedSegment(parent, recording.get_sampling_frequency(), disturbances, gains, dies_at)
            )
        self._serializability = {"json": False, "pickle": False, "memory": True}


class _DisturbedSegment(BasePreprocessorSegment):
    def __init__(self, parent, sampling_frequency, disturbances, gains, dies_at):
        BasePreprocessorSegment.__init__(self, parent)
        self.disturbances, self.gains, self.dies_at = disturbances, gains, dies_at
        self.timing = dict(sampling_frequency=sampling_frequency)
        self.artefact = stimulation_artefact(duration_ms=disturbances.artefact_ms, **self.timing)
        self.onsets = artefact_frames(parent.get_num_samples(), rate=disturbances.artefact_rate, **self.timing)

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces, (num_frames, num_channels) float32, the same however they are cut into chunks."""
        own = self.disturbances
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, None)
        frames = np.arange(start_frame, end_frame)
        line = line_noise(frames, line_hz=own.line_hz, harmonics=own.line_harmonics, **self.timing)
        onsets = np.concatenate([[-len(self.artefact)], self.onsets])
        since = frames - onsets[np.searchsorted(self.onsets, frames, side="right")]
        pulse = np.append(self.artefact, 0.0)[np.minimum(since, len(self.artefact))]
        traces = traces + own.line_noise_uV * np.outer(line, self.gains[0])
        traces = traces + own.artefact_uV * np.outer(pulse, self.gains[1])
        traces = np.where(frames[:, None] < self.dies_at, traces, 0.0).astype("float32")
        return traces if channel_indices is None else traces[:, channel_indices]
