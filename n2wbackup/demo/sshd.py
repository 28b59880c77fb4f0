"""The demo's own sshd: throw-away keys, a free port on loopback, and nothing of the machine's sshd.

It is one of the supervisor's programs, so it ends with the server, however that ends. It lets in the account that the
demo runs as, by the keys of `let_in`.
"""

import contextlib
import os
import pwd
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from n2wbackup.demo import place
from n2wbackup.processes.supervisor import Program
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.hosts import keypairs

HOST = "127.0.0.1"
MISSING = (
    "There is no sshd on this machine, so no policy of the demo runs scripts by SSH: install openssh-server to see "
    "one."
)
_PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin"
_OF_ROOTS_SSHD = Path(
    "/run/sshd"
)  # where its service has not started since the boot, it is missing
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 5
_PRIORITY = 300  # nothing of the server needs it to start


@dataclass(frozen=True, slots=True)
class Sshd:
    """What stands for an instance that SSH reaches. `key` is its host key."""

    folder: Path
    port: int
    user: str
    key: PublicKey
    command: Sequence[str]

    @classmethod
    def prepare(cls, folder: Path) -> Self | None:
        """Write its files into a new folder; None if there is no sshd on this machine."""
        program = shutil.which("sshd", path=_PLACES)
        if program is None:
            return None
        folder.mkdir(mode=0o700)
        pair, port = keypairs.make(), place.free_port(0)
        _write(folder / "host_key", pair.private)
        _write(folder / "authorized_keys", "")
        _write(folder / "sshd_config", _settings(folder, port))
        command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        return cls(folder, port, pwd.getpwuid(os.geteuid()).pw_name, pair.public, command)

    @property
    def program(self) -> Program:
        return Program("sshd", self.command, _STOP_SECONDS, _PRIORITY)

    def let_in(self, line: str) -> None:
        """Let a key in by its line for authorized_keys."""
        with (self.folder / "authorized_keys").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, self.port), timeout=_LOOK_SECONDS) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False


@contextlib.contextmanager
def room_of_root() -> Iterator[None]:
    """Have the folder without which an sshd of root's does not start, until the block ends."""
    if os.geteuid() != 0 or _OF_ROOTS_SSHD.exists():
        yield
        return
    _OF_ROOTS_SSHD.mkdir(mode=0o755)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody else uses it by now
            _OF_ROOTS_SSHD.rmdir()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _settings(folder: Path, port: int) -> str:
    lines = (
        f"ListenAddress {HOST}:{port}",
        f"HostKey {folder / 'host_key'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "PidFile none",
        "StrictModes no",  # the demo's folder may lie anywhere; it is ours
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        f"UsePAM {'yes' if _is_locked() else 'no'}",
        "AllowTcpForwarding no",
        "X11Forwarding no",
        f"AllowUsers {pwd.getpwuid(os.geteuid()).pw_name}",
    )
    return "\n".join((*lines, ""))


def _is_locked() -> bool:
    """Tell whether root's password is locked: without PAM, sshd then lets nobody in as root, also by a key."""
    try:
        lines = Path("/etc/shadow").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return os.geteuid() == 0 and any(line.startswith("root:!") for line in lines)
