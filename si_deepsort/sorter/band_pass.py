"""
Where version 0.1.0 had its band-pass filter and median reference.

SpikeInterface stores the module of a lazy recording's class in the files that it writes, among them the analyzer in the
folder of every report. Files of 0.1.0 name this module; nothing else should import it.
"""

from ..preprocessing.band_pass import BandPassRecording
from ..preprocessing.reference import MedianReferenceRecording

__all__ = ["BandPassRecording", "MedianReferenceRecording"]
