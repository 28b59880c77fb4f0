"""The scripts of a policy that run on its instances: which file is carried to which, and whether it can be."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts_admin.domain import remote
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import Remote
from scripts_admin.domain.shown import shown
from scripts_admin.folders import storage
from scripts_admin.models import Folder


@dataclass(frozen=True, slots=True)
class Carried:
    """What there is for one phase on one instance.

    `outcome` is None if something is there for it, else `missing` or `ambiguous`. `problem` is a sentence if it cannot
    be carried; `content` is then empty. `script` is the file's name, or the path on the instance that the target names.
    `names` are as a page may show them.
    """

    phase: Phase
    instance: str
    outcome: Outcome | None
    script: str = ""
    names: tuple[str, ...] = ()
    content: bytes = b""
    problem: str = ""

    @property
    def can_run(self) -> bool:
        return bool(self.content)

    @property
    def is_file(self) -> bool:
        """Tell whether it comes from the folder, and not from a path on the instance."""
        return not self.script.startswith("/")

    @property
    def sha256(self) -> str:
        """The hash of the text that is carried; "" if there is none, or if the script lies on the instance."""
        return hashlib.sha256(self.content).hexdigest() if self.content and self.is_file else ""


class Source(Protocol):
    """Where the texts come from; `problem` is a sentence if nobody can tell what is there."""

    names: Sequence[str]
    problem: str

    def read(self, name: str) -> tuple[bytes, str]:
        """Return the bytes, and a sentence if they cannot be taken."""


class InFolder:
    """The folder as it is now: its names are listed once, and each file is read once."""

    def __init__(self, folder: Folder, listed: Sequence[str] | None = None) -> None:
        """`listed` are its names, if somebody has listed them already."""
        self._folder = folder
        self._read: dict[str, tuple[bytes, str]] = {}
        self.names: Sequence[str] = ()
        self.problem = ""
        try:
            self.names = storage.listed(folder) if listed is None else listed
        except OSError as error:
            self.problem = (
                f"The script folder {storage.path(folder)} cannot be read by the server ({error.strerror}), so its "
                "scripts for instances are unknown: correct its permissions."
            )

    def read(self, name: str) -> tuple[bytes, str]:
        if name not in self._read:
            self._read[name] = self._look(storage.path(self._folder) / name)
        return self._read[name]

    def why_not_carried(self, name: str) -> str:
        """Return a sentence that says why a file cannot be carried to an instance, or "" if it can."""
        content, problem = self.read(name)
        return problem or remote.why_not_carried(content, shown(name))

    def _look(self, script: Path) -> tuple[bytes, str]:
        why = storage.why_not_taken(self._folder, script)
        if why:
            return b"", why
        try:
            return storage.content(self._folder, script, remote.MAX_BYTES + 1).data, ""
        except OSError as error:  # it was exchanged a moment ago
            why = f"{shown(script.name)} cannot be read by the server ({error.strerror})"
            return b"", f"{why}: look at the file."


def find(source: Source, policy: str, remotes: Mapping[str, Remote]) -> list[Carried]:
    """Return what there is for each instance (by its id) and phase."""
    return [
        _one(source, policy, instance, wanted.path(phase), phase)
        for instance, wanted in remotes.items()
        for phase in remote.PHASES
    ]


def _one(source: Source, policy: str, instance: str, path: str, phase: Phase) -> Carried:
    if path:
        return Carried(phase, instance, None, path, (shown(path),), remote.caller(path))
    if source.problem:
        return Carried(phase, instance, None, problem=source.problem)
    found = remote.candidates(source.names, phase, policy, instance)
    said = tuple(map(shown, found))
    if not found:
        return Carried(phase, instance, Outcome.MISSING)
    if len(found) > 1:
        problem = (
            f"More than one file fits {phase} of {policy} on {instance}, so none is run: keep only one of "
            f"{', '.join(said)}."
        )
        return Carried(phase, instance, Outcome.AMBIGUOUS, names=said, problem=problem)
    content, problem = source.read(found[0])
    problem = problem or remote.why_not_carried(content, said[0])
    return Carried(phase, instance, None, found[0], said, b"" if problem else content, problem)
