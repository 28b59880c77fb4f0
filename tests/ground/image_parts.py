"""The processes of an opened snapshot, by their parts, and whatever of it is on the machine."""

import contextlib
import subprocess
from pathlib import Path

PARTS = ("opener", "launcher", "first", "hands", "nbdkit", "nbdfuse")
_LOCK = "lock"


def family(home: Path, key: str) -> dict[str, int]:
    """Return the pids of those processes of the image that live, by their parts. `home`: the folder of images."""
    found: dict[str, int] = {}
    if opener := _opener(home / key):
        found["opener"] = opener
    for process in Path("/proc").glob("[0-9]*"):
        if _has_environment(process, key):
            found["nbdkit"] = int(process.name)
            hands = _parent(int(process.name))
            found |= {"hands": hands, "first": _parent(hands), "launcher": _parent(_parent(hands))}
            fuse = [each for each in _children(hands) if _name(each) == "nbdfuse"]
            found |= {"nbdfuse": fuse[0]} if fuse else {}
    return {part: pid for part, pid in found.items() if pid}


def _opener(folder: Path) -> int:
    """Return the opener, which writes its pid into its lock once it has left whoever started it; 0 without one."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / _LOCK).read_text())
        return pid if Path(f"/proc/{pid}/cmdline").read_bytes() else 0  # a zombie has none
    return 0


def _has_environment(process: Path, key: str) -> bool:
    try:
        return f"N2W_IMAGE={key}-".encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _children(pid: int) -> list[int]:
    found = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in each.read_text().split()]
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def leftovers(key: str) -> list[str]:
    """Return every process, loop device and mount that bears the key."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if key.encode() in text:
            found.append(f"process {process.name}")
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True)
    found += [line for line in loops.stdout.splitlines() if key in line]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if key in line]
    return found
