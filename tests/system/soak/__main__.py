"""Soak the server and write docs/soak.md: `python -m tests.system.soak [--minutes 30] [--seed N]`."""

import argparse
import random
import sys
from pathlib import Path

from tests.system.soak import report, soak

PAGE = Path(__file__).resolve().parents[3] / "docs" / "soak.md"
MINUTES = 30


def main() -> int:
    """Soak; 0 only if all is as the contract demands. Less than 30 minutes write no page."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=MINUTES, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, help="of an earlier soak, to repeat its faults")
    options = parser.parse_args()
    about = report.machine()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    soaked = soak.run(minutes=options.minutes, seed=seed, hurry=options.minutes < MINUTES)
    sys.stdout.write("\n".join(report.lines(soaked)) + "\n")
    if options.minutes >= MINUTES:
        PAGE.write_text(report.page(soaked, about), encoding="utf-8")
    return 1 if soaked.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
