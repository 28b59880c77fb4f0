"""The scripts of all contestants; they measure the hold themselves, all in the same way.

The last statement of before and the first of after write the time of day, in microseconds, into memory. So the hold
includes everything between: the end of before, its detection, the call, and the start of after's interpreter.
"""

from pathlib import Path

PHASES = ("before", "after")


class Stamps:
    """The stamps that the scripts wrote in one round. `folder` is in memory: no disk is measured."""

    def __init__(self, folder: Path, ending: str = "") -> None:
        """Keep the folder's path; the scripts write into it, into files of this ending."""
        self._folder, self._ending = folder, ending

    def _path(self, phase: str) -> Path:
        return self._folder / f"{phase}{self._ending}"

    def script(self, phase: str) -> str:
        """Return the text of before or after: one statement, which writes the stamp."""
        return f'#!/bin/bash\necho "$EPOCHREALTIME" > {self._path(phase)}\n'

    def write_scripts(self, folder: Path, policy: str) -> tuple[Path, Path]:
        """Write before and after of a policy; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        before, after = (folder / f"{phase}_{policy}.sh" for phase in PHASES)
        for phase, path in zip(PHASES, (before, after), strict=True):
            path.write_text(self.script(phase), encoding="utf-8")
            path.chmod(0o755)
        return before, after

    def clear(self) -> None:
        """Delete the stamps of the last round."""
        for phase in PHASES:
            self._path(phase).unlink(missing_ok=True)

    def complete(self) -> bool:
        after = self._path("after")
        return after.exists() and after.read_text().endswith("\n")

    def hold_seconds(self) -> float:
        """Return the round's hold; FileNotFoundError if a script did not run."""
        ended, started = (self.moment(phase) for phase in PHASES)
        return started - ended

    def moment(self, phase: str) -> float:
        """Return the time of day that a script wrote; FileNotFoundError if it did not run."""
        return float(self._path(phase).read_text())
