"""The demo's process: `manage.py demo` becomes it, in a folder created for it."""

import argparse
import logging
import os
import sys

import django

from n2wbackup.demo.ending import Ended, Ending
from n2wbackup.processes import titles


def main() -> int:
    """Run the demo, remove everything again and return the exit code."""
    parser = argparse.ArgumentParser(prog="manage.py demo")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lock", type=int, required=True, help="the folder's locked mark")
    given = parser.parse_args()
    ending = Ending()
    # Only this process may hold the lock, and only as long as it lives.
    os.set_inheritable(given.lock, False)  # noqa: FBT003 - Python's own signature
    titles.show("demo")
    try:
        django.setup()
        # The server's logs are in its home; a person reads this output.
        logging.getLogger().setLevel(logging.ERROR)
        from n2wbackup.demo import play  # noqa: PLC0415 - only after Django's set-up

        return play.once(ending, as_json=given.json) if given.once else play.standing(ending)
    except Ended as ended:
        return ended.exit_code if given.once else 0
    finally:
        ending.ignore()
        _remove()


def _remove() -> None:
    from django.conf import settings  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    from n2wbackup.demo import place  # noqa: PLC0415

    connections.close_all()
    place.remove(settings.N2W_HOME)


if __name__ == "__main__":
    sys.exit(main())
