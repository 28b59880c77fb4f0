"""What is wrong with the scripts of a folder, without running one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from scripts_admin.domain import names
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.shown import shown
from scripts_admin.folders import account, storage
from scripts_admin.folders.account import Account
from scripts_admin.folders.storage import Found
from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder


class Level(StrEnum):
    """How bad a remark is."""

    ERROR = "error"  # the script is not run
    WARNING = "warning"  # it is run, but probably not as meant


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence about a phase of a policy; `files` are the names that fit it, as a page may show them."""

    policy: str
    phase: Phase
    level: Level
    files: tuple[str, ...]
    text: str


def look(
    folder: Folder,
    policies: Iterable[str],
    identity: RunAs | None,
    environment: Mapping[str, str] | None = None,
) -> list[Remark]:
    """Return what is wrong with the scripts of these policies, judged for the account as before a run."""
    with account.of(identity) as asked:
        return [
            remark
            for policy in policies
            for phase in Phase
            for remark in _of_phase(folder, policy, phase, asked, environment)
        ]


def _of_phase(
    folder: Folder,
    policy: str,
    phase: Phase,
    asked: Account,
    environment: Mapping[str, str] | None,
) -> Iterator[Remark]:
    found = storage.find(folder, phase, policy, None, asked=asked, environment=environment)
    if found.problem:
        yield Remark(policy, phase, Level.ERROR, found.names, found.problem)
    elif found.path is None:
        yield from _near(folder, policy, phase)
    elif storage.has_windows_line_ends(folder, found.path):
        yield Remark(policy, phase, Level.WARNING, found.names, _windows_line_ends(found))


def _windows_line_ends(found: Found) -> str:
    return (
        f"{found.names[0]} has Windows line ends (CRLF) behind its first line, which its interpreter takes for a "
        "part of each command: convert it to LF."
    )


def _near(folder: Folder, policy: str, phase: Phase) -> Iterator[Remark]:
    """Yield a warning for each name that somebody probably meant for a phase that has no script."""
    base = names.base_name(phase, policy)
    for name in storage.listed(folder):
        stem, dot, rest = name.partition(".")
        if stem == base and not (dot and rest) and not names.is_ignored(name):
            why = "nothing stands behind a dot in its name"
        elif stem != base and stem.lower() == base.lower() and dot and rest:
            why = f"upper and lower case differ from {base}"
        else:
            continue
        said = shown(name)
        text = f"{said} is not {phase} of {policy}, because {why}: rename it if you mean it."
        yield Remark(policy, phase, Level.WARNING, (said,), text)
