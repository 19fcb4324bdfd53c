"""
deepsort against its peers on the named recordings, written to benchmarks/results/sorters.json.

`python benchmarks/sorters.py` runs what is missing and sums up; any option of `si-deepsort benchmark` can be added.
The merging distance of deepsort (4.5, 5.25 or 6) was chosen with linear32, tetrode and neuropixels1 of seed 100 in
view, so these three are no held-out result for it; the other recordings and all other seeds are.
"""

import os
import sys
from pathlib import Path

from si_deepsort.cli import main

DEFAULTS = {
    "--recordings": "main",
    "--sorters": "core",
    "--seeds": "100",
    "--duration": "60",
    "--folder": "benchmarks/cache/sorters",
    "--json": "benchmarks/results/sorters.json",
}

if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent)
    given = sys.argv[1:]
    for option, value in DEFAULTS.items():
        if option not in given:
            given += [option, value]
    sys.argv = ["si-deepsort", "benchmark", *given]
    main()
