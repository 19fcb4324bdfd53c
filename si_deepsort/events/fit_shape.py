"""
Least-squares fit of many bi-exponential events at once, overlapping ones together.

Each event is `amplitude * (1 - exp(-t / tau_1)) * exp(-t / tau_2) + local baseline`, fitted by Levenberg-Marquardt in
its own window after all other events were subtracted; even and odd events take turns until overlaps have settled.
"""

import itertools
from dataclasses import dataclass, fields

import numpy as np

# Window of the fit around each event, in ms, and its part before the onset: nearly three of the slowest decays that the
# bundled model knows (25 ms).
WINDOW_MS = 70.0
BEFORE_MS = 6.0
# Times that even and odd events take turns, and Levenberg-Marquardt steps in each: enough for overlaps to settle.
NUM_ROUNDS = 10
STEPS_PER_ROUND = 4
# Events that are fitted at once: bounds the memory.
BATCH_SIZE = 512
# Events, or frames, after which a group has its own part of the trace, if the next event is too
# far to matter: bounds the memory and does not change the result.
GROUP_SIZE, GROUP_FRAMES = 1024, 1_000_000
# Positions of the five parameters of an event.
ONSET, LOG_RISE, LOG_DECAY, AMPLITUDE, BASELINE = range(5)
# Spread (1 sd) of what is believed before looking: onset in ms, logarithms of the time constants; the rest is free.
PRIOR_SD = np.array([1.0, 1.0, 0.8, np.inf, np.inf])
# What is believed of the ratio of rise to decay time constant: that of typical miniature events.
PRIOR_RISE_TO_DECAY = 0.12


@dataclass(frozen=True)
class FittedEvents:
    """
    Shapes of events, all arrays of shape (num_events,), float.

    Attributes
    ----------
    onset_ms, tau_rise_ms, tau_decay_ms : np.ndarray
        Parameters of a difference of two exponentials (`waveform.biexponential`).
    amplitude : np.ndarray
        Height of the peak above the local baseline, in the unit of the values.
    r_squared : np.ndarray
        Part of the variance around the event that the fit explains.
    amplitude_error : np.ndarray
        Standard error of the amplitude.
    misfit : np.ndarray
        Root mean square of what the fit leaves over, in noise levels; about 1 for a good fit.
    """

    onset_ms: np.ndarray
    tau_rise_ms: np.ndarray
    tau_decay_ms: np.ndarray
    amplitude: np.ndarray
    r_squared: np.ndarray
    amplitude_error: np.ndarray
    misfit: np.ndarray


def fit_events(values, rate: float, onset_ms, length_ms, noise_level: float, *, time_scale: float = 1.0):
    """
    Fit the shape of every event of a trace.

    Parameters
    ----------
    values : Frames, shape (num_frames,), float
        Trace without drift, events upwards.
    rate : float
        Frames per second.
    onset_ms, length_ms : np.ndarray, shape (num_events,), float
        First guesses: onset, and time from there to where the event has decayed to a tenth.
    noise_level : float
    time_scale : float, default: 1.0
        Windows and beliefs are this much longer.

    Returns
    -------
    FittedEvents
    """
    frames_per_ms = rate * time_scale / 1000  # inside, a millisecond lasts `time_scale` milliseconds
    onset_ms, length_ms = np.asarray(onset_ms, float) / time_scale, np.asarray(length_ms, float) / time_scale
    groups = _groups(_first_frames(onset_ms, frames_per_ms), round(WINDOW_MS * frames_per_ms))
    fits = [_fit_group(values, frames_per_ms, onset_ms[group], length_ms[group], noise_level) for group in groups]
    columns = {field.name: np.concatenate([getattr(fit, field.name) for fit in fits]) for field in fields(FittedEvents)}
    times = {name: columns[name] * time_scale for name in ("onset_ms", "tau_rise_ms", "tau_decay_ms")}
    return FittedEvents(**columns | times)


def _first_frames(onset_ms, frames_per_ms):
    """First frame of the window of each event; negative before the trace."""
    return np.round((onset_ms - BEFORE_MS) * frames_per_ms).astype(int)


