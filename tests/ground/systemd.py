"""A real systemd as the first process of its own name space; the machine's systemd is not touched."""

import contextlib
import os
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ground import components, processes

_SYSTEMD = (Path("/lib/systemd/systemd"), Path("/usr/lib/systemd/systemd"))
_CGROUPS = Path("/sys/fs/cgroup")
_SPACES = ("--pid", "--mount", "--cgroup", "--uts", "--fork", "--kill-child=KILL")
_START_SECONDS = 20.0

# Nothing of the machine is booted: the default targets of units are empty. The cgroups that we see are the
# machine's, and systemd mounts its own. It must not change the machine's /etc and console.
_BOOT = """
mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount --rbind /etc /etc && mount -o remount,bind,ro /etc
[ ! -e /dev/console ] || mount --bind /dev/null /dev/console
parent=$(dirname "$AT")
mount -t tmpfs -o mode=755 tmpfs "$parent"
mkdir "$AT" && mount --bind "$CHECKOUT" "$AT"
# A unit that does not run as root executes Python, which may be in a folder that only root enters.
if [ -n "$CLOSED" ]; then
    mkdir "$parent/python" && mount --bind "$PREFIX" "$parent/python"
    mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
    mkdir -p "$PREFIX" && mount --bind "$parent/python" "$PREFIX"
fi
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
cp -r "$UNITS"/. /run/systemd/system
for name in sysinit basic shutdown; do echo '[Unit]' >"/run/systemd/system/$name.target"; done
exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH=/run/systemd/system SYSTEMD_GENERATOR_PATH= \
    "$SYSTEMD" --system --unit="$UNIT" --log-target=null --show-status=no $MODE
"""


@dataclass(frozen=True)
class Systemd:
    """A running systemd. Inside, it has its own pids; `pid` is its pid outside."""

    process: subprocess.Popen[bytes]
    pid: int
    log: Path

    def ctl(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", "--target", str(self.pid), "--pid", "--mount", "--cgroup"]
        return subprocess.run(
            [*inside, "systemctl", *words],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def succeed(self, *words: str) -> str:
        """Call systemctl, which must succeed; return its output."""
        done = self.ctl(*words)
        assert done.returncode == 0, (done.stderr, self.log.read_text()[-3000:])
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.succeed("show", unit, "--property", name, "--value").strip()

    def limits_memory(self) -> bool:
        """Tell whether MemoryMax works here."""
        mounts = Path(f"/proc/{self.pid}/mountinfo").read_text(encoding="utf-8")
        if any(line.rstrip().endswith(",memory") for line in mounts.splitlines()):
            return True
        unified = Path(f"/proc/{self.pid}/root/sys/fs/cgroup/cgroup.controllers")
        return unified.exists() and "memory" in unified.read_text(encoding="ascii").split()


@contextlib.contextmanager
def booted(
    units: Path, unit: str, *, checkout: Path, at: Path, log: Path, around: Sequence[str] = ()
) -> Iterator[Systemd]:
    """Boot a systemd with the units of a folder and start one unit; everything in it ends with the block.

    Memory, loopback and files are the machine's, but the checkout also appears at `at`. `log` gets errors from
    before systemd runs; the output of units goes where they send it. `around`: a command that becomes it all.
    """
    components.needs_root("a separate systemd")
    systemd = next((path for path in _SYSTEMD if path.exists()), None)
    if systemd is None:
        components.missing("systemd is not on this machine")
    _need_name_spaces()
    log.touch()
    with _cgroups() as entered:
        variables = {
            "PATH": os.environ["PATH"],
            "SYSTEMD": str(systemd),
            "MODE": _mode(),
            "UNITS": str(units),
            "UNIT": unit,
            "CHECKOUT": str(checkout),
            "AT": str(at),
            "PREFIX": sys.base_prefix,
            "CLOSED": _closed(Path(sys.base_prefix)),
        }
        enter = "for group; do echo $$ >$group/cgroup.procs; done"
        inner = ["setpriv", "--pdeathsig", "KILL", "unshare", *_SPACES, "sh", "-euc", '"$BOOT"']
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    *around,
                    "sh",
                    "-euc",
                    f"{enter}; exec {' '.join(inner)}",
                    "sh",
                    *map(str, entered),
                ],
                env=variables | {"BOOT": _BOOT},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield _awaited(process, log)
        finally:
            # The kernel ends a whole name space with its first process, which ends with unshare.
            process.kill()
            process.wait()


def _closed(place: Path) -> str:
    """Return the folder on the way that only root enters; empty if there is none."""
    way = [*reversed(place.parents), place]
    return next((str(each) for each in way if not each.stat().st_mode & stat.S_IXOTH), "")


def _mode() -> str:
    """Return the option that makes systemd use the machine's kind of cgroups."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    return f"systemd.unified_cgroup_hierarchy={int(unified)}"


def _need_name_spaces() -> None:
    """Skip if the kernel, or our container, allows no name spaces: no package would change that."""
    tried = subprocess.run(
        ["unshare", *_SPACES, "sh", "-c", "umount -R /sys/fs/cgroup"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"this machine allows no systemd in a name space: {tried.stderr.strip()}")


@contextlib.contextmanager
def _cgroups() -> Iterator[list[Path]]:
    """Create a cgroup below our own in each hierarchy, for systemd's cgroups; remove all at the end."""
    made, name = [], f"n2wbackup-test-{secrets.token_hex(4)}"
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, kinds, path = line.split(":", 2)
        root = _root_of(kinds)
        if root is not None:
            made.append(root / path.lstrip("/") / name)
    try:
        for group in made:
            try:
                group.mkdir(exist_ok=True)
            except OSError as error:
                pytest.skip(f"this machine allows no cgroup of our own: {error}")
            _inherit(group)
        yield made
    finally:
        for group in made:
            _remove(group)


def _root_of(kinds: str) -> Path | None:
    if kinds:
        found = _CGROUPS / kinds.removeprefix("name=")
    else:
        found = _CGROUPS if (_CGROUPS / "cgroup.controllers").exists() else _CGROUPS / "unified"
    return found if found.is_dir() else None


def _inherit(group: Path) -> None:
    """Set what a new group needs before a process may enter it, as far as we are allowed to."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists():
            (group / name).write_text((group.parent / name).read_text())
    with contextlib.suppress(
        OSError
    ):  # not if the parent has processes: a rule of cgroups forbids it
        (group.parent / "cgroup.subtree_control").write_text("+memory")


def _remove(group: Path) -> None:
    until = time.monotonic() + 10
    for folder, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                break
            except OSError:  # the kernel is still removing the last process
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                break


def _awaited(process: subprocess.Popen[bytes], log: Path) -> Systemd:
    def is_up() -> bool:
        processes.check_alive(process, log, "systemd")
        children = processes.descendants(process.pid)
        if not children or not _is_systemd(children[0]):
            return False
        return Systemd(process, children[0], log).ctl("list-units").returncode == 0

    processes.wait_until(is_up, seconds=_START_SECONDS, what=f"systemd; {log.read_text()}")
    return Systemd(process, processes.descendants(process.pid)[0], log)


def _is_systemd(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "systemd"
    return False
