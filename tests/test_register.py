"""
The contract with SpikeInterface: every object of it that this package touches or relies on.

If one of these tests fails after an update of SpikeInterface, `si_deepsort/register.py` and `si_deepsort/jobs.py` are
the places to mend first.
"""

import ast
import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.preprocessing as spre
from spikeinterface.core import NumpyRecording, node_pipeline
from spikeinterface.core.base import base_peak_dtype, minimum_spike_dtype
from spikeinterface.preprocessing import pipeline, preprocessing_classes
from spikeinterface.sorters import (
    BaseSorter,
    available_sorters,
    get_default_sorter_params,
    get_sorter_params_description,
    installed_sorters,
    runsorter,
    sorterlist,
)

import si_deepsort
from si_deepsort.preprocessing import PREPROCESSORS
from si_deepsort.sorter.adapter import DeepSortSorter
from si_deepsort.sorter.settings import DeepSortSettings

PACKAGE = Path(si_deepsort.__file__).parent
# Packages of SpikeInterface whose names are public; whatever is imported from deeper modules is named below.
PUBLIC_PACKAGES = (
    *("core", "preprocessing", "sorters", "comparison", "extractors", "widgets", "exporters", "generation"),
    *("benchmark", "postprocessing", "metrics", "curation"),
)
INTERNALS = {
    "spikeinterface.core.base": {"base_peak_dtype", "minimum_spike_dtype"},
    "spikeinterface.core.template_tools": {"get_dense_templates_array"},
    "spikeinterface.core.core_tools": {
        "check_json",
        "define_function_from_class",
        "define_function_handling_dict_from_class",
    },
    "spikeinterface.core.generate": {
        "InjectTemplatesRecording",
        "generate_ground_truth_recording",
        "generate_templates",
        "generate_unit_locations",
    },
    "spikeinterface.core.job_tools": {
        "TimeSeriesChunkExecutor",
        "divide_time_series_into_chunks",
        "ensure_chunk_size",
        "fix_job_kwargs",
        "job_keys",
    },
    "spikeinterface.core.node_pipeline": {
        "ExtractDenseWaveforms",
        "PeakDetector",
        "PipelineNode",
        "run_node_pipeline",
    },
    "spikeinterface.core.recording_tools": {"get_chunk_with_margin"},
    "spikeinterface.core.segmentutils": {"append_sortings"},
    "spikeinterface.curation.curation_model": {"Curation"},
    "spikeinterface.extractors.extractor_classes": {"recording_extractor_full_dict"},
    "spikeinterface.generation.drift_tools": {
        "DriftingTemplates",
        "InjectDriftingTemplatesRecording",
        "make_linear_displacement",
        "move_dense_templates",
    },
    "spikeinterface.preprocessing.basepreprocessor": {"BasePreprocessor", "BasePreprocessorSegment"},
    "spikeinterface.sorters.utils": {"SpikeSortingError"},
    "spikeinterface.sortingcomponents.matching": {"find_spikes_from_templates"},
    "spikeinterface.sortingcomponents.matching.base": {"BaseTemplateMatching"},
    "spikeinterface.sortingcomponents.motion": {"estimate_motion"},
    "spikeinterface.sortingcomponents.peak_detection.method_list": {"detect_peak_methods"},
    "spikeinterface.sortingcomponents.peak_localization.method_list": {"LocalizeCenterOfMass"},
    "spikeinterface.sortingcomponents.tools": {"get_prototype_and_waveforms_from_recording"},
}
# Private attributes of SpikeInterface's objects that the package reads.
SPIKEINTERFACES_ATTRIBUTES = {"_kwargs", "_recording_segments", "_all_preprocesser_dict"}


def test_sorter_is_in_spikeinterfaces_lists():
    assert sorterlist.sorter_dict is runsorter.sorter_dict, "run_sorter reads the same dictionary"
    assert runsorter.sorter_dict["deepsort"] is DeepSortSorter
    assert sorterlist.sorter_full_list.count(DeepSortSorter) == 1
    assert "deepsort" in available_sorters() and "deepsort" in installed_sorters()
    assert "deepsort" in runsorter.SORTER_DOCKER_MAP