def _groups(starts, num_frames):
    """Slices of events, an even number of them, whose windows do not touch those of the events before."""
    last_stops = np.maximum.accumulate(starts + num_frames)
    is_apart = np.flatnonzero(np.minimum.accumulate(starts[::-1])[::-1][1:] > last_stops[:-1]) + 1
    edges = [0]
    for edge in is_apart[is_apart % 2 == 0]:
        if edge - edges[-1] >= GROUP_SIZE or starts[edge] - starts[edges[-1]] >= GROUP_FRAMES:
            edges.append(int(edge))
    return [slice(first, stop) for first, stop in itertools.pairwise([*edges, len(starts)])]


def _fit_group(values, frames_per_ms, onset_ms, length_ms, noise_level):
    """Fit all events of one group; times in ms of the fit."""
    fitter = _Fitter(values, frames_per_ms, onset_ms, length_ms, noise_level)
    for _ in range(NUM_ROUNDS):
        for parity in (0, 1):
            chosen = np.arange(parity, len(onset_ms), 2)
            for first in range(0, len(chosen), BATCH_SIZE):
                fitter.refine(chosen[first : first + BATCH_SIZE])
    return fitter.result()


class _Fitter:
    def __init__(self, values, frames_per_ms, onset_ms, length_ms, noise_level):
        self.frames_per_ms, self.noise_level = frames_per_ms, noise_level
        self.num_frames, self.num_frames_of_trace = round(WINDOW_MS * frames_per_ms), len(values)
        self.starts = _first_frames(onset_ms, frames_per_ms)
        # The trace around these events, with one more window to each side; it is 0 beyond the ends of the trace.
        starts = self.starts if len(onset_ms) else np.zeros(1, dtype=int)
        self.first, stop = int(starts.min()) - self.num_frames, int(starts.max()) + 2 * self.num_frames
        self.residual = np.zeros(stop - self.first)
        own = values[max(0, self.first) : max(0, stop)]
        self.residual[max(0, -self.first) :][: len(own)] = own
        decay = np.clip(length_ms / 2.5, 0.6, 25.0)
        self.prior = np.zeros((len(onset_ms), 5))
        self.prior[:, ONSET] = onset_ms
        self.prior[:, LOG_DECAY] = np.log(decay)
        self.prior[:, LOG_RISE] = np.log(decay * PRIOR_RISE_TO_DECAY)
        self.params = self.prior.copy()
        self.stop_ms = onset_ms + np.clip(1.4 * length_ms + 3.0, 8.0, WINDOW_MS - BEFORE_MS)
        self.r_squared, self.error = np.zeros(len(onset_ms)), np.full(len(onset_ms), np.inf)
        self.misfit = np.zeros(len(onset_ms))

    def refine(self, chosen):
        """Some Levenberg-Marquardt steps of some events, no two of which are neighbours."""
        frames = self.starts[chosen, None] + np.arange(self.num_frames)
        times = frames / self.frames_per_ms
        is_inside = (frames >= 0) & (frames < self.num_frames_of_trace)
        frames -= self.first
        params, prior = self.params[chosen], self.prior[chosen]
        own, _ = _model(times, params)
        data = self.residual[frames] + own
        weights = (is_inside & (times <= self.stop_ms[chosen, None])) / self.noise_level**2
        damping = np.full(len(chosen), 1e-2)
        cost = self._cost(data, own, params, prior, weights)
        for _ in range(STEPS_PER_ROUND):
            model, jacobian = _model(times, params, with_baseline=True)
            trial = self._step(data - model, jacobian, params, prior, weights, damping)
            trial_cost = self._cost(data, _model(times, trial)[0], trial, prior, weights)
            is_better = trial_cost < cost
            params = np.where(is_better[:, None], trial, params)
            cost = np.where(is_better, trial_cost, cost)
            damping = np.where(is_better, damping / 5, damping * 10)
        self._keep(chosen, frames, times, data, own, params, weights)

    def _step(self, misfit, jacobian, params, prior, weights, damping):
        curvature = np.einsum("ntp,nt,ntq->npq", jacobian, weights, jacobian, optimize=True)
        gradient = np.einsum("ntp,nt->np", jacobian, weights * misfit) + (prior - params) / PRIOR_SD**2
        curvature += np.diag(1 / PRIOR_SD**2)
        diagonal = np.einsum("npp->np", curvature)
        curvature = curvature + damping[:, None, None] * (diagonal[:, :, None] + 1e-12) * np.eye(5)
        step = np.linalg.solve(curvature + 1e-12 * np.eye(5), gradient[:, :, None])[:, :, 0]
        step[:, :3] = np.clip(step[:, :3], -0.7, 0.7)
        trial = params + step
        trial[:, ONSET] = np.clip(trial[:, ONSET], prior[:, ONSET] - 2.5, prior[:, ONSET] + 2.5)
        trial[:, LOG_RISE] = np.clip(trial[:, LOG_RISE], np.log(0.02), np.log(20.0))
        trial[:, LOG_DECAY] = np.clip(trial[:, LOG_DECAY], np.log(0.2), np.log(60.0))
        trial[:, AMPLITUDE] = np.maximum(trial[:, AMPLITUDE], 0.0)
        return trial

    def _cost(self, data, event, params, prior, weights):
        misfit = data - event - params[:, BASELINE, None]
        return (weights * misfit**2).sum(axis=1) + (((params - prior) / PRIOR_SD) ** 2).sum(axis=1)

    def _keep(self, chosen, frames, times, data, own, params, weights):
        event, jacobian = _model(times, params)
        for row in range(len(chosen)):  # windows of events that are not neighbours may still overlap
            np.add.at(self.residual, frames[row], own[row] - event[row])
        self.params[chosen] = params
        misfit = data - event - params[:, BASELINE, None]
        count = np.maximum((weights > 0).sum(axis=1, keepdims=True), 1)
        centered = data - (data * (weights > 0)).sum(axis=1, keepdims=True) / count
        total = (weights * centered**2).sum(axis=1)
        left_over = (weights * misfit**2).sum(axis=1)
        self.r_squared[chosen] = 1 - left_over / np.maximum(total, 1e-12)
        self.misfit[chosen] = np.sqrt(left_over / count[:, 0])
        information = np.einsum("nt,nt->n", weights, jacobian[:, :, AMPLITUDE] ** 2)
        self.error[chosen] = 1 / np.sqrt(np.maximum(information, 1e-12))

    def result(self) -> FittedEvents:
        tau_1, tau_2 = np.exp(self.params[:, LOG_RISE]), np.exp(self.params[:, LOG_DECAY])
        peak_ms = tau_1 * np.log1p(tau_2 / tau_1)
        peak = (1 - np.exp(-peak_ms / tau_1)) * np.exp(-peak_ms / tau_2)
        return FittedEvents(
            onset_ms=self.params[:, ONSET],
            tau_rise_ms=tau_1 * tau_2 / (tau_1 + tau_2),
            tau_decay_ms=tau_2,
            amplitude=self.params[:, AMPLITUDE] * peak,
            r_squared=self.r_squared,
            amplitude_error=self.error * peak,
            misfit=self.misfit,
        )


def _model(times_ms, params, with_baseline=False):
    """Events of shape (num_events, num_frames), and their derivatives (num_events, num_frames, 5)."""
    elapsed = times_ms - params[:, ONSET, None]
    is_after = elapsed > 0
    elapsed = np.maximum(elapsed, 0.0)
    rise, decay = np.exp(params[:, LOG_RISE, None]), np.exp(params[:, LOG_DECAY, None])
    falling, rising = np.exp(-elapsed / decay), np.exp(-elapsed / rise)
    shape = (1 - rising) * falling
    amplitude = params[:, AMPLITUDE, None]
    jacobian = np.empty((*elapsed.shape, 5))
    jacobian[..., ONSET] = -amplitude * is_after * falling * (rising / rise - (1 - rising) / decay)
    jacobian[..., LOG_RISE] = -amplitude * elapsed / rise * rising * falling
    jacobian[..., LOG_DECAY] = amplitude * shape * elapsed / decay
    jacobian[..., AMPLITUDE] = shape
    jacobian[..., BASELINE] = 1.0
    event = amplitude * shape
    return (event + params[:, BASELINE, None] if with_baseline else event), jacobian
