"""What a demo may leave behind: folders, memory, processes, connections to its sshd, and keys."""

import contextlib
import os
import subprocess
from pathlib import Path

from tests.ground import processes


def of(home: Path) -> list[int]:
    """Return every process that has something of this home open, works in it, or was given it.

    What a process was given shows only until it changes its title.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            links = [entry / "cwd", *(entry / "fd").iterdir()]
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            opened = [_target(link) for link in links]
            if str(home) in os.fsdecode(told) or any(str(home) in path for path in opened):
                found.append(int(entry.name))
    return found


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""


def memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("n2wbackup-*")}


def server_ids(home: Path) -> set[str]:
    return {f"n2wbackup-{path.read_text().strip()}" for path in home.glob("demo*/server-id")}


def left(home: Path) -> list[str]:
    return sorted(path.name for path in home.glob("demo*"))


def family(demo: subprocess.Popen[str]) -> set[tuple[int, str]]:
    """Return each process of the demo by its id and its start: an id alone may be somebody else's later."""
    return {(pid, _start(pid)) for pid in (demo.pid, *processes.descendants(demo.pid))}


def _start(pid: int) -> str:
    """Return when the process started; nothing if it has ended, whether somebody has noticed or not."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return ""


def alive(family: set[tuple[int, str]]) -> set[tuple[int, str]]:
    return {each for each in family if each[1] and _start(each[0]) == each[1]}


def port_of_sshd(home: Path) -> int:
    settings = (home / "demo" / "sshd" / "sshd_config").read_text()
    return int(settings.partition("ListenAddress 127.0.0.1:")[2].split()[0])


def uses(port: int) -> list[str]:
    """Return who listens at the port or is connected to it, as the kernel lists it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = f":{port:04X}"
    open_states = {"01", "0A"}  # established, and listening
    return [f"{row[1]} {row[2]}" for row in rows if row[1].endswith(own) and row[3] in open_states]


def private_keys(home: Path) -> list[str]:
    """Return the files that hold the private half of a key, as whoever reads the disk finds it."""
    found = []
    for path in home.rglob("*"):
        with contextlib.suppress(OSError):  # files of a running server come and go
            if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
                found.append(str(path.relative_to(home)))
    return found
