"""
deepsort against its peers on the named recordings, written to benchmarks/results/sorters.json.

`python benchmarks/sorting/sorters.py` runs what is missing and sums up; any option of `si-deepsort benchmark` can be
added. deepsort was developed on seeds 1 to 20 of the same recipes; all its settings were chosen there. Seeds 201 to 203
were not looked at before, with two exceptions: which networks are the default was decided on the first 30 s of some of
them (`ablation.py`), by three versions, of which the second one showed that a rule cost accuracy; and whole recordings
were measured with ten versions, the first of them on one seed. Faults were sought and mended on other recordings each
time.
"""

import os
import sys
from pathlib import Path

from si_deepsort.cli import main

DEFAULTS = {
    "--recordings": "tetrode,linear32,hybrid,plain,plain_crowded,plain_one_channel,bursting,synchronous_dense,"
    "synchronous_small",
    "--sorters": "deepsort,lupin,spykingcircus2",
    "--seeds": "201,202,203",
    "--duration": "60",
    "--folder": "benchmarks/cache/sorters",
    "--json": "benchmarks/results/sorters.json",
}

if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    given = sys.argv[1:]
    for option, value in DEFAULTS.items():
        if option not in given:
            given += [option, value]
    sys.argv = ["si-deepsort", "benchmark", *given]
    main()
