#!/usr/bin/env python
"""The command line of the project: `python manage.py --help`."""

import os
import sys


def main() -> None:
    """Run one management command; a broken setting is one sentence and exit code 1."""
    # Imported here: multiprocessing runs the top of this file again in each process that it makes.
    from n2wbackup.lib import garbage  # noqa: PLC0415

    garbage.leave_modules()
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"The settings are wrong: {error}")


if __name__ == "__main__":
    main()
