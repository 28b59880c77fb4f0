"""What is known of each script beyond the life of its launcher: a file in memory and a cgroup, both root's alone."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from n2wbackup_run.accounts import Account, RefusedError
from n2wbackup_run.family import Family, row

# In memory: a file on a frozen disk would block the thaw.
PLACES = ("/run", "/dev/shm")  # noqa: S108 - the owner is looked at
NAME = "n2wbackup-run"
_MOUNTS = "/proc/self/mounts"


class Entry:
    """One script. Its file is there from the gate until nothing of it lives any longer."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """`values` are those of the file."""
        self.values = dict(values)
        self.pid, self.start = int(values["pid"]), int(values["start"])
        self.launcher = int(values["launcher"])
        kept = {int(pid): int(start) for pid, start in values.get("kept", {}).items()}
        above = self.launcher if self.is_watched else 0
        self.family = Family(self.pid, self.start, str(values["group"]), above, kept)

    @property
    def is_watched(self) -> bool:
        """Tell whether its launcher lives."""
        found = row(self.launcher)
        return found is not None and found.start == int(self.values["launcher_start"])

    @property
    def is_running(self) -> bool:
        """Tell whether the script itself lives under its launcher; what outlives it was left behind."""
        found = row(self.pid)
        return self.is_watched and found is not None and found.start == self.start

    @property
    def _path(self) -> Path:
        return folder() / f"{self.pid}-{self.start}"

    def write(self) -> None:
        path = self._path
        temporary = path.with_name(f".{path.name}")
        try:
            temporary.write_text(json.dumps(self.values), encoding="utf-8")
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def close(self) -> None:
        """Forget it if nothing of it lives; else keep who does, for whoever looks for what was left behind."""
        living = self.family.living()
        if living:
            self.values["kept"] = living
            with contextlib.suppress(
                OSError
            ):  # where nothing can be written, the former file tells enough
                self.write()
            return
        self._path.unlink(missing_ok=True)
        remove_group(self.family.group)


def folder() -> Path:
    """Return the folder of the files, root's alone; others may have made the name first where anybody may."""
    for place in sorted(PLACES, key=lambda each: not _is_in_memory(each)):
        for number in range(100):
            path = Path(place, f"{NAME}.{number}" if number else NAME)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o077:
                return path
    raise RefusedError(f"no folder for {NAME} can be made in {PLACES[0]}: look who took its name")


def _is_in_memory(place: str) -> bool:
    text = Path(_MOUNTS).read_text(encoding="utf-8", errors="replace")
    lines = [line.split() for line in text.splitlines()]
    return any(words[1] == place and words[2] == "tmpfs" for words in lines)


def entries() -> Iterator[Entry]:
    """Yield every script that is known."""
    for path in sorted(folder().iterdir()):
        if not path.name.startswith("."):
            with contextlib.suppress(OSError, ValueError, KeyError):
                yield Entry(json.loads(path.read_text(encoding="utf-8")))


def entry(pid: int, start: int) -> Entry | None:
    """Return the script with this pid and start; None if nothing is known of it."""
    return next((each for each in entries() if (each.pid, each.start) == (pid, start)), None)


# cgroups


def make_group(name: str, account: Account) -> str:
    """Return a new cgroup below our own, with the account's limits as far as they can be set; "" without cgroups."""
    with contextlib.suppress(OSError):
        path = Path(_own_group(), name)
        path.mkdir(mode=0o755)
        for file, limit in (("pids.max", "processes"), ("memory.max", "memory")):
            value = account.limit(limit)
            with contextlib.suppress(OSError):
                if value is not None:
                    (path / file).write_text(str(value), encoding="ascii")
        return str(path)
    return ""


def join_group(group: str, pid: int) -> None:
    """Put a process into the cgroup."""
    if group:
        Path(group, "cgroup.procs").write_text(str(pid), encoding="ascii")


def remove_group(group: str) -> None:
    """Remove a cgroup; one that still has processes stays."""
    if group:
        with contextlib.suppress(OSError):
            os.rmdir(group)  # noqa: PTH106 - beside the others


def _own_group() -> Path:
    """Return the folder of our own cgroup; OSError if this kernel has none of version 2."""
    for line in Path(_MOUNTS).read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[2] == "cgroup2":
            for each in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
                if each.startswith("0::"):
                    return Path(words[1], each[3:].lstrip("/"))
    raise FileNotFoundError
