"""What lint says about a script."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a remark is."""

    ERROR = "error"  # the script is not run, or it cannot do what it is for
    WARNING = "warning"  # it is run, but probably not as meant
    ADVICE = "advice"  # it works, and could be better


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence about a script: what is wrong, with what, and what to do next.

    `line` counts from 1; 0 is the file as a whole. `code` is the same for every remark of a kind. `files` are the
    names that the remark is about, as a page may show them; `file` is the first. No remark repeats a secret.
    """

    level: Level
    code: str
    text: str
    file: str = ""
    line: int = 0
    policy: str = ""
    phase: str = ""
    files: tuple[str, ...] = ()
