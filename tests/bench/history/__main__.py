"""Fill an empty database: `python -m tests.bench.history --help`."""

import argparse
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings.main")
django.setup()

# Models can be imported only now.
from django.core.management import call_command  # noqa: E402

from tests.bench.history import looking, making  # noqa: E402
from tests.bench.history.sizes import FULL, Size  # noqa: E402


def main() -> None:
    """Set the database up, fill it, and say how long each table took."""
    size, times = _arguments()
    call_command("migrate", verbosity=0)
    try:
        for made in making.make(size):
            print(f"{made.seconds:7.1f} s  {made.what}", flush=True)
        if times:
            print(looking.everything(times))
    except making.NotEmptyError as error:
        sys.exit(str(error))


def _arguments() -> tuple[Size, int]:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    for name, default in FULL._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default:,}")
    parser.add_argument(
        "--look",
        type=int,
        default=0,
        metavar="TIMES",
        help="then call every turn and page so often, and print the seconds as JSON",
    )
    given = vars(parser.parse_args())
    times = given.pop("look")
    return Size(**given), times


if __name__ == "__main__":
    main()
