"""
Classical detectors of miniature potentials, for `benchmarks/events/events.py`.

All see the same trace: at 10 kHz, drift removed, events upwards, in noise levels. Template methods are told the mean
shape of the events.
"""

import numpy as np
import scipy.ndimage
import scipy.signal

from si_deepsort.events.waveform import biexponential, end_time_ms, peak_time_ms, tau_of_rise_ms

CLOSEST_MS = 1.5


class Template:
    """The mean event: rise and decay in ms, sampled at a rate."""

    def __init__(self, rise_ms: float, decay_ms: float, rate: float):
        self.rate = rate
        tau = float(tau_of_rise_ms(rise_ms, decay_ms))
        self.peak_s = float(peak_time_ms(tau, decay_ms)) / 1000
        self.length_s = float(end_time_ms(tau, decay_ms)) / 1000
        self.values = biexponential(np.arange(round(4 * decay_ms * rate / 1000)) / rate * 1000, tau, decay_ms)


def find_peaks(values: np.ndarray, template: Template):
    """`scipy.signal.find_peaks` on the trace below 1 kHz; score: prominence in noise levels of the filtered trace."""
    rate = template.rate
    filtered = scipy.signal.sosfiltfilt(scipy.signal.butter(2, 1000.0, fs=rate, output="sos"), values)
    level = 1.4826 * np.median(np.abs(filtered - np.median(filtered)))
    window = round(0.1 * rate)
    frames, found = scipy.signal.find_peaks(
        filtered / level, height=1.0, prominence=1.0, distance=round(0.003 * rate), wlen=window
    )
    return frames / rate - template.peak_s, found["prominences"]


def match_template(values: np.ndarray, template: Template):
    """The optimally scaled template of Clements & Bekkers (1997); score: their detection criterion."""
    shape = template.values
    count, mean_shape = len(shape), shape.mean()
    padded = np.pad(values, (0, count - 1))
    sliding = scipy.signal.oaconvolve(padded, np.ones(count), mode="valid")
    squares = scipy.signal.oaconvolve(padded**2, np.ones(count), mode="valid")
    products = scipy.signal.oaconvolve(padded, shape[::-1], mode="valid")
    shape_variance = (shape**2).sum() - count * mean_shape**2
    scale = (products - mean_shape * sliding) / shape_variance
    error = squares - sliding**2 / count - scale**2 * shape_variance
    criterion = scale / np.sqrt(np.maximum(error, 1e-12) / (count - 1))
    return _peaks(criterion, template.rate)


def deconvolve(values: np.ndarray, template: Template):
    """Deconvolution of Pernia-Andrade et al. (2012), 0.1 to 200 Hz; score: standard deviations of a Gaussian fit."""
    rate = template.rate
    size = scipy.fft.next_fast_len(len(values) + len(template.values))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    quotient = np.fft.rfft(values, size) / np.fft.rfft(template.values, size)
    quotient *= np.exp(-((frequencies / 200.0) ** 2) * np.log(2) / 2) * (frequencies > 0.1)
    trace = np.fft.irfft(quotient, size)[: len(values)]
    low, middle, high = np.percentile(trace, [15.87, 50, 84.13])
    return _peaks((trace - middle) / ((high - low) / 2), rate)


def _peaks(score, rate):
    frames, found = scipy.signal.find_peaks(score, height=0.5, distance=round(CLOSEST_MS * rate / 1000))
    return frames / rate, found["peak_heights"]


PEERS = {
    "scipy find_peaks": (find_peaks, np.arange(2.0, 16.1, 0.5)),
    "template matching": (match_template, np.arange(0.5, 8.1, 0.25)),
    "deconvolution": (deconvolve, np.arange(2.0, 12.1, 0.25)),
}
