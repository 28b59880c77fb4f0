"""The spool: what suffices to thaw one run when database, broker and worker are gone.

`<spool>/<run>/record.json` is fsynced before the window opens, so its presence means "something may be
frozen". `<spool>/<run>/lock` is held by whoever may run the run's scripts; a free lock means that its
holder is dead. Within a window this folder is only read, with O_RDONLY: its disk may be the frozen one,
and even opening a file for writing would block there.

A record may have been written by an older or a newer version, as a window outlives an upgrade. So names may be
added to it, with a new FORMAT, and none that stands here ever changes its meaning or goes.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from scripts_admin.domain.phases import Outcome, Phase

FORMAT = 1
RECORD, SETTLED = "record.json", "settled.json"
_LOOK_SECONDS = 0.02
LOCK = "lock"  # who holds it may run the run's scripts
KEEPER = "keeper"  # who holds it enters what happened into the database


@dataclass(frozen=True, slots=True)
class RunAs:
    """The Linux account that a script runs as; None where a ScriptCommand wants the server's own."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScriptCommand:
    """One phase's script: the file in the folder, then its copy in the spool."""

    phase: Phase
    paths: tuple[str, ...]
    timeout_seconds: float

    @property
    def name(self) -> str:
        """Return the file's name, as pages show it."""
        return Path(self.paths[0]).name


@dataclass(frozen=True, slots=True)
class Record:
    """All that a stranger needs to thaw a run. Times are seconds; `boot` tells which boot wrote it."""

    run: str
    boot: str
    folder: str
    environment: Mapping[str, str]
    max_freeze_seconds: float
    thaw_retry_seconds: float
    before: ScriptCommand | None = None
    after: ScriptCommand | None = None
    complete: ScriptCommand | None = None
    not_run: Mapping[Phase, Outcome] = field(
        default_factory=dict
    )  # outcome of each phase without a command
    identity: RunAs | None = None
    collect_output: bool = True
    masks: str = ""  # the values to mask in outputs, encrypted as the database has them
    format: int = FORMAT

    @property
    def is_foreign(self) -> bool:
        """Tell whether another version wrote it, so that more may have happened than we can know."""
        return self.format != FORMAT

    @property
    def before_outcome(self) -> Outcome:
        """Return the outcome of before where it has no command."""
        return self.outcome_of(Phase.BEFORE, Outcome.MISSING)

    def outcome_of(self, phase: Phase, otherwise: Outcome) -> Outcome:
        """Return the outcome of a phase without a command; `otherwise` where the record names none."""
        return self.not_run.get(phase, otherwise)

    def command(self, phase: Phase) -> ScriptCommand | None:
        """Return the phase's command, or None where the policy has no such script."""
        found: ScriptCommand | None = getattr(self, phase)
        return found


class UnreadableRecordError(Exception):
    """A record that does not tell how to thaw its run: it is broken, or another version wrote it otherwise."""


def write(folder: Path, record: Record, name: str = RECORD) -> None:
    """Put the record down for good: after the return a power cut cannot take it."""
    temporary = folder / f".{RECORD}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / name)
    for directory in (folder, folder.parent):
        sync(directory)


def sync(path: Path) -> None:
    """Flush a file or a folder to its disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(folder: Path) -> None:
    """Note that nothing has to be thawed any more; complete still finds its record."""
    with suppress(FileNotFoundError):
        (folder / RECORD).replace(folder / SETTLED)
        sync(folder)


def read(folder: Path, name: str = RECORD) -> Record:
    """Return the record; FileNotFoundError where none was written, UnreadableRecordError where it does not suffice.

    Of a foreign record what is known here is taken. Its outputs are not kept: what to mask in them may stand
    in a place that is not known.
    """
    text = (folder / name).read_text(encoding="utf-8", errors="replace")
    try:
        raw = json.loads(text)
        found = Record(**_known(Record, raw) | _parts(raw))
        if found.is_foreign:
            return replace(found, collect_output=False, masks="")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"its {name} (format {_format(text)}, this version writes {FORMAT}) does not tell how ({error!r})"
        raise UnreadableRecordError(message) from error
    return found


def _parts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return scripts and account. Each has to be named: a script must never run as root for want of its account."""
    found: dict[str, Any] = {"format": raw["format"], "identity": None}
    for phase in Phase:
        found[phase] = _command(raw[phase]) if raw[phase] else None
    not_run: Mapping[str, str] = raw.get("not_run", {})
    found["not_run"] = {phase: Outcome.of(not_run[phase]) for phase in Phase if phase in not_run}
    if raw["identity"]:
        known = _known(RunAs, raw["identity"])
        found["identity"] = RunAs(**known | {"groups": tuple(known["groups"])})
    return found


def _command(raw: Mapping[str, Any]) -> ScriptCommand:
    return ScriptCommand(
        Phase(raw["phase"]), tuple(map(str, raw["paths"])), float(raw["timeout_seconds"])
    )


def _known(kind: type[Record | RunAs], raw: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}


def _format(text: str) -> object:
    with suppress(ValueError, AttributeError):
        return json.loads(text).get("format")
    return None


def create(spool: Path, run: str) -> Path:
    """Make the run's folder and its lock file; nothing in it tells yet that anything is frozen."""
    folder = spool / run
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # whatever the umask: script accounts pass through it to their copies
    for name in (LOCK, KEEPER):
        os.close(os.open(folder / name, os.O_RDONLY | os.O_CREAT, 0o600))
    return folder


def read_any(folder: Path) -> Record:
    """Return the record, whether or not its window is settled."""
    try:
        return read(folder)
    except FileNotFoundError:
        return read(folder, SETTLED)


def try_lock(folder: Path, name: str = LOCK) -> int | None:
    """Return a descriptor that holds one of the run's locks, or None where somebody alive holds it.

    FileNotFoundError where the folder is gone. The descriptor is not inherited over exec; closing it, or
    dying, frees the lock unless a guard got a duplicate of it.
    """
    descriptor = os.open(folder / name, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def lock_within(folder: Path, seconds: float) -> int | None:
    """Return a descriptor that holds the scripts' lock; None where somebody kept it all the while.

    Others look at it for a moment to see whether its holder lives, which must not fail a run.
    """
    until = time.monotonic() + seconds
    while (descriptor := try_lock(folder)) is None and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    return descriptor


def is_held(folder: Path, name: str = LOCK) -> bool:
    """Tell whether somebody alive holds the lock."""
    try:
        descriptor = try_lock(folder, name)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def folders(spool: Path) -> Iterator[Path]:
    """Yield the folder of every run that the spool knows."""
    with suppress(FileNotFoundError):
        yield from sorted(path for path in spool.iterdir() if (path / LOCK).exists())


def open_windows(spool: Path) -> Iterator[Path]:
    """Yield the folder of every run whose window may be open; one look at each, as thousands may only wait."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(spool)):  # noqa: PTH208 - iterdir would make a Path of each
            if os.path.exists(f"{spool}/{name}/{RECORD}"):  # noqa: PTH110 - as above
                yield spool / name


def remove(*paths: Path) -> None:
    """Forget a run whose end has been entered; what is gone already is no error."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
