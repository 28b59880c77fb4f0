"""The spool: everything needed to thaw one run when database, broker and worker are gone.

`<spool>/<run>/record.json` is fsynced before the window opens, so if the file exists, something may be
frozen. The process that may run the run's scripts holds `<spool>/<run>/lock`; a free lock means that its
holder is dead. Within a window this folder is only read, with O_RDONLY: its disk may be the frozen one, and
even opening a file for writing would block.

Whoever reads it judges what it reads (`n2wbackup.lib.trust`): a record of somebody else's is no record. One that
cannot be trusted concerns only its run.

An older or a newer version may have written a record, because a window can outlive an upgrade. So names may be
added to it, with a new FORMAT, but no name here is ever removed or changes its meaning. A record has the lowest
format that says all of it: one without scripts on instances is still LOCAL, and every version knows it whole.
"""

import errno
import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import on_instances
from scripts_admin.guard.on_instances import OnInstance

LOCAL = 1  # the format of a record without scripts on instances
FORMAT = 2
_KNOWN = frozenset({LOCAL, FORMAT})
RECORD, SETTLED = "record.json", "settled.json"
VISITS = "instances.json"  # how to reach the instances of the record in a second session
_LOOK_SECONDS = 0.02
# The machine lacks something at this moment: the next look may succeed.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
LOCK = "lock"  # its holder may run the run's scripts
KEEPER = "keeper"  # its holder enters what happened into the database
VISITOR = "visitor"  # its holder speaks to the run's instances in a second session
_OWN_MODE = 0o600
COPY_MODE = 0o550  # root's, and of the group of the account that runs it: no script can change it


@dataclass(frozen=True, slots=True)
class RunAs:
    """The Linux account that a script runs as; a ScriptCommand has None for the server's own account."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


NO_ACCOUNT = RunAs("", -1, -1, ())  # scripts must run as an account, and the record names none


@dataclass(frozen=True, slots=True)
class ScriptCommand:
    """The script of one phase: the file in the folder, then its copy in the spool."""

    phase: Phase
    paths: tuple[str, ...]
    timeout_seconds: float

    @property
    def name(self) -> str:
        """The file's name, as pages show it."""
        return Path(self.paths[0]).name


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that another process needs to thaw a run. Times are in seconds; `boot` is the boot that wrote it."""

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
    )  # the outcome of each phase without a command
    identity: RunAs | None = None
    collect_output: bool = True
    masks: str = ""  # the values to mask in outputs, encrypted as in the database
    instances: tuple[OnInstance, ...] = ()
    format: int = LOCAL

    @property
    def is_foreign(self) -> bool:
        """Tell whether another version wrote it: then more may have happened than this version can know."""
        return self.format not in _KNOWN

    @property
    def before_outcome(self) -> Outcome:
        """Return the outcome of before if it has no command."""
        return self.outcome_of(Phase.BEFORE, Outcome.MISSING)

    def outcome_of(self, phase: Phase, otherwise: Outcome) -> Outcome:
        """Return the outcome of a phase without a command; `otherwise` if the record has none."""
        return self.not_run.get(phase, otherwise)

    def command(self, phase: Phase) -> ScriptCommand | None:
        """Return the phase's command, or None if the policy has no such script."""
        found: ScriptCommand | None = getattr(self, phase)
        return found


class UnreadableRecordError(Exception):
    """A record that does not say how to thaw its run: it is broken, or another version wrote it differently."""


def write(folder: Path, record: Record, name: str = RECORD) -> None:
    """Write the record durably: after the return, a power cut cannot destroy it."""
    if record.instances and record.format == LOCAL:
        record = replace(record, format=FORMAT)
    keep_json(folder, name, asdict(record))


def keep_json(folder: Path, name: str, document: object) -> None:
    """Write a file of the run durably; its name never stands for half of it."""
    temporary = folder / f".{name}"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / name)
    for directory in (folder, folder.parent):
        sync(directory)


