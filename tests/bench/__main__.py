"""Measure the hold, and write docs/benchmarks.md: `python -m tests.bench [--quick]`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import machine, report, rounds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
FULL = rounds.Size(turns=80, aws_cli=12, many=12)
QUICK = rounds.Size(turns=10, aws_cli=2, many=2)


def main() -> None:
    """Measure, print the page, and unless it was a quick try write it down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few rounds, printed only: the page stays as it is"
    )
    quick = parser.parse_args().quick
    about = machine.facts()  # first: the rounds make a load of their own
    measured = rounds.measure(QUICK if quick else FULL)
    text = report.page(measured, about, datetime.now(tz=UTC).date())
    print(text, end="")
    if not quick:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
