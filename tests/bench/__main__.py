"""Measure, and write docs/benchmarks.md: `python -m tests.bench [--quick] [--only LETTERS] [--compare FILE]`."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import comparison, machine, outcomes, parts, report
from tests.bench.outcomes import Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    """Measure and print; keep the result; write the page only if all parts were measured in full size."""
    given = arguments(sys.argv[1:])
    new = given.of or _measured(given)
    if given.compare:
        print(comparison.text(given.compare, new), end="")


def _measured(given: argparse.Namespace) -> Outcome:
    # First, as the rounds make load themselves.
    about, load, began = machine.facts(), os.getloadavg()[0], datetime.now(tz=UTC)
    results = parts.measure(given.only, parts.QUICK if given.quick else parts.FULL)
    shown = {**about, "Load when it began": f"{load:.2f} (average of the last minute)"}
    text = report.page(results, shown, began.date())
    print(text, end="", flush=True)
    size = "quick" if given.quick else "full"
    made = outcomes.outcome(report.goals(results), at=began, size=size, load=load, machine=about)
    places = [outcomes.unused(began)]
    if not given.quick and set(given.only) == set(parts.LETTERS):
        PAGE.write_text(text, encoding="utf-8")
        places.append(PAGE.with_suffix(".json"))
    outcomes.write(made, *places)
    sys.stderr.write(f"The result is in {', '.join(map(str, places))}.\n")
    return made


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line; what is wrong is told before anything is measured."""
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
    parser.add_argument(
        "--compare",
        type=earlier,
        metavar="FILE",
        help="then compare with this earlier result, a file in .bench/ or docs/benchmarks.json",
    )
    parser.add_argument(
        "--of",
        type=earlier,
        metavar="FILE",
        help="with --compare: measure nothing, and compare this result instead",
    )
    given = parser.parse_args(words)
    if given.of and not given.compare:
        parser.error("--of needs --compare: name the older result with it.")
    return given


def letters(text: str) -> str:
    found = text.replace(",", "")
    unknown = set(found) - set(parts.LETTERS)
    if unknown or not found:
        raise argparse.ArgumentTypeError(f"{text!r}: name some of the parts {parts.LETTERS}")
    return found


def earlier(text: str) -> Outcome:
    try:
        return outcomes.read(Path(text))
    except outcomes.NoResultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    main()
