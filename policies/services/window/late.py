"""A note in a run's spool: the server has given up, and the run goes on, but some of its instances are still asked.

As long as it is there, the spool stays: it alone has what a second session needs.
"""

from pathlib import Path

from scripts_admin.guard import spool

NOTE = "late"


def begin(folder: Path) -> None:
    """Write the note. First, and then settle the record: whoever ends in between has both."""
    (folder / NOTE).touch(mode=0o600)
    spool.sync(folder)


def is_on(folder: Path) -> bool:
    """Tell whether the note is there."""
    return (folder / NOTE).exists()


def end(folder: Path) -> None:
    """Remove the note: all have told, or nobody wants to know any more."""
    (folder / NOTE).unlink(missing_ok=True)


def forget(folder: Path, runtime: Path) -> None:
    """Remove the spool of a run that has ended, unless its instances are still asked."""
    if not is_on(folder):
        spool.remove(folder, runtime)
