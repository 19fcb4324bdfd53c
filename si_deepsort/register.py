"""
Add the sorter and the preprocessors to SpikeInterface.

SpikeInterface 0.105 has no plug-in entry point, so its own lists are extended in place. A contract test names every
object that is touched here. `import si_deepsort` calls `register`; calling it again changes nothing.
"""

from spikeinterface import preprocessing
from spikeinterface.preprocessing import pipeline, preprocessing_classes
from spikeinterface.sorters import runsorter, sorterlist

from .preprocessing import PREPROCESSORS
from .sorter.adapter import DeepSortSorter

CONTAINER_IMAGE = "si-deepsort:latest"


def register() -> None:
    """Add the sorter and the preprocessors to SpikeInterface's lists, each once."""
    sorterlist.sorter_dict[DeepSortSorter.sorter_name] = DeepSortSorter
    if DeepSortSorter not in sorterlist.sorter_full_list:
        sorterlist.sorter_full_list.append(DeepSortSorter)
    runsorter.SORTER_DOCKER_MAP[DeepSortSorter.sorter_name] = CONTAINER_IMAGE
    for name, (recording_class, function) in PREPROCESSORS.items():
        preprocessing_classes._all_preprocesser_dict[recording_class] = function
        preprocessing_classes.preprocessor_dict[recording_class.__name__] = function
        pipeline.pp_names_to_functions[name] = function
        if not hasattr(preprocessing, name):
            setattr(preprocessing, name, function)


class SorterName(str):
    """
    Name of the sorter that imports this package wherever it is unpickled.

    Worker processes of joblib, spawn and dask start without this package and would not know the sorter.
    """

    def __reduce__(self):
        return _sorter_name, (str(self),)


def _sorter_name(name: str) -> SorterName:
    # In workers of the command line, importing the package is not enough.
    register()
    return SorterName(name)


DEEPSORT = SorterName(DeepSortSorter.sorter_name)
