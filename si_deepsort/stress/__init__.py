"""
Stress test: what would a sorter find in this recording? Units with known spikes are injected, and it is sorted again.

The flow: `run` (all of it), `check` (the request), `own_units` (templates of the recording's own units), `placement`
(templates moved along the probe), `sizes` (how large, and which own units are replaced), `spikes` (when injected units
fire), `taken_out` (own units subtracted), `draw` (one repetition), `plan` (files), `sort` (the sorters), `bins` and
`result` (scores), `page`.
"""

from .result import StressTest
from .run import stress_test
from .settings import StressTestSettings

__all__ = ["StressTest", "StressTestSettings", "stress_test"]
