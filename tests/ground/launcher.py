"""The launcher in a view of the file system of its own, for a server that is not root.

In that view the launcher, its list, its sudoers file and the accounts are there as on a server; the machine has none of
them. The accounts have user ids that no account of the machine has.
"""

import contextlib
import os
import pwd
import secrets
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ground import components, processes

ROOT = Path(__file__).resolve().parents[2]
SERVER, SHARED = "n2wbackup", "cpmuser"
_PLACES = (
    "/usr/local/libexec",
    "/usr/local/lib/n2wbackup-run",
    "/etc",  # as a whole: who replaces the machine's passwd takes away a mount on it
)
_FILES = {"/etc/passwd": 0o644, "/etc/group": 0o644, "/etc/shadow": 0o600}
# The Python of the tests and the checkout may be in folders that only root enters.
_VIEW = """
for place in $OUR_PLACES; do mkdir -p "$place"; mount --bind "$OUR_VIEW$place" "$place"; done
mount --bind "$OUR_CHECKOUT" "$OUR_VIEW/checkout"
if [ -n "$OUR_CLOSED" ]; then
    mount --bind "$OUR_PREFIX" "$OUR_VIEW/python"
    mount -t tmpfs -o mode=755 tmpfs "$OUR_CLOSED"
    mkdir -p "$OUR_PREFIX" && mount --bind "$OUR_VIEW/python" "$OUR_PREFIX"
fi
[ -z "$OUR_HIDING" ] || mount -t proc -o hidepid=2 proc /proc
cd "$OUR_VIEW/checkout"
"""


@dataclass
class Place:
    """A view with the launcher in it, and its accounts."""

    view: Path
    server: pwd.struct_passwd
    accounts: Sequence[pwd.struct_passwd]
    lines: dict[str, dict[str, str]] = field(default_factory=dict)  # of the list, by name

    @property
    def python(self) -> str:
        """The Python of the tests, where every account sees it."""
        own = Path(sys.executable)
        return str(self.checkout / own.relative_to(ROOT)) if own.is_relative_to(ROOT) else str(own)

    @property
    def checkout(self) -> Path:
        """Where the server's account sees the checkout."""
        return self.view / "checkout"

    def write_list(self) -> None:
        """Write the accounts' list as `provision_user` does."""
        text = "".join(
            " ".join([name, *(f"{key}={value}" for key, value in words.items())]) + "\n"
            for name, words in self.lines.items()
        )
        path = self.view / "etc/n2wbackup/accounts"
        path.write_text(text)
        path.chmod(0o644)

    def within(
        self, *words: str, user: pwd.struct_passwd | None = None, hiding: bool = False
    ) -> list[str]:
        """Return the command that runs one in the view, as the server's account or another; root is named by None.

        `hiding`: /proc shows the processes of other accounts only to root.
        """
        shell = f'set -eu\n{_VIEW}\nexec "$@"'
        variables = {
            "OUR_VIEW": str(self.view),
            "OUR_PLACES": " ".join(_PLACES),
            "OUR_CHECKOUT": str(ROOT),
            "OUR_CLOSED": _closed(Path(sys.base_prefix)),
            "OUR_PREFIX": sys.base_prefix,
            "OUR_HIDING": "yes" if hiding else "",
        }
        setpriv = [] if user is None else [
            *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--"),
        ]  # fmt: skip
        named = [f"{name}={value}" for name, value in variables.items()]
        unset = ["env", *(f"--unset={name}" for name in variables)]
        return [
            "env",
            *named,
            "unshare",
            "--mount",
            "sh",
            "-c",
            shell,
            "sh",
            *unset,
            *setpriv,
            *words,
        ]

    def run(
        self,
        *words: str,
        user: pwd.struct_passwd | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the view to its end."""
        return subprocess.run(
            self.within(*words, user=user),
            env={"PATH": os.environ["PATH"]} | dict(env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def _closed(place: Path) -> str:
    """Return the folder on the way that only root enters; empty if there is none."""
    way = [*reversed(place.parents), place]
    return next((str(each) for each in way if not each.stat().st_mode & stat.S_IXOTH), "")


@contextlib.contextmanager
def installed(*names: str) -> Iterator[Place]:
    """Install the launcher for a server and these accounts of scripts; all of it is gone with the block."""
    components.needs_root("the launcher, and accounts of its own")
    components.program("sudo")
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine allows no view of its own of the file system")
    with processes.folder() as view, contextlib.ExitStack() as made:
        view.chmod(0o755)
        subprocess.run(["cp", "--archive", "/etc", view], check=True)
        for place in (*_PLACES, "/etc/n2wbackup", "/checkout", "/python"):
            (view / place.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)
        for file, mode in _FILES.items():
            copy = view / file.lstrip("/")
            lines = Path(file).read_text(encoding="utf-8").splitlines(keepends=True)
            ours = {SERVER, *names}
            copy.write_text("".join(line for line in lines if line.split(":")[0] not in ours))
            copy.chmod(mode)
        found = Place(view, _account(SERVER, view, made), [_account(n, view, made) for n in names])
        found.lines = {SERVER: {"uid": str(found.server.pw_uid), "kind": "server", "state": "open"}}
        for entry in found.accounts:
            uid = str(entry.pw_uid)
            kind = "shared" if entry.pw_name == SHARED else "tenant"
            found.lines[entry.pw_name] = {"uid": uid, "kind": kind, "state": "open"}
        found.write_list()
        done = found.run(str(ROOT / "deploy/launcher/install"), SERVER)
        assert done.returncode == 0, done.stderr
        yield found


def _account(name: str, view: Path, made: contextlib.ExitStack) -> pwd.struct_passwd:
    """Make an account in the view, with a group and a home of its own."""
    uid = _free_uid()
    home = view / "homes" / name
    home.mkdir(mode=0o700, parents=True)
    os.chown(home, uid, uid)
    lines = {
        "passwd": f"{name}:x:{uid}:{uid}::{home}:/bin/bash",
        "group": f"{name}:x:{uid}:{SERVER if name == SHARED else ''}",
        "shadow": f"{name}:*:19000:0:99999:7:::",
    }
    for file, line in lines.items():
        with (view / "etc" / file).open("a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")
    made.callback(end_processes, uid)
    return pwd.struct_passwd((name, "x", uid, uid, "", str(home), "/bin/bash"))


def _free_uid() -> int:
    """Return a user id without an account or a process; two tests at a time do not get the same one."""
    while True:
        uid = 20000 + secrets.randbelow(40000)
        with contextlib.suppress(KeyError):
            pwd.getpwuid(uid)
            continue
        return uid


def end_processes(uid: int) -> None:
    """KILL whatever still runs as an account of ours, and wait until it is gone."""
    everything = ["sh", "-c", f"kill -{signal.SIGKILL} -1"]  # at one blow: a bomb outruns any other
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    subprocess.run(["setpriv", *ids, *everything], check=False, capture_output=True)
    processes.wait_until(lambda: not alive(uid), seconds=30, what=f"the end of what uid {uid} runs")


def alive(uid: int) -> list[int]:
    """Return the processes of an account of ours that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == uid and "\nState:\tZ" not in (path / "status").read_text():
                found.append(int(path.name))
    return found
