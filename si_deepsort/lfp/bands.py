"""
Frequency bands of the field potential and the filters that cut them out.

A filter is a complex FIR kernel: its output is the analytic signal of the band, so amplitude and phase come at no
extra cost, and it has a finite reach, so that one knows how far a feature looks to either side.
"""

import math

import numpy as np

# Frequency bands (low, high) in Hz. The first set is the convention for humans and other primates; the theta rhythm of
# rodents is faster and reaches into what is called alpha elsewhere.
BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "beta": (12.0, 30.0),
    "low_gamma": (30.0, 60.0),
    "high_gamma": (60.0, 120.0),
}
RODENT_BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 5.0),
    "theta": (5.0, 12.0),
    "beta": (12.0, 30.0),
    "low_gamma": (30.0, 60.0),
    "high_gamma": (60.0, 120.0),
}
BAND_SETS = {"human": BANDS, "rodent": RODENT_BANDS}


def check_bands(
    bands: dict[str, tuple[float, float]] | str, sampling_frequency: float
) -> dict[str, tuple[float, float]]:
    """
    Bands as a dictionary of (low, high) in Hz, checked against the sampling rate.

    Parameters
    ----------
    bands : dict of (low, high) in Hz | "human" | "rodent"
    sampling_frequency : float
        Sampling frequency of the field potential in Hz.

    Raises
    ------
    ValueError
        If a band is empty, reversed, or reaches the Nyquist frequency.
    """
    if isinstance(bands, str):
        if bands not in BAND_SETS:
            raise ValueError(f"Unknown set of bands '{bands}'; expected one of {sorted(BAND_SETS)} or a dictionary.")
        bands = BAND_SETS[bands]
    if not bands:
        raise ValueError("No band was given; expected a dictionary such as {'theta': (4, 8)}.")
    nyquist = sampling_frequency / 2
    for name, edges in bands.items():
        if len(edges) != 2 or not 0 < edges[0] < edges[1]:
            raise ValueError(f"Band '{name}' is {edges}; expected (low, high) in Hz with 0 < low < high.")
        if edges[1] >= nyquist:
            raise ValueError(
                f"Band '{name}' ends at {edges[1]:g} Hz, but a recording at {sampling_frequency:g} Hz holds nothing "
                f"from {nyquist:g} Hz upwards. Leave this band out or lower its end."
            )
    return {name: (float(low), float(high)) for name, (low, high) in bands.items()}


def band_kernel(low: float, high: float, sampling_frequency: float, *, causal: bool = False) -> np.ndarray:
    """
    Complex kernel whose output is the analytic signal of a band.

    Acausal: a Hamming-windowed sinc, centred, no delay. Causal: a third-order gammatone, which looks at the past only
    and delays the band by about 1 / bandwidth.

    Parameters
    ----------
    low, high : float
        Edges in Hz.
    sampling_frequency : float
        In Hz.
    causal : bool, default: False

    Returns
    -------
    np.ndarray, shape (num_taps,), complex64
        Odd length; the tap of lag 0 is in the middle (acausal) or first (causal). Gain 1 in the middle of the band.
    """
    centre = (low + high) / 2
    if causal:
        decay = (high - low) / 2 / math.sqrt(2 ** (1 / 3) - 1)  # puts the half-power points at the edges
        lags = np.arange(math.ceil(reach_seconds(low, high, causal=True) * sampling_frequency) + 1)
        time = lags / sampling_frequency
        envelope = time**2 * np.exp(-2 * math.pi * decay * time)
    else:
        half = math.ceil(reach_seconds(low, high) * sampling_frequency)
        lags = np.arange(-half, half + 1)
        time = lags / sampling_frequency
        envelope = np.sinc((high - low) * time) * np.hamming(len(lags))
    envelope /= envelope.sum()
    return (2 * envelope * np.exp(2j * math.pi * centre * time)).astype(np.complex64)


def reach_seconds(low: float, high: float, *, causal: bool = False) -> float:
    """How far the kernel of a band looks to either side (causal: back), in s."""
    if causal:
        return 2.0 / (high - low)  # the envelope has decayed to 4e-4 of its area
    transition = max(low / 4, 1.0)
    return 3.3 / transition / 2
