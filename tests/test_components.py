"""Principal components keep distances, whichever products they are computed from."""

import numpy as np
import pytest

from si_deepsort.components import principal_components


def test_principal_components_keep_distances_when_all_are_kept():
    waveforms = np.random.default_rng(0).standard_normal((50, 6))
    features = principal_components(waveforms, 6)
    np.testing.assert_allclose(
        np.linalg.norm(features[0] - features[1]), np.linalg.norm(waveforms[0] - waveforms[1]), rtol=1e-9
    )


@pytest.mark.parametrize("shape", [(50, 6), (20, 60), (5, 60), (1, 4), (0, 4), (4, 0)])
def test_principal_components_are_the_same_whichever_products_they_come_from(shape):
    waveforms = np.random.default_rng(0).standard_normal(shape)
    features = principal_components(waveforms, 9)
    assert features.shape == (shape[0], min(9, shape[1]))
    centered = waveforms - waveforms.mean(axis=0, keepdims=True) if len(waveforms) else waveforms
    sizes = np.linalg.svd(centered, compute_uv=False)[:9]
    found = np.linalg.norm(features, axis=0)
    np.testing.assert_allclose(found[: len(sizes)], sizes, atol=1e-9)
    np.testing.assert_allclose(found[len(sizes) :], 0, atol=1e-9)
