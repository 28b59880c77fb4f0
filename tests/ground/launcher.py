"""The launcher in a place of its own: accounts with names that nobody else has, and a view of the file system.

In that view the launcher, its list and its sudoers file are installed as on a server, and the machine has none of
them. A server that is not root runs in it.
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
_PLACES = (
    "/usr/local/libexec",
    "/usr/local/lib/n2wbackup-run",
    "/etc/n2wbackup",
    "/etc/sudoers.d",
)
# The Python of the tests and the checkout may be in folders that only root enters.
_VIEW = """
for place in $PLACES; do mkdir -p "$place"; mount --bind "$VIEW$place" "$place"; done
mount --bind "$CHECKOUT" "$VIEW/checkout"
if [ -n "$CLOSED" ]; then
    mount --bind "$PREFIX" "$VIEW/python"
    mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
    mkdir -p "$PREFIX" && mount --bind "$VIEW/python" "$PREFIX"
fi
cd "$VIEW/checkout"
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

    def within(self, *words: str, user: pwd.struct_passwd | None = None) -> list[str]:
        """Return the command that runs one in the view, as the server's account or another; root is named by None."""
        shell = f'set -eu\n{_VIEW}\nexec "$@"'
        variables = {
            "VIEW": str(self.view),
            "PLACES": " ".join(_PLACES),
            "CHECKOUT": str(ROOT),
            "CLOSED": _closed(Path(sys.base_prefix)),
            "PREFIX": sys.base_prefix,
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
def installed(accounts: int = 2) -> Iterator[Place]:
    """Make the server's account and some for scripts, and install the launcher; all is gone with the block."""
    components.needs_root("the launcher, and accounts of its own")
    components.program("sudo")
    components.program("useradd")
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine allows no view of its own of the file system")
    token = secrets.token_hex(3)
    names = [f"n2wl-{token}-srv", *(f"n2wl-{token}-{number}" for number in range(accounts))]
    with processes.folder() as view, contextlib.ExitStack() as made:
        view.chmod(0o755)
        for place in (*_PLACES, "/checkout", "/python"):
            (view / place.lstrip("/")).mkdir(mode=0o755, parents=True)
        entries = [_account(name, view, made) for name in names]
        found = Place(view, entries[0], entries[1:])
        found.lines = {names[0]: {"uid": str(entries[0].pw_uid), "kind": "server", "state": "open"}}
        for entry in entries[1:]:
            found.lines[entry.pw_name] = {
                "uid": str(entry.pw_uid),
                "kind": "tenant",
                "state": "open",
            }
        found.write_list()
        done = found.run(str(ROOT / "deploy/launcher/install"), names[0])
        assert done.returncode == 0, done.stderr
        yield found


def _account(name: str, view: Path, made: contextlib.ExitStack) -> pwd.struct_passwd:
    home = view / "homes" / name
    subprocess.run(
        ["useradd", "--create-home", "--home-dir", str(home), "--shell", "/bin/bash", name],
        check=True,
        capture_output=True,
    )
    made.callback(subprocess.run, ["userdel", name], check=False, capture_output=True)
    entry = pwd.getpwnam(name)
    made.callback(_end_processes, entry.pw_uid)
    home.chmod(0o700)
    return entry


def _end_processes(uid: int) -> None:
    """KILL whatever still runs as an account of ours, and wait until it is gone."""
    processes.wait_until(lambda: not _killed(uid), seconds=30, what=f"the processes of uid {uid}")


def _killed(uid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == uid and "\nState:\tZ" not in (path / "status").read_text():
                os.kill(int(path.name), signal.SIGKILL)
                found.append(int(path.name))
    return found