def test_preprocessors_are_in_spikeinterfaces_lists():
    for name, (recording_class, function) in PREPROCESSORS.items():
        assert preprocessing_classes._all_preprocesser_dict[recording_class] is function
        assert preprocessing_classes.preprocessor_dict[recording_class.__name__] is function
        assert pipeline.pp_names_to_functions[name] is function
        assert getattr(spre, name) is function


def test_registering_again_changes_nothing():
    before = len(sorterlist.sorter_full_list), dict(sorterlist.sorter_dict), dict(pipeline.pp_names_to_functions)
    si_deepsort.register()
    assert before == (
        len(sorterlist.sorter_full_list),
        dict(sorterlist.sorter_dict),
        dict(pipeline.pp_names_to_functions),
    )


def test_spikeinterfaces_own_deepinterpolate_is_untouched():
    assert pipeline.pp_names_to_functions["deepinterpolate"].__module__.startswith("spikeinterface.")


def test_methods_that_the_sorter_replaces_exist():
    for name in (
        "initialize_folder",
        "set_params_to_folder",
        "_check_params",
        "_setup_recording",
        "_run_from_folder",
        "_get_result_from_folder",
        "_check_apply_filter_in_params",
        "load_recording_from_folder",
        "run_from_folder",
        "get_result_from_folder",
    ):
        assert callable(getattr(BaseSorter, name)), name


def imports_of_the_package():
    """Pairs (module of SpikeInterface, name) that files of the package import."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "spikeinterface":
                yield from ((node.module, alias.name) for alias in node.names)


def private_attributes_of_the_package():
    """Names with one leading underscore that files of the package read from objects other than `self`."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_self(node.value)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                if not is_self(node.value) and node.attr not in own - SPIKEINTERFACES_ATTRIBUTES:
                    yield node.attr


def is_self(node) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def is_public(module: str) -> bool:
    parts = module.split(".")
    return len(parts) < 2 or (len(parts) == 2 and parts[1] in PUBLIC_PACKAGES)


def test_every_internal_of_spikeinterface_is_named_here():
    used = {(module, name) for module, name in imports_of_the_package() if not is_public(module)}
    named = {(module, name) for module, names in INTERNALS.items() for name in names}
    assert used <= named, "name here what the package begins to use"


@pytest.mark.parametrize("module", INTERNALS)
def test_internals_exist(module):
    found = import_module(module)
    assert all(hasattr(found, name) for name in INTERNALS[module])


def test_private_attributes_are_named_here_and_exist():
    assert set(private_attributes_of_the_package()) <= SPIKEINTERFACES_ATTRIBUTES
    recording = NumpyRecording([np.zeros((10, 2))], 1000.0)
    assert isinstance(recording._kwargs, dict) and len(recording._recording_segments) == len(recording.segments) == 1
    assert isinstance(preprocessing_classes._all_preprocesser_dict, dict)
    # NetworkPeakDetector and EnergyPeakDetector set it: their `compute` takes the place of the chunk, too.
    assert "_compute_has_extended_signature" in inspect.getsource(node_pipeline)


def test_dtypes_of_peaks_and_spikes():
    assert {"sample_index", "unit_index", "segment_index"} <= {name for name, _ in minimum_spike_dtype}
    assert {"sample_index", "channel_index", "amplitude", "segment_index"} <= {name for name, _ in base_peak_dtype}


def test_params_and_descriptions_agree():
    params, descriptions = get_default_sorter_params("deepsort"), get_sorter_params_description("deepsort")
    assert list(params) == list(descriptions)
    assert DeepSortSettings(**params) == DeepSortSettings()
    assert all(descriptions.values())


@pytest.mark.slow
def test_name_imports_the_package_where_it_is_unpickled():
    assert si_deepsort.DEEPSORT == "deepsort" and isinstance(si_deepsort.DEEPSORT, str)
    code = (
        "import sys, pickle; name = pickle.loads(sys.stdin.buffer.read()); "
        "from spikeinterface.sorters import sorterlist; "
        "assert 'si_deepsort' in sys.modules and 'torch' not in sys.modules; print(name in sorterlist.sorter_dict)"
    )
    sent = pickle.dumps(si_deepsort.DEEPSORT)
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert done.stdout.strip() == b"True"


def test_plain_import_does_not_import_torch():
    code = "import si_deepsort, sys; print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", si_deepsort.__all__)
def test_public_names_exist(name):
    assert getattr(si_deepsort, name) is not None
