"""Cosine similarity of templates, without SpikeInterface's kernel, which each process compiles anew."""

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.template_tools import get_dense_templates_array
from spikeinterface.postprocessing import ComputeTemplateSimilarity


class TemplateSimilarity(ComputeTemplateSimilarity):
    """SpikeInterface's extension `template_similarity` at its default parameters; it is stored and read as such."""

    def _run(self, verbose: bool = False) -> None:
        analyzer = self.sorting_analyzer
        templates = get_dense_templates_array(analyzer, return_in_uV=analyzer.return_in_uV)
        visible = None if analyzer.sparsity is None else analyzer.sparsity.mask
        self.data["similarity"] = cosine_similarity(templates, visible)


def add_template_similarity(analyzer: si.SortingAnalyzer) -> None:
    """
    Compute and store the extension `template_similarity`.

    Compiling SpikeInterface's kernel takes ten seconds, and its result is not kept for the next process.

    Parameters
    ----------
    analyzer : SortingAnalyzer
        With templates.
    """
    extension = TemplateSimilarity(analyzer)
    extension.set_params()
    extension.run()
    analyzer.extensions[extension.extension_name] = extension


def cosine_similarity(templates: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    """
    Cosine of each pair of templates over the channels where one of both is visible.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        0 on channels where a unit is not visible.
    visible : np.ndarray | None, shape (num_units, num_channels), bool
        None if all units are visible on all channels.

    Returns
    -------
    np.ndarray, shape (num_units, num_units), float32
        0 for two units that share no channel.
    """
    flat = templates.reshape(len(templates), -1).astype("float32", copy=False)
    norms = np.linalg.norm(flat, axis=1)
    flat = flat / np.where(norms > 0, norms, 1)[:, None]
    similarity = flat @ flat.T
    if visible is not None:
        similarity[~(visible.astype("float32") @ visible.T.astype("float32") > 0)] = 0
    return similarity
