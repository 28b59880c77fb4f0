"""Strike at runs with the whole table, and write docs/reliability.md: `python -m tests.system.faults`."""

import argparse
import fnmatch
import sys
from pathlib import Path

from tests.system.faults import bench, every, report

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"


def main() -> int:
    """Strike at the table; 0 only if all is as the contract demands. A part of it writes no page."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=8, help="so many at a time (default: 8)")
    parser.add_argument("--fault", default="*", help="only faults whose name is like this")
    parser.add_argument("--moment", default="*", help="only moments whose name is like this")
    options = parser.parse_args()
    wanted = [
        (fault, moment)
        for fault in every.FAULTS
        for moment in fault.at
        if fnmatch.fnmatch(fault.name, options.fault) and fnmatch.fnmatch(moment, options.moment)
    ]
    about = report.machine()
    findings = bench.strike(wanted, options.jobs)
    if (options.fault, options.moment) == ("*", "*"):
        PAGE.write_text(report.page(findings, about, options.jobs), encoding="utf-8")
    wrong = [finding for finding in findings if finding.wrong]
    sys.stdout.write(f"{len(findings)} cells, {len(wrong)} not as demanded\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
