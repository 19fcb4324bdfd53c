"""A network over a whole trace: overlapping windows on a fixed grid, averaged."""

import numpy as np
import torch

from ..inference import predict_in_batches

WINDOW_FRAMES = 4096
BATCH_SIZE = 64


def event_probabilities(net, inputs: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """
    Probability of "inside an event" and of "an event begins here" at each frame.

    Each frame is seen by two windows, which count by a triangle that is highest in their middle, so no tiling shows.

    Parameters
    ----------
    net : EventUNet
        In evaluation mode, on `device`.
    inputs : np.ndarray, shape (num_frames,), float32
        From `network_input`.
    device : str, default: "cpu"

    Returns
    -------
    np.ndarray, shape (num_frames, 2), float32
    """
    num_frames, hop = len(inputs), WINDOW_FRAMES // 2
    num_windows = max(1, -(-num_frames // hop)) + 1
    padded = np.zeros((num_windows + 1) * hop, dtype="float32")
    padded[hop : hop + num_frames] = inputs
    weights = np.bartlett(WINDOW_FRAMES + 2)[1:-1].astype("float32")
    total = np.zeros((len(padded), 2), dtype="float32")
    for first in range(0, num_windows, BATCH_SIZE):
        starts = np.arange(first, min(first + BATCH_SIZE, num_windows)) * hop
        windows = np.stack([padded[start : start + WINDOW_FRAMES] for start in starts])
        logits = predict_in_batches(net, windows[:, None], batch_size=BATCH_SIZE, device=device)
        for start, window in zip(starts, logits, strict=True):
            total[start : start + WINDOW_FRAMES] += (window * weights).T
    weight = np.tile(weights[:hop] + weights[hop:], num_windows + 1)[:, None]
    averaged = (total / weight)[hop : hop + num_frames]
    return torch.sigmoid(torch.from_numpy(averaged)).numpy()
