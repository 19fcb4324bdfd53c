"""Test of the wrapper for SpikeInterface's own tree: `src/spikeinterface/sorters/external/tests/test_deepsort.py`."""

import unittest

import pytest

from spikeinterface.sorters import DeepsortSorter
from spikeinterface.sorters.tests.common_tests import SorterCommonTestSuite


@pytest.mark.skipif(not DeepsortSorter.is_installed(), reason="deepsort not installed")
class DeepsortSorterCommonTestSuite(SorterCommonTestSuite, unittest.TestCase):
    SorterClass = DeepsortSorter
