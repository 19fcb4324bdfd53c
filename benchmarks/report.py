"""
Write the tables of benchmarks/results/*.json into the documentation: `python benchmarks/report.py [--check]`.

A table named NAME appears between `<!-- table:NAME -->` and `<!-- /table -->`. With --check nothing is written, and
the exit status tells whether the documentation agrees with the results. The table "sources" lists the results files
themselves: by which command and commit each was made, and where.
"""

import argparse
import sys
from pathlib import Path

from si_deepsort.benchmarking.provenance import sources_table
from si_deepsort.benchmarking.report import fill_tables, missing_tables, read_tables

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FILES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    tables = read_tables(RESULTS) | {"sources": sources_table(RESULTS)}
    print(f"Tables in the results: {', '.join(sorted(tables)) or 'none'}")
    is_good = True
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        missing = missing_tables(text, tables)
        if missing:
            print(f"{file.name} asks for tables that no benchmark has written yet: {', '.join(missing)}")
        filled = fill_tables(text, tables | {key: dict(columns=["not measured yet"], rows=[]) for key in missing})
        if filled != text:
            print(f"{file.name} {'differs from the results' if check else 'written'}")
            if not check:
                file.write_text(filled, encoding="utf-8")
        is_good &= not missing and not (check and filled != text)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
