"""Templates of labelled units that are saved with a classifier, so that the sorter can match them."""

import torch
from torch import Tensor, nn


class UnitTemplates(nn.Module):
    """
    Templates of labelled units in white traces, and the whitening of these traces; all of it without gradients.

    Each row is the waveform of one unit on one channel where the unit is visible.

    Parameters
    ----------
    num_units, num_rows, num_samples, num_channels, num_taps : int
        Numbers of units, rows, samples of a waveform, channels of the labelled recording, and taps of the whitening
        filter.
    """

    rows: Tensor
    row_units: Tensor
    row_channels: Tensor
    num_spikes: Tensor
    threshold_factors: Tensor
    time_filter: Tensor
    space_matrix: Tensor

    def __init__(self, num_units: int, num_rows: int, num_samples: int, num_channels: int, num_taps: int):
        super().__init__()
        self.register_buffer("rows", torch.zeros(num_rows, num_samples))
        self.register_buffer("row_units", torch.zeros(num_rows, dtype=torch.int64))
        self.register_buffer("row_channels", torch.zeros(num_rows, dtype=torch.int64))
        self.register_buffer("num_spikes", torch.zeros(num_units, dtype=torch.int64))
        self.register_buffer("threshold_factors", torch.ones(num_units))
        self.register_buffer("time_filter", torch.zeros(num_taps))
        self.register_buffer("space_matrix", torch.zeros(num_channels, num_channels))
