"""Subtract line noise where it is strong enough to matter, and say what was found."""

import logging

from spikeinterface.core import BaseRecording

from ...preprocessing.find_lines import LineNoise, find_lines
from ...preprocessing.line_noise import remove_lines

logger = logging.getLogger(__name__)


def without_line_noise(filtered: BaseRecording, *, seed: int) -> BaseRecording:
    """
    Subtract the lines that stand out of the spectrum.

    Parameters
    ----------
    filtered : BaseRecording
        Band-passed traces in any unit.
    seed : int
        Seed of the choice of chunks in which lines are looked for.

    Returns
    -------
    BaseRecording
        Lazy, float32; the recording itself if there are no lines, or if they are too small to matter.
    """
    lines = find_lines(filtered, seed=seed)
    if len(lines.frequencies_hz) == 0:
        return filtered
    logger.info("Line noise is subtracted: %s", _told(lines))
    return remove_lines(filtered, frequencies_hz=lines.frequencies_hz.tolist(), levels=lines.levels.tolist())


def warn_of_line_noise(filtered: BaseRecording, *, seed: int) -> None:
    """Say which lines a recording holds that was filtered elsewhere, and what to do; nothing is subtracted."""
    lines = find_lines(filtered, seed=seed)
    if len(lines.frequencies_hz):
        logger.warning(
            "Line noise stays in the traces: %s. It splits and hides units. Give the sorter the unfiltered recording "
            "and apply_preprocessing=True, which subtracts it, or filter with a higher freq_min, e.g. 300 Hz.",
            _told(lines),
        )


def _told(lines: LineNoise) -> str:
    """Frequencies and sizes of lines in words."""
    each = (f"{hz:.1f} Hz ({ratio:.2g})" for hz, ratio in zip(lines.frequencies_hz, lines.ratios, strict=True))
    return ", ".join(each) + ", amplitudes in noise levels after the band-pass"
