"""Cut runs of bins into windows with context, and apply a predictor to them."""

from typing import Any

import numpy as np
import torch


def cut_windows(values: np.ndarray, starts: np.ndarray, *, length: int, margin: int, fill: np.ndarray) -> np.ndarray:
    """
    Windows of one run of bins.

    Parameters
    ----------
    values : np.ndarray, shape (num_bins, num_columns)
    starts : np.ndarray, shape (num_windows,), int
        First bin of each window, its margin not counted.
    length, margin : int
        Bins of a window, and of context on each side.
    fill : np.ndarray, shape (num_columns,)
        Stands for bins outside the run.

    Returns
    -------
    np.ndarray, shape (num_windows, num_columns, length + 2 * margin)
    """
    bins = starts[:, None] + np.arange(-margin, length + margin)
    windows = values[np.clip(bins, 0, len(values) - 1)]
    windows[(bins < 0) | (bins >= len(values))] = fill
    return np.ascontiguousarray(windows.transpose(0, 2, 1))


def predict_output(
    net, values: np.ndarray, *, parts: bool = False, length: int = 400, batch_size: int = 32
) -> np.ndarray:
    """
    Output of a spike predictor for one run of bins.

    Parameters
    ----------
    net : SpikePredictor
    values : np.ndarray, shape (num_bins, num_features), float32
        As the features come, not standardised.
    parts : bool, default: False
        The linear and the network part one by one, before gain and offset.
    length : int, default: 400
        Bins predicted per window; the windows lie on a fixed grid from the first bin.
    batch_size : int, default: 32

    Returns
    -------
    np.ndarray, shape (num_bins, num_outputs) or, with `parts`, (num_bins, 2, num_outputs), float64
        Log rate per bin, or logit, as the network's likelihood says.
    """
    margin = max(net.config.margin_bins, net.config.num_lags)
    device = net.offset.device
    fill = net.feature_mean.cpu().numpy()
    starts = np.arange(0, len(values), length)
    pieces = []
    net.eval()
    with torch.inference_mode():
        for first in range(0, len(starts), batch_size):
            windows = cut_windows(values, starts[first : first + batch_size], length=length, margin=margin, fill=fill)
            inputs = torch.from_numpy(windows).to(device)
            output = (net.parts(inputs) if parts else net(inputs))[..., margin : margin + length]
            output = output.movedim(-1, 1).flatten(0, 1)  # (windows x bins, ...)
            pieces.append(output.double().cpu().numpy())
    return np.concatenate(pieces)[: len(values)]


def to_rate(output: Any, likelihood: str) -> Any:
    """Expected spikes per bin (Poisson) or probability of a spike in the bin (Bernoulli) from a network's output."""
    return np.exp(output) if likelihood == "poisson" else 1 / (1 + np.exp(-output))
