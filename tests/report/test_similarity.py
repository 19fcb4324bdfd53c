"""Similarity of templates is what SpikeInterface computes, and no kernel is compiled for it."""

import numpy as np
import pytest
import spikeinterface.core as si
from spikeinterface.postprocessing import template_similarity

from si_deepsort.report.similarity import add_template_similarity, cosine_similarity


def test_cosine_is_symmetric_and_does_not_depend_on_the_size():
    templates = np.random.default_rng(0).standard_normal((5, 20, 3)).astype("float32")
    similarity = cosine_similarity(templates, None)
    np.testing.assert_allclose(similarity, similarity.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-6)
    sizes = np.array([1, 2, 0.1, 5, 3], dtype="float32")
    np.testing.assert_allclose(cosine_similarity(templates * sizes[:, None, None], None), similarity, atol=1e-6)


def test_units_without_a_common_channel_or_without_a_waveform_are_not_similar():
    templates = np.zeros((3, 4, 2), dtype="float32")
    templates[0, :, 0] = templates[1, :, 1] = 1
    similarity = cosine_similarity(templates, templates.any(axis=1))
    np.testing.assert_array_equal(similarity, np.diag([1, 1, 0]))


@pytest.mark.parametrize("sparse", [True, False])
def test_the_extension_is_that_of_spikeinterface(tmp_path, monkeypatch, sparse):
    recording, sorting = si.generate_ground_truth_recording(durations=[5.0], num_channels=16, num_units=6, seed=0)
    analyzer = si.create_sorting_analyzer(
        sorting, recording, format="binary_folder", folder=tmp_path / "analyzer", sparse=sparse
    )
    analyzer.compute(["random_spikes", "templates"])
    add_template_similarity(analyzer)
    ours = analyzer.get_extension("template_similarity").get_data()
    stored = si.load(tmp_path / "analyzer").get_extension("template_similarity")
    assert type(stored) is template_similarity.ComputeTemplateSimilarity
    np.testing.assert_array_equal(stored.get_data(), ours)
    # Its second implementation, which it takes where numba is not installed, is not compiled.
    monkeypatch.setattr(
        template_similarity, "_compute_similarity_matrix", template_similarity._compute_similarity_matrix_numpy
    )
    analyzer.compute("template_similarity")
    np.testing.assert_allclose(analyzer.get_extension("template_similarity").get_data(), ours, atol=1e-5)
    assert stored.params == analyzer.get_extension("template_similarity").params
