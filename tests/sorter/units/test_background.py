"""The background of white noise is known exactly."""

import numpy as np
from small_recording import as_recording
from unit_scenes import NUM_CHANNELS

from si_deepsort.sorter.units.background import measure_background


def test_background_of_white_noise_has_energy_1_in_each_direction():
    noise = np.random.default_rng(0).standard_normal((200_000, NUM_CHANNELS)).astype("float32")
    background = measure_background(as_recording(noise), num_samples=40, seed=0)
    directions, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((40, 5)))
    np.testing.assert_allclose(background.energy(directions.T), 5.0, rtol=0.1)
