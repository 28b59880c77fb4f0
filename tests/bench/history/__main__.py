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
    size, ticks, looks = _arguments()
    call_command("migrate", verbosity=0)
    try:
        for made in making.make(size):
            print(f"{made.seconds:7.1f} s  {made.what}", flush=True)
        if ticks or looks:
            print(looking.everything(ticks, looks))
    except making.NotEmptyError as error:
        sys.exit(str(error))


def _arguments() -> tuple[Size, int, int]:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    for name, default in FULL._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default:,}")
    for name, what in (("ticks", "the whole tick"), ("look", "every turn and page")):
        parser.add_argument(
            f"--{name}",
            type=int,
            default=0,
            metavar="TIMES",
            help=f"then call {what} so often, and print the seconds as JSON",
        )
    given = vars(parser.parse_args())
    ticks, looks = given.pop("ticks"), given.pop("look")
    return Size(**given), ticks, looks


if __name__ == "__main__":
    main()
