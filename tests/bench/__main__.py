"""Measure, and write docs/benchmarks.md: `python -m tests.bench [--quick] [--only LETTERS]`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import machine, parts, report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    """Measure and print; write the page only if all parts were measured in full size."""
    given = _arguments()
    about = machine.facts()  # first, as the rounds make load themselves
    results = parts.measure(given.only, parts.QUICK if given.quick else parts.FULL)
    text = report.page(results, about, datetime.now(tz=UTC).date())
    print(text, end="")
    if not given.quick and set(given.only) == set(parts.LETTERS):
        PAGE.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a little of each, printed only: the page stays as it is",
    )
    parser.add_argument(
        "--only",
        type=letters,
        default=parts.LETTERS,
        metavar="LETTERS",
        help=f"these parts of {parts.LETTERS}, such as de; printed only",
    )
    return parser.parse_args()


def letters(text: str) -> str:
    found = text.replace(",", "")
    unknown = set(found) - set(parts.LETTERS)
    if unknown or not found:
        raise argparse.ArgumentTypeError(f"{text!r}: name some of the parts {parts.LETTERS}")
    return found


if __name__ == "__main__":
    main()
