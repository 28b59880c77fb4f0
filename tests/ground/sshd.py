"""Our own real sshd: own keys, own port, nothing from the system's service."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ground import components, processes

HOST = "instance1"
_FIRST = "# what stands above wins over what stands below\n"


@dataclass(frozen=True)
class Sshd:
    """`ssh -F <config> instance1` logs in as the account of this process."""

    config: Path
    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    log: Path
    process: subprocess.Popen[bytes]
    ports: Mapping[str, int] = field(
        default_factory=dict
    )  # further ones, each with lines of its own

    @property
    def host_key(self) -> str:
        """The public host key, as OpenSSH writes it."""
        return " ".join((self.config.parent / "host_key.pub").read_text().split()[:2])

    def let_in(self, line: str) -> None:
        """Let a key in by its line for authorized_keys."""
        with (self.config.parent / "authorized_keys").open("a") as file:
            file.write(f"{line}\n")

    def reload(self, first: Sequence[str] = ()) -> None:
        """Let it read its settings and its host key anew, with these lines in front; connections live on.

        It stops listening meanwhile, and listens again on return.
        """
        config = self.config.parent / "sshd_config"
        kept = config.read_text().rpartition(_FIRST)[2]
        config.write_text("".join(f"{line}\n" for line in first) + _FIRST + kept)
        began = self._beginnings()
        self.process.send_signal(signal.SIGHUP)
        processes.wait_until(
            lambda: self._beginnings() > began, seconds=60, what="sshd listens again"
        )

    def _beginnings(self) -> int:
        return self.log.read_text(errors="replace").count(
            f"listening on 127.0.0.1 port {self.port}."
        )

    def change_host_key(self) -> Callable[[], None]:
        """Show another host key from the next connection on; return what puts the former one back."""
        path = self.config.parent / "host_key"
        former = {each: each.read_bytes() for each in (path, path.with_suffix(".pub"))}
        for each in former:
            each.unlink()
        _make_key(path)
        self.reload()

        def put_back() -> None:
            for each, content in former.items():
                each.write_bytes(content)
            self.reload()

        return put_back

    def cut(self) -> None:
        """Cut all connections at once; the server goes on, and so do processes that the connections left behind."""
        for pid in processes.descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    folder: Path,
    first: Sequence[str] = (),
    also: Mapping[str, Sequence[str]] | None = None,
    within: Sequence[str | Path] = (),
) -> Iterator[Sshd]:
    """Run an sshd on a free port on loopback, with its files in `folder`, until the block ends.

    It accepts one client key and no password. As root it logs in root, otherwise this process's account.
    `first` are lines of its settings that win over ours; `also` gives each name a port for which its lines win.
    `within` is a command that becomes it.
    """
    program = components.program("sshd")
    folder.mkdir(parents=True, exist_ok=True)
    port = processes.free_port()
    key = _make_key(folder / "client_key")
    ports = {name: processes.free_port() for name in also or {}}
    _write_server_config(folder, port, key, first)
    _write_ports(folder, ports, also or {})
    known_hosts = _write_known_hosts(folder, port)
    log = folder / "sshd.log"
    command = [*within, program, "-D", "-e", "-f", folder / "sshd_config"]
    process = processes.start(command, log=log)
    user = pwd.getpwuid(os.geteuid()).pw_name
    config = folder / "ssh_config"
    server = Sshd(config, HOST, port, user, key, known_hosts, log, process, ports)
    config.write_text(_client_config(server))
    try:
        _wait_for_greeting(server)
        yield server
    finally:
        server.cut()
        processes.stop(process)


def _client_config(server: Sshd) -> str:
    return (
        f"Host {server.host}\n"
        f"  HostName 127.0.0.1\n"
        f"  Port {server.port}\n"
        f"  User {server.user}\n"
        f"  IdentityFile {server.key}\n"
        f"  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {server.known_hosts}\n"
        f"  StrictHostKeyChecking yes\n"
    )


def _write_known_hosts(folder: Path, port: int) -> Path:
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    return known_hosts


def _make_key(path: Path) -> Path:
    subprocess.run(
        [components.program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", path], check=True
    )
    return path


def _write_ports(folder: Path, ports: Mapping[str, int], also: Mapping[str, Sequence[str]]) -> None:
    with (folder / "sshd_config").open("a") as file:
        for port in ports.values():
            file.write(f"ListenAddress 127.0.0.1:{port}\n")
        for name, lines in also.items():
            file.write("\n".join([f"Match LocalPort {ports[name]}", *lines, ""]))


def _write_server_config(
    folder: Path, port: int, client_key: Path, first: Sequence[str] = ()
) -> None:
    host_key = _make_key(folder / "host_key")
    authorized_keys = folder / "authorized_keys"
    authorized_keys.write_text(client_key.with_suffix(".pub").read_text())
    if os.geteuid() == 0:
        # A root sshd refuses to start without this folder; the system's service creates it at boot.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd_config").write_text(
        "".join(f"{line}\n" for line in first) + f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {host_key}\n"
        f"AuthorizedKeysFile {authorized_keys}\n"
        f"PidFile none\n"
        f"StrictModes no\n"  # the folder may be anywhere
        f"PermitRootLogin prohibit-password\n"
        f"PasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\n"
        f"UsePAM {'yes' if _is_locked() else 'no'}\n"
        f"{'' if any('MaxStartups' in each for each in first) else 'MaxStartups 100'}\n"  # the last one counts
        f"SetEnv SHLVL=1\n"  # then bash does not read the account's own .bashrc
        f"Subsystem sftp internal-sftp\n"
    )


def _is_locked() -> bool:
    """Tell whether the account's password is locked ("!"): without PAM, it then cannot log in even by key."""
    if os.geteuid() != 0:
        return False
    lines = Path("/etc/shadow").read_text().splitlines()
    return any(line.startswith("root:!") for line in lines)


def _wait_for_greeting(server: Sshd) -> None:
    def greets() -> bool:
        processes.check_alive(server.process, server.log, "sshd")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False

    processes.wait_until(greets, seconds=60, what=f"sshd answers on port {server.port}")
