"""A single channel with three units of known shape, for tests of detectors, classifiers and autoencoders."""

import numpy as np
from spikeinterface.core import NumpyRecording, NumpySorting

FS = 20_000.0
SHAPES = np.stack(
    [
        -12 * np.exp(-(((np.arange(48) - 16) / 3.0) ** 2)) + 5 * np.exp(-(((np.arange(48) - 26) / 6.0) ** 2)),
        -9 * np.exp(-(((np.arange(48) - 16) / 6.0) ** 2)),
        14 * np.exp(-(((np.arange(48) - 16) / 2.0) ** 2)) - 6 * np.exp(-(((np.arange(48) - 22) / 3.0) ** 2)),
    ]
)


def make_recording(seed=0, duration_s=12.0, units=(0, 1, 2), gain=1.0, offset=0.0, label_shift=0):
    """Spikes of some units, six per second each, in white noise of level 1 before the gain."""
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((round(duration_s * FS), 1))
    trains = {}
    for unit in units:
        frames = np.sort(rng.choice(len(traces) // 100 - 2, round(6 * duration_s), replace=False)) * 100
        frames = frames + rng.integers(20, 80, len(frames))
        for frame in frames:
            traces[frame - 16 : frame + 32, 0] += SHAPES[unit]
        trains[f"u{unit}"] = frames + label_shift
    traces = (gain * traces + offset).astype("float32")
    recording = NumpyRecording([traces], FS)
    recording.annotate(is_filtered=True)
    return recording, NumpySorting.from_unit_dict([trains], FS)
