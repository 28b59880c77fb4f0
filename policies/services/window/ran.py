"""Which text a run's scripts had: noted before the window, and settled after it from what their processes told.

Nothing of this costs time within the window. The window executes the file in the folder, which others may change up
to the last moment. So the preparation keeps the text with a mark of its file, and each script's process tells the
mark of the file that it executes. If both are the same, the text is the one that was kept.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import QuerySet

from n2wbackup.lib import compiled
from policies.models import PhaseResult, Run
from policies.services import runs
from scripts_admin.domain.phases import Phase
from scripts_admin.folders import reading
from scripts_admin.folders.reading import Seen
from scripts_admin.guard import spool
from scripts_admin.guard.journal import Attempt
from scripts_admin.guard.mark import Mark
from scripts_admin.guard.mark import Ran as Told
from scripts_admin.models import Folder, ScriptVersion
from scripts_admin.services import versions


class Text(NamedTuple):
    """The text of one attempt, as its row has it; `doubt` says why it may have been another one."""

    sha256: str = ""
    version: ScriptVersion | None = None
    doubt: str = ""

    @property
    def columns(self) -> Mapping[str, object]:
        return {
            "script_sha256": self.sha256,
            "script_version": self.version,
            "script_doubt": self.doubt,
        }


def prepared(folder: Folder, seen: Seen, known: ScriptVersion | None) -> dict[str, Any]:
    """Keep the text of a script that is about to run, and return what its run notes of it; `known` is its newest."""
    version = versions.keep_seen(folder, seen, known)
    return {
        "sha256": seen.sha256,
        "version": version.pk,
        "mark": None if seen.mark is None else list(seen.mark),
    }


def approved(version: ScriptVersion) -> dict[str, Any]:
    """Return what a run notes of a text that runs from the spool, where nobody can change it."""
    return {"sha256": version.sha256, "version": version.pk, "mark": None}


def note(run: Run, texts: Mapping[Phase, Mapping[str, Any]]) -> None:
    """Note what was prepared, for the row that says that the window opens. Nothing may be frozen yet."""
    runs.note(run, prepared_scripts={str(phase): dict(text) for phase, text in texts.items()})


class Kept:
    """The texts that were kept for runs before their windows, read once, when the first is asked for."""

    def __init__(self, *of: Run) -> None:
        self._of = of

    def get(self, key: int) -> ScriptVersion | None:
        """Return the version; None if it is not kept any more."""
        return self._versions.get(key)

    @cached_property
    def _versions(self) -> Mapping[int, ScriptVersion]:
        keys = {each["version"] for run in self._of for each in run.prepared_scripts.values()}
        return {each.pk: each for each in _kept(sorted(keys - {None}))}


@compiled.Reading
def _kept(keys: list[int]) -> QuerySet[ScriptVersion]:
    return ScriptVersion.objects.only("pk").filter(pk__in=keys).order_by()


def text(
    run: Run, record: spool.Record, phase: Phase, attempt: Attempt | None, kept_texts: Kept
) -> Text:
    """Return the text that the attempt ran, as far as it can be known. Only after the window: it may read the file."""
    found = run.prepared_scripts.get(phase)
    if not found or attempt is None or not attempt.was_ordered:
        return Text()
    sha256 = str(found["sha256"])
    kept = kept_texts.get(found["version"])
    told = attempt.ran
    if told is None:
        return Text(sha256, kept, PhaseResult.Doubt.LOST)
    if told.number > 0 or _mark(found["mark"]) == told.mark:
        return Text(sha256, kept)
    return _changed(run, record, phase, told) or Text(sha256, kept, PhaseResult.Doubt.CHANGED)


def _mark(values: list[int] | None) -> Mark | None:
    return Mark(*values) if values else None


def _changed(run: Run, record: spool.Record, phase: Phase, told: Told) -> Text | None:
    """Return the text of a file that was changed between the preparation and the start, if it is still the same."""
    command = record.command(phase)
    if command is None or run.policy is None:
        return None
    try:
        seen = reading.see(run.policy.folder, Path(command.paths[0]))
    except OSError:
        return None
    if seen.mark != told.mark:
        return None
    return Text(seen.sha256, versions.keep_seen(run.policy.folder, seen))
