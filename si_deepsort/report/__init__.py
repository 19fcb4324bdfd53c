"""Reports of sortings: SpikeInterface's analyzer, metrics and exports, and one page that needs no other file."""

from .analyze import analyze
from .write import write_report

__all__ = ["analyze", "write_report"]
