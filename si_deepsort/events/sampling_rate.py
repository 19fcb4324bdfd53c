"""The sampling rate of a trace from a column of times that may be rounded."""

import numpy as np

# Largest relative uncertainty of a rate that was found from rounded times.
MAX_RATE_ERROR = 2e-3
# Rounding makes many steps one unit of the last digit longer than the others. Fewer than this may be lost samples.
FEWEST_ODD_STEPS = 3


def sampling_rate_of(times: np.ndarray, seconds: float) -> float:
    """
    Sampling rate from a column of times that may be rounded.

    Parameters
    ----------
    times : np.ndarray, shape (num_frames,), float64
    seconds : float
        Seconds per unit of `times`.

    Returns
    -------
    float
        In Hz: the roundest number that agrees with the times.

    Raises
    ------
    ValueError
        If times are missing, do not increase, are not evenly spaced, or are too coarse to give the rate.
    """
    if len(times) < 3 or not np.isfinite(times).all():
        missing = np.flatnonzero(~np.isfinite(times))
        place = f"row {missing[0] + 1} has no time" if len(missing) else f"there are {len(times)} rows"
        raise ValueError(f"{place}; expected at least three evenly spaced times")
    steps = np.diff(times)
    if steps.min() < 0 or times[-1] == times[0]:
        row = int(np.argmin(steps)) + 2
        raise ValueError(f"the times do not increase (row {row}); give one sweep per file, or one column per sweep")
    span, grid = times[-1] - times[0], np.linspace(times[0], times[-1], len(times))
    error = np.abs(times - grid).max()
    # Rounding moves the first, the last and each other time by half of the last decimal.
    resolution = max(_resolution(times), 4 * np.spacing(np.abs(times).max()))
    if error > 1.01 * resolution + 0.02 * span / (len(times) - 1):
        row = int(np.abs(times - grid).argmax()) + 1
        raise ValueError(f"the times are not evenly spaced (row {row}); samples are missing or sweeps were joined")
    in_units, counts = np.unique(np.round(steps / resolution), return_counts=True)
    if len(in_units) == 2 and counts.min() < FEWEST_ODD_STEPS:
        row = int(np.argmax(np.round(steps / resolution) == in_units[counts.argmin()])) + 2
        raise ValueError(
            f"the times before row {row} are {in_units[counts.argmin()] * resolution:g} apart and nearly all others "
            f"{in_units[counts.argmax()] * resolution:g}: a sample is missing or repeated, or the times are "
            "rounded too much; write more digits"
        )
    uncertainty = resolution / span
    if uncertainty > MAX_RATE_ERROR:
        raise ValueError(
            f"the times are rounded to {resolution:g}, too coarse for {len(times)} rows in {span:g}; write more digits"
        )
    rate = (len(times) - 1) / (span * seconds)
    return _roundest(rate * (1 - uncertainty), rate * (1 + uncertainty), rate)


def _resolution(times):
    """Value of the last decimal with which times were written."""
    scale = np.abs(times).max()
    for decimals in range(-3, 13):
        step = 10.0**-decimals
        if step <= scale and np.abs(times / step - np.round(times / step)).max() < 1e-6 + 1e-15 * scale / step:
            return step
    return 1e-12


def _roundest(low, high, middle):
    """The number between two limits with the fewest digits; the middle if they are closer than double precision."""
    for digits in range(1, 16):
        candidate = float(f"{middle:.{digits - 1}e}")
        if low <= candidate <= high:
            return candidate
    return middle
