"""Steps of root's: each is looked at first, and is done only where it is missing.

Commands get no environment of ours, in which secrets are: other accounts can read that of their processes.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
_SECONDS = 60


class ProvisionError(Exception):
    """A step failed, or cannot be done on this machine; the text is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments. `within` is the folder in which it runs; no link leads there."""

    argv: tuple[str, ...]
    stdin: str = ""
    within: str = ""

    def __str__(self) -> str:
        """Return what a person would type."""
        text = shlex.join(self.argv)
        if self.within:
            text = f"(cd {shlex.quote(self.within)} && {text})"
        return f"{text} <<'END'\n{self.stdin}END" if self.stdin else text


@dataclass(frozen=True, slots=True)
class Step:
    """Something that must be so, and the commands that make it so. `undo` runs if one of them fails.

    `patience`: for so many seconds after the commands it need not be so.
    """

    title: str
    is_done: Callable[[], bool]
    commands: tuple[Command, ...]
    undo: tuple[Command, ...] = ()
    patience: float = 0.0


def carry_out(steps: Iterable[Step], tell: Callable[[str], None], *, dry_run: bool) -> int:
    """Do what is missing, in order, and return how many steps that were; ProvisionError at the first that fails.

    A dry run tells the commands and runs none.
    """
    count = 0
    for step in steps:
        if step.is_done():
            continue
        count += 1
        if dry_run:
            for command in step.commands:
                tell(str(command))
            continue
        _do(step)
        tell(f"done: {step.title}")
    return count


def _do(step: Step) -> None:
    try:
        for command in step.commands:
            run(command, step.title)
    except ProvisionError:
        for command in step.undo:
            run(command, step.title)
        raise
    until = time.monotonic() + step.patience
    while not step.is_done():
        if time.monotonic() < until:
            time.sleep(0.05)
            continue
        commands = "; ".join(shlex.join(each.argv) for each in step.commands)
        raise ProvisionError(
            f"{step.title}: it is not so after `{commands}`. Look why, and run this again."
        )


def run(command: Command, title: str) -> str:
    """Run the command and return what it printed; ProvisionError with its last words if it fails."""
    said = shlex.join(command.argv)
    try:
        with _inside(command.within) as place:
            done = subprocess.run(
                command.argv,
                input=command.stdin,
                capture_output=True,
                text=True,
                errors="replace",
                env=_ENVIRONMENT,
                cwd=place,
                timeout=_SECONDS,
                check=False,
            )
    except FileNotFoundError as error:
        raise ProvisionError(
            f"{title}: {error.filename} does not exist: install it, and run this again."
        ) from None
    except subprocess.TimeoutExpired:
        raise ProvisionError(
            f"{title}: `{said}` did not end in {_SECONDS} s: find out why, and run this again."
        ) from None
    except OSError as error:
        raise ProvisionError(
            f"{title}: `{said}` could not be run ({error}): correct that, and run this again."
        ) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:] or [
            f"exit {done.returncode}"
        ]
        raise ProvisionError(
            f"{title}: `{said}` failed: {words[0].rstrip('.')}. Correct that, and run this again."
        )
    return done.stdout


def answer(*argv: str) -> str | None:
    """Return what a program that only looks prints; None if it fails or is missing."""
    try:
        return run(Command(argv), "a look")
    except ProvisionError:
        return None


def program(name: str) -> str | None:
    """Return the path of the system's program."""
    return shutil.which(name, path=PATH)


@contextmanager
def _inside(folder: str) -> Iterator[str | None]:
    """Yield where a command runs: the folder, held open, so that what its name names later does not matter."""
    if not folder:
        yield None
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}"
    finally:
        os.close(opened)


def file_step(title: str, path: str, text: str, *then: Command, mode: int = 0o644) -> Step:
    """A file of root's with this text. It appears whole, by a rename."""
    new = f"{path}.new"
    commands = (
        Command(("install", "-D", f"--mode={mode:04o}", "/dev/stdin", new), text),
        Command(("mv", "--no-target-directory", new, path)),
        *then,
    )
    return Step(title, lambda: holds(path, text, mode), commands)


def holds(path: str, text: str, mode: int = 0o644) -> bool:
    """Tell whether the file is root's and has this text and mode."""
    try:
        status = os.lstat(path)
        return (
            status.st_uid == 0
            and status.st_mode & 0o7777 == mode
            and Path(path).read_text(encoding="utf-8") == text
        )
    except (OSError, ValueError):
        return False


def reads(path: str) -> str:
    """Return what the file says; nothing if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def systemd_runs() -> bool:
    return os.path.isdir("/run/systemd/system")  # noqa: PTH112 - as sd_booted says it
