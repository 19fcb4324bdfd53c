"""Denoisers predict several tiles at once, as on a GPU, or one after the other: the numbers are the same."""

import numpy as np
import pytest
from small_recording import as_recording, small_traces

from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.preprocessing.prediction import TILE_FRAMES

# Sums of products in a batch may be added in another order.
ROUNDING = 1e-4
NUM_FRAMES = 5000


@pytest.fixture(scope="module")
def recordings():
    """The same denoised recording, tile by tile and four tiles at once."""
    traces, _ = small_traces(num_channels=8, duration_s=0.25)
    recording = as_recording(traces[:NUM_FRAMES])
    recording._sampling_frequency = 30_000.0
    one, several = (deep_interpolate(recording, blend=0.2) for _ in range(2))
    several.segments[0].tiles.predictor.batch_frames = 4 * TILE_FRAMES["interpolator"]
    return one, several


def test_tiles_at_once_predict_the_same(recordings):
    expected, found = (recording.get_traces() for recording in recordings)
    np.testing.assert_allclose(found, expected, atol=ROUNDING * expected.std())


def test_chunks_equal_the_whole_bit_for_bit(recordings):
    for recording in recordings:
        whole = recording.get_traces()
        for start, stop in [(0, 100), (1234, 3456), (1536, 3072), (4900, NUM_FRAMES)]:
            np.testing.assert_array_equal(recording.get_traces(start_frame=start, end_frame=stop), whole[start:stop])
