"""Installs the fsfreeze recipe, writes to its disks all the time, and checks their copies."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.ground import components, filesystems, processes, sshd
from tests.ground.recipes import RECIPES, Recipe

MEMORY = Path("/dev/shm")
Setting = str | Path | Sequence[Path]
# Mount options to look at a copy without a replay of its log, and to mount it for use.
AS_IT_LIES = {"xfs": ["ro", "norecovery", "nouuid"], "ext4": ["ro", "noload"]}
FOR_USE = {"xfs": ["nouuid"], "ext4": []}

# The acknowledgement follows the write at once, and is in memory: it never waits for the disk.
# The commands after it keep the file system's own structures busy.
WRITER = """
import os, sys, time
folder, acknowledged = sys.argv[1:]
ledger = os.open(folder + "/ledger", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
answers = os.open(acknowledged, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
number = 0
while True:
    number += 1
    os.write(ledger, b"%d\\n" % number)
    os.write(answers, b"%d %f\\n" % (number, time.time()))
    if number % 5 == 0:
        os.mkdir(f"{folder}/{number}")
        with open(f"{folder}/{number}/file", "wb") as file:
            file.write(b"x" * 5000)
    if number % 15 == 0:
        os.unlink(f"{folder}/{number}/file")
    if number % 20 == 0:
        os.fsync(ledger)
    time.sleep(0.003)
"""


@dataclass(frozen=True)
class Write:
    """A write that was acknowledged."""

    number: int
    at: datetime


class Writer:
    """Writes numbers into `<mount>/<random>/ledger` until its block ends.

    While the file system is frozen, the writer blocks and no signal can end it: thaw before the block ends.
    """

    def __init__(self, volume: filesystems.Volume) -> None:
        self.volume = volume
        self.name = uuid.uuid4().hex[:8]
        self._answers = MEMORY / f"n2w-writer-{self.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[Write] = []

    def __enter__(self) -> Self:
        folder = self.volume.mount / self.name
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, folder, self._answers], start_new_session=True
        )
        self.wait_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        thaw(self.volume.mount)
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._ended = self.writes
        self._answers.unlink()

    @property
    def writes(self) -> list[Write]:
        """All writes acknowledged so far."""
        if not self._answers.exists():
            return self._ended
        lines = [line.split() for line in self._answers.read_text().splitlines()]
        return [Write(int(number), datetime.fromtimestamp(float(at), UTC)) for number, at in lines]

    def between(self, start: datetime, end: datetime) -> list[Write]:
        """Return the writes acknowledged between the two times."""
        return [write for write in self.writes if start <= write.at <= end]

    def wait_for(self, writes: int, *, seconds: float = 20) -> None:
        """Return once this many more writes are acknowledged; TimeoutError if they are not."""
        goal = len(self.writes) + writes
        processes.wait_until(
            lambda: len(self.writes) >= goal, seconds=seconds, what=f"{writes} more writes"
        )

    def found_in(self, mount: Path) -> list[int]:
        """Return the numbers in a copy that is mounted there."""
        return [int(line) for line in (mount / self.name / "ledger").read_text().splitlines()]


def thaw(mount: Path) -> bool:
    """Thaw by hand; False if it was not frozen."""
    return _fsfreeze("--unfreeze", mount).returncode == 0


def freeze(mount: Path) -> None:
    """Freeze, like somebody outside the recipe."""
    done = _fsfreeze("--freeze", mount)
    assert done.returncode == 0, done


def is_frozen(mount: Path) -> bool:
    """Ask the kernel: a frozen file system refuses to be frozen again, and nothing changes."""
    done = _fsfreeze("--freeze", mount)
    if done.returncode == 0:
        thaw(mount)
        return False
    assert "busy" in done.stderr, done
    return True


def _fsfreeze(action: str, mount: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [components.program("fsfreeze"), action, mount]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def over_ssh(
    folder: Path, ssh: sshd.Sshd, settings: dict[str, Setting], *, policy: str = "MyPolicy"
) -> Recipe:
    """Install the variant over SSH in `folder`, which is created; `settings` go into its conf."""
    connection: dict[str, Setting] = {
        "host": ssh.host,
        "ssh_config": ssh.config,
        "ssh_key": "",
        "known_hosts": "",
    }
    return _install(folder, "over-ssh", policy, connection | settings)


def on_this_machine(
    folder: Path, settings: dict[str, Setting], *, policy: str = "MyPolicy"
) -> Recipe:
    """Install the variant without SSH in `folder`, which is created; `settings` go into its conf."""
    return _install(folder, "on-this-machine", policy, settings)


def _install(folder: Path, variant: str, policy: str, settings: dict[str, Setting]) -> Recipe:
    source = RECIPES / "fsfreeze"
    recipe = Recipe(folder, policy, MEMORY / f"n2w-fsfreeze-{uuid.uuid4().hex[:8]}")
    shutil.copytree(source / variant, folder)
    for part in ("fsfreeze-hold.sh", "fsfreeze-mounts.sh"):
        shutil.copy(source / part, folder)
    for script in folder.glob("*_MyPolicy.sh"):
        script.rename(script.with_name(script.name.replace("MyPolicy", policy)))
    conf = folder / "fsfreeze.conf"
    text = conf.read_text()
    for name, value in {"state_folder": recipe.state, **settings}.items():
        assert re.search(rf"(?m)^{name}=", text), f"{conf.name} has no setting {name}"
        text += f"{name}={_in_shell(value)}\n"
    conf.write_text(text)
    return recipe


def _in_shell(value: Setting) -> str:
    if isinstance(value, str | Path):
        return shlex.quote(str(value))
    return f"({' '.join(shlex.quote(str(each)) for each in value)})"


def auto_thaws(recipe: Recipe) -> list[int]:
    """Return the process ids of the auto-thaws that watch this recipe's holds."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode().split("\0")
            if "n2w-auto-thaw" in words and any(str(recipe.state) in word for word in words):
                found.append(int(entry.parent.name))
    return found


def end(recipe: Recipe, mounts: Sequence[Path]) -> None:
    """Thaw, end the auto-thaws, and remove the state, whatever the test has left."""
    for mount in mounts:
        thaw(mount)
    for pid in auto_thaws(recipe):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    shutil.rmtree(recipe.state, ignore_errors=True)
    shutil.rmtree(recipe.folder, ignore_errors=True)