def sync(path: Path) -> None:
    """Flush (fsync) a file or a folder to its disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(folder: Path) -> None:
    """Note that nothing is left to thaw; complete still finds its record."""
    with suppress(FileNotFoundError):
        (folder / RECORD).replace(folder / SETTLED)
        sync(folder)


def confirm(folder: Path) -> None:
    """Note that a person has thawed the run: after must not run again.

    The pages may not reach the spool. Then the note lies beside it, and the process that would thaw finds it.
    """
    settle(folder)
    if not folder.is_dir():
        note = _confirmation(folder)
        note.parent.mkdir(mode=0o700, exist_ok=True)
        note.touch(mode=0o600)


def settle_if_confirmed(folder: Path) -> bool:
    """Settle a run for which there is a note of `confirm`; tell whether there was one. Only the lock's holder calls.

    A note counts only where nobody but the server's own processes can make one.
    """
    note = _confirmation(folder)
    if not os.path.lexists(note):
        return False
    try:
        with trust.folder(note.parent.parent, follow=True):
            pass
    except UntrustedError:
        return False
    settle(folder)
    note.unlink(missing_ok=True)
    return True


def _confirmation(folder: Path) -> Path:
    return folder.parent.parent / "confirmed" / folder.name


def read(folder: Path, name: str = RECORD) -> Record:
    """Return the record; FileNotFoundError if none was written, UnreadableRecordError if it is not sufficient.

    It is not sufficient if somebody else may have written it, or if it is the record of another run. From a
    record of another version, take only the names that this version knows. Its outputs are not kept: this
    version may not know which values to mask in them.
    """
    text = _trusted(folder / name)
    try:
        raw = json.loads(text)
        _refuse_another(raw["run"], folder)
        found = Record(**_known(Record, raw) | _parts(raw))
        if found.is_foreign:
            return replace(found, collect_output=False, masks="")
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        message = f"its {name} (format {_format(text)}, this version writes {FORMAT}) does not tell how ({error!r})"
        raise UnreadableRecordError(message) from error
    return found


def _trusted(path: Path) -> str:
    try:
        # Others may write to the folder if its mode was changed: they cannot make a file of ours.
        with trust.folder(path.parent, closed=False) as within:
            return trust.text(path, within=within)
    except FileNotFoundError:
        raise
    except UntrustedError as error:
        raise UnreadableRecordError(error.fact) from error
    except OSError as error:
        if error.errno in _PASSING:
            raise
        message = f"its {path.name} cannot be read ({error.strerror})"
        raise UnreadableRecordError(message) from error


def _refuse_another(run: str, folder: Path) -> None:
    if run != folder.name:
        raise UnreadableRecordError(f"{folder} has the record of another run, {run}")


def _parts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return scripts and account. The record must have each: a script must never run as root for lack of an account."""
    found: dict[str, Any] = {"format": raw["format"], "identity": None}
    found |= {name: _seconds(raw[name]) for name in ("max_freeze_seconds", "thaw_retry_seconds")}
    found["environment"] = {str(key): str(value) for key, value in raw["environment"].items()}
    found["folder"] = str(raw["folder"])
    for phase in Phase:
        found[phase] = _command(phase, raw[phase]) if raw[phase] else None
    found["not_run"] = _not_run(raw.get("not_run"))
    found["instances"] = () if raw["format"] != FORMAT else on_instances.of(raw.get("instances"))
    if raw["identity"]:
        known = _known(RunAs, raw["identity"])
        groups = tuple(map(int, known["groups"]))
        found["identity"] = RunAs(str(known["name"]), int(known["uid"]), int(known["gid"]), groups)
    return found


def _seconds(value: object) -> float:
    found = float(str(value))
    if not (math.isfinite(found) and found >= 0.0):
        message = f"{found} is no span"
        raise ValueError(message)
    return found


def _command(phase: Phase, raw: Mapping[str, Any]) -> ScriptCommand:
    """Return a phase's script. Its place in the record names the phase, whatever another version calls it."""
    return ScriptCommand(phase, tuple(map(str, raw["paths"])), _seconds(raw["timeout_seconds"]))


def _not_run(said: object) -> dict[Phase, Outcome]:
    """Return the outcomes that a thaw can use; what cannot be read must not stand in its way."""
    if not isinstance(said, dict):
        return {}
    return {phase: Outcome.of(said[phase]) for phase in Phase if phase in said}


def _known(kind: type[Record | RunAs], raw: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}


def _format(text: str) -> object:
    with suppress(ValueError, AttributeError):
        return json.loads(text).get("format")
    return None


def create(spool: Path, run: str) -> Path:
    """Create the run's folder and its lock file; they do not yet say that anything may be frozen.

    UntrustedError if somebody else made the folder, or may write to it.
    """
    folder = spool / run
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        # Regardless of the umask: where the server is root, script accounts pass through it to their copies.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    with trust.folder(folder) as within:
        for name in (LOCK, KEEPER, VISITOR):
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            os.close(os.open(name, flags, _OWN_MODE, dir_fd=within))
            with trust.file(folder / name, within=within):
                pass
    return folder


def keep(spool: Path, run: str) -> tuple[Path, int | None]:
    """Create the run's folder, and return it with the keeper's lock; None if a living process holds that.

    A folder that is removed meanwhile is created again: a lock in a removed folder excludes nobody.
    """
    while True:
        with suppress(FileNotFoundError):
            folder = create(spool, run)
            held = try_lock(folder, KEEPER)
            if held is None or _is_at(folder / KEEPER, held):
                return folder, held
            os.close(held)


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the open file is still the one with this path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def read_any(folder: Path) -> Record:
    """Return the record, whether or not anything is left to thaw."""
    try:
        return read(folder)
    except FileNotFoundError:
        return read(folder, SETTLED)


def try_lock(folder: Path, name: str = LOCK) -> int | None:
    """Return a descriptor that holds one of the run's locks, or None if a living process holds it.

    FileNotFoundError if the folder is gone, UntrustedError if folder or lock is somebody else's. The descriptor
    does not survive exec. Closing it, or dying, frees the lock unless a guard has a duplicate of it.
    """
    with (
        trust.folder(folder, closed=False) as within,
        trust.file(folder / name, within=within, closed=False) as found,
    ):
        descriptor = trust.opened(found)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def lock_within(folder: Path, seconds: float) -> int | None:
    """Return a descriptor that holds the scripts' lock; None if another process kept it for the whole time.

    Others take it for a moment to see whether its holder lives; this must not make a run fail.
    """
    until = time.monotonic() + seconds
    while (descriptor := try_lock(folder)) is None and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    return descriptor


def is_held(folder: Path, name: str = LOCK) -> bool:
    """Tell whether a living process holds the lock."""
    try:
        descriptor = try_lock(folder, name)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def folders(spool: Path) -> Iterator[Path]:
    """Yield the folder of every run in the spool."""
    with suppress(FileNotFoundError):
        yield from sorted(path for path in spool.iterdir() if os.path.lexists(path / LOCK))


def open_windows(spool: Path) -> Iterator[Path]:
    """Yield the folder of every run whose window may be open.

    One system call for each folder: there may be thousands that only wait.
    """
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(spool)):  # noqa: PTH208 - iterdir would make a Path of each name
            if os.path.lexists(f"{spool}/{name}/{RECORD}"):
                yield spool / name


def remove(*paths: Path) -> None:
    """Remove the folders of a run whose end is in the database; a folder that is already gone is no error."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
