"""
Write the tables of benchmarks/results/*.json into the README: `python benchmarks/report.py [--check]`.

A table named NAME appears between `<!-- table:NAME -->` and `<!-- /table -->`. With --check nothing is written, and
the exit status tells whether the README agrees with the results.
"""

import argparse
import sys
from pathlib import Path

from si_deepsort.benchmarking.report import fill_tables, read_tables

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "README.md",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    tables = read_tables(ROOT / "benchmarks" / "results")
    print(f"Tables in the results: {', '.join(sorted(tables)) or 'none'}")
    stale = [file for file in FILES if fill_tables(file.read_text(), tables) != file.read_text()]
    for file in stale:
        if not check:
            file.write_text(fill_tables(file.read_text(), tables))
        print(f"{file.name} {'differs from the results' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
