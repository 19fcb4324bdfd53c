"""A network over a whole trace: overlapping windows on a fixed grid, averaged."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..inference import predict_in_batches

# Frames of a window at the rate of the network (a power of two, many times the length of an event), and windows in a
# batch, which bounds memory. Neighbouring windows overlap by half.
WINDOW_FRAMES = 4096
BATCH_SIZE = 64


def event_probabilities(net, inputs: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """
    Probability of "inside an event" and of "an event begins here" at each frame.

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
    blocks = probability_blocks(net, len(inputs), lambda start, stop: inputs[start:stop], device=device)
    return np.concatenate([np.zeros((0, 2), "float32"), *blocks])


def probability_blocks(
    net, num_frames: int, inputs: Callable[[int, int], np.ndarray], *, device: str = "cpu"
) -> Iterator[np.ndarray]:
    """
    The probabilities of `event_probabilities` in blocks, one after the other.

    Each frame is seen by two windows, which count by a triangle that is highest in their middle, so no tiling shows.
    Beyond its ends the trace is mirrored: with zeros there, it would begin with a step, which looks like an event.

    Parameters
    ----------
    net : EventUNet
        In evaluation mode, on `device`.
    num_frames : int
    inputs : callable
        Input of the network from one frame to the next, shape (num_frames,), float32.
    device : str, default: "cpu"

    Yields
    ------
    np.ndarray, shape (num_frames_of_block, 2), float32
    """
    if num_frames == 0:
        return
    hop = WINDOW_FRAMES // 2
    num_windows = max(1, -(-num_frames // hop)) + 1  # the first one begins half a window before the trace
    weights = np.bartlett(WINDOW_FRAMES + 2)[1:-1].astype("float32")
    half_done = np.zeros((hop, 2), dtype="float32")
    for first in range(0, num_windows, BATCH_SIZE):
        last = min(first + BATCH_SIZE, num_windows)
        start, stop = max(0, (first - 1) * hop), min(num_frames, last * hop)
        before, after = start - (first - 1) * hop, last * hop - stop
        padded = np.pad(inputs(start, stop), (before, after), mode="symmetric")
        windows = np.stack([padded[place : place + WINDOW_FRAMES] for place in np.arange(last - first) * hop])
        logits = predict_in_batches(net, windows[:, None], batch_size=BATCH_SIZE, device=device)
        total = np.zeros((len(padded), 2), dtype="float32")
        total[:hop] = half_done
        for index, window in enumerate(logits):
            total[index * hop : index * hop + WINDOW_FRAMES] += (window * weights).T
        half_done = total[-hop:]
        weight = np.tile(weights[:hop] + weights[hop:], last - first)[:, None]
        averaged = (total[:-hop] / weight)[before:]
        yield torch.sigmoid(torch.from_numpy(averaged[: num_frames - start])).numpy()
