"""A recording with one channel."""

import numpy as np
import spikeinterface.core as si


def recording_of(trace, rate=10_000.0):
    return si.NumpyRecording([np.asarray(trace, "float32")[:, None]], rate)
