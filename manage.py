#!/usr/bin/env python
"""The command line of the project: `python manage.py --help`."""

import sys


def main() -> None:
    """Run one management command; trouble of the surroundings is one sentence and exit code 1."""
    # Imported here: multiprocessing runs the top of this file again in each process that it makes.
    from n2wbackup.lib import garbage  # noqa: PLC0415

    garbage.leave_modules()
    from n2wbackup import command_line  # noqa: PLC0415

    command_line.main(sys.argv)


if __name__ == "__main__":
    main()
