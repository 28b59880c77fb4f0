"""What the scripts of a run left behind, in words."""

from collections.abc import Sequence
from typing import TypedDict


class Leftover(TypedDict):
    """A process in the row of its run; `seconds` is the age that it had when it was found."""

    pid: int
    name: str
    seconds: int
    ended: bool


def in_words(row: Leftover) -> str:
    """Return one process with its number, its age, and whether it was ended."""
    ended = ", ended" if row["ended"] else ""
    return f"{row['name']} (process {row['pid']}, {row['seconds']} s old{ended})"


def sentence(rows: Sequence[Leftover] | None, *, may_be_frozen: bool) -> str:
    """Return what is left of a run that has ended; empty if nobody looked, as when no script of it was started."""
    if rows is None:
        return ""
    if not rows:
        return (
            "No process was left behind."
            if may_be_frozen
            else "Nothing was left frozen, and no process was left behind."
        )
    left = ", ".join(map(in_words, rows))
    if all(row["ended"] for row in rows):
        return f"The scripts left processes behind, which were ended because the policy says so: {left}."
    return (
        f"The scripts left processes behind: {left}. If a later script does not need them, end them, or have "
        "the policy "
        "end what its scripts leave behind."
    )
