"""
Register deepsort as soon as SpikeInterface's sorters are imported.

For container images and cluster environments in which scripts that SpikeInterface writes run `run_sorter("deepsort")`
without importing si_deepsort. Put this file and `si_deepsort_hook.pth` into the environment's site-packages. Nothing is
imported until `spikeinterface.sorters` is.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec

TARGET = "spikeinterface.sorters"


class _ThenRegister(Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        import si_deepsort  # noqa: F401


class _Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(TARGET)
        spec.loader = _ThenRegister(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
