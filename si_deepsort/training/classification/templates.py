"""The median waveform of each class: by its distance a classifier recognises what belongs to none of them."""

import numpy as np
import torch

from ...nets.classifier import WaveformClassifier

# Largest distance from a unit's median waveform (root mean square, in noise levels): the median distance, plus so many
# times its distance to the lower quartile, plus an offset for new noise. The upper tail is not used, for overlapping
# spikes widen it. Six such spreads are four standard deviations of a Gaussian.
LIMIT_SPREADS, LIMIT_OFFSET = 6.0, 0.5


def remember_templates(net: WaveformClassifier, waveforms: np.ndarray, classes: np.ndarray) -> None:
    """
    Store in the network each class's median waveform, and the distance within which nearly all of its waveforms lie.

    Parameters
    ----------
    net : WaveformClassifier
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples), float
    classes : np.ndarray, shape (num_waveforms,), int
    """
    for index in range(net.config.num_classes):
        own = waveforms[classes == index]
        if len(own):
            template = np.median(own, axis=0)
            distances = np.sqrt(((own - template) ** 2).mean(axis=(1, 2)))
            net.templates[index] = torch.from_numpy(template)
            quartile, median = np.quantile(distances, [0.25, 0.5])
            net.distance_limits[index] = float(median + LIMIT_SPREADS * (median - quartile) + LIMIT_OFFSET)


def template_accuracy(net: WaveformClassifier, waveforms: np.ndarray, classes: np.ndarray) -> float:
    """
    Accuracy of the nearest template, with zeros as the template of no spike.

    Parameters
    ----------
    net : WaveformClassifier
        With its templates.
    waveforms : np.ndarray, shape (num_waveforms, num_channels, num_samples), float
    classes : np.ndarray, shape (num_waveforms,), int
    """
    if len(waveforms) == 0:
        return float("nan")
    templates = net.templates.cpu().numpy().copy()
    templates[-1] = 0.0
    distances = [((waveforms - template) ** 2).mean(axis=(1, 2)) for template in templates]
    return float((np.argmin(distances, axis=0) == classes).mean())
