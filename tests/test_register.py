"""
The contract with SpikeInterface: every object of it that this package touches or relies on.

If one of these tests fails after an update of SpikeInterface, `si_deepsort/register.py` and `si_deepsort/jobs.py` are
the places to mend.
"""

import pickle
import subprocess
import sys

import pytest
import spikeinterface.preprocessing as spre
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
from si_deepsort.sorter.adapter import DeepSortSettings, DeepSortSorter


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


def test_other_private_parts_exist():
    from spikeinterface.core import get_chunk_with_margin
    from spikeinterface.core.base import base_peak_dtype, minimum_spike_dtype
    from spikeinterface.core.core_tools import check_json, define_function_from_class
    from spikeinterface.core.node_pipeline import PeakDetector, run_node_pipeline
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict
    from spikeinterface.sortingcomponents.clustering.isosplit_isocut import isosplit
    from spikeinterface.sortingcomponents.matching.base import BaseTemplateMatching

    functions = (get_chunk_with_margin, check_json, define_function_from_class, run_node_pipeline, isosplit)
    assert all(map(callable, (*functions, PeakDetector, BaseTemplateMatching)))
    assert {"sample_index", "unit_index", "segment_index"} <= {name for name, _ in minimum_spike_dtype}
    assert {"sample_index", "channel_index", "amplitude", "segment_index"} <= {name for name, _ in base_peak_dtype}
    assert "spikeglx" in recording_extractor_full_dict


def test_params_and_descriptions_agree():
    params, descriptions = get_default_sorter_params("deepsort"), get_sorter_params_description("deepsort")
    assert list(params) == list(descriptions)
    assert DeepSortSettings(**params) == DeepSortSettings()
    assert all(descriptions.values())


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
