"""Linux accounts of this machine for one test: made by `provision_user`, gone at its end; and an sshd for them."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning import tenants
from scripts_admin.folders.provisioning.commands import ProvisionError
from scripts_admin.services import provisioning
from scripts_admin.services.provisioning import Work
from tests.ground import components, processes


@dataclass(frozen=True)
class Town:
    """A server's home with its own account names; nothing of the machine's own server is touched."""

    home: Path
    places: Places
    word: str

    @property
    def server(self) -> str:
        return f"{self.word}-srv"

    @property
    def shared(self) -> str:
        return f"{self.word}-cpm"

    @property
    def scripts(self) -> Path:
        return self.home / "scripts"

    def person(self, name: str) -> str:
        return f"{self.word}-{name}"

    def key(self, name: str) -> Path:
        return self.home / "keys" / name

    def settings(self, settings: object) -> None:
        """Let the settings of this process be those of this home."""
        for name, value in {
            "N2W_HOME": self.home,
            "N2W_SCRIPTS_ROOT": self.scripts,
            "N2W_SCRIPT_USER": self.shared,
            "N2W_LINUX_PLACES": self.places,
        }.items():
            setattr(settings, name, value)


@contextlib.contextmanager
def town() -> Iterator[Town]:
    """Yield a home of a server of its own; at the end no account, process, group or rule of it is left."""
    components.needs_root("making Linux accounts")
    for name in ("setfacl", "nft", "sshd"):
        components.program(name)
    word = f"n2wt{uuid.uuid4().hex[:8]}"
    with processes.folder() as home:
        homes, programs = str(home / "homes"), f"/var/lib/{word}"
        places = Places(str(home / "machine"), f"{word}-scripts", word, homes, programs)
        there = Town(home, places, word)
        for folder in ("homes", "keys", "machine/etc/ssh/sshd_config.d"):
            (home / folder).mkdir(parents=True)
        _sshd_config(there)
        _tool("useradd", "--system", "--user-group", "--no-create-home", there.server)
        shutil.chown(home, there.server)
        try:
            yield there
        finally:
            _leave_nothing(there)


def keyed(there: Town, name: str) -> Path:
    """Make a key for somebody who has none, and return its public half."""
    path = there.key(name)
    if path.exists():
        return path.with_suffix(".pub")
    subprocess.run(
        [components.program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", path], check=True
    )
    return path.with_suffix(".pub")


def provided(there: Town, *names: str) -> Work:
    """Make the accounts of users whose rows exist, each with a key of its own."""
    work = Work(lambda _: None)
    for name in names:
        key = keyed(there, name)

        def is_made(name: str = name, key: Path = key) -> bool:
            try:
                provisioning.provide(name, work, key)
            except ProvisionError as error:
                # Another test made an account at this very moment: a person would run it again, too.
                if "already exists" in str(error) or "cannot lock" in str(error):
                    return False
                raise
            return True

        processes.wait_until(is_made, seconds=60, what=f"the account {name} is made", pause=0.2)
    return work


def as_account(name: str, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program as the account, with nothing else than its own rights."""
    return subprocess.run(
        ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--reset-env", *argv],
        input=stdin, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def does(name: str, act: Callable[[], object]) -> None:
    """Do it as the account, in a process of its own; an error there is an error here."""
    entry = pwd.getpwnam(name)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setgroups(os.getgrouplist(name, entry.pw_gid))
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            act()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not run what its parent runs
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@dataclass(frozen=True)
class Door:
    """An sshd that has read the drop-in."""

    town: Town
    port: int

    def options(self, person: str) -> list[str]:
        return [
            *("-F", "none", "-i", str(self.town.key(person)), "-o", "IdentitiesOnly=yes"),
            *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={self.town.home}/keys/known_hosts"),
        ]

    def ssh(
        self, person: str, command: str, *more: str, stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["ssh", *self.options(person), *more, "-p", str(self.port), f"{person}@127.0.0.1", command],
            input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def scp(self, person: str, source: Path, target: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["scp", *self.options(person), "-P", str(self.port), source, f"{person}@127.0.0.1:{target}"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@contextlib.contextmanager
def door(there: Town) -> Iterator[Door]:
    """Run an sshd that would let everybody in by password, but for what the drop-in says."""
    port = processes.free_port()
    config = Path(there.places.sshd)
    log = there.home / "sshd.log"
    address = f"ListenAddress=127.0.0.1:{port}"
    sshd = components.program("sshd")
    process = processes.start([sshd, "-D", "-e", "-f", config, "-o", address], log=log)
    try:
        processes.wait_until(
            lambda: _greets(port, process, log), seconds=60, what=f"sshd answers on port {port}"
        )
        kind, key, *_ = (there.home / "keys/host.pub").read_text().split()
        (there.home / "keys/known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        yield Door(there, port)
    finally:
        for pid in processes.descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        processes.stop(process)


def _sshd_config(there: Town) -> None:
    """Write what the machine's own sshd_config would say; before accounts are made."""
    keyed(there, "host")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    Path(there.places.sshd).write_text(
        f"Include {there.home}/machine/etc/ssh/sshd_config.d/*.conf\n"
        f"HostKey {there.key('host')}\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication yes\n"
        f"AllowTcpForwarding yes\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
    )


def _greets(port: int, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    processes.check_alive(process, log, "sshd")
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=2) as connection,
    ):
        return connection.recv(4) == b"SSH-"
    return False


def _tool(*argv: str) -> None:
    """Run a program that changes accounts; another test may hold their lock for a moment."""

    def works() -> bool:
        return not subprocess.run(argv, capture_output=True, check=False).returncode

    processes.wait_until(works, seconds=60, what=" ".join(argv), pause=0.2)


def _leave_nothing(there: Town) -> None:
    subprocess.run(
        ["nft", "delete", "table", "inet", there.places.table], capture_output=True, check=False
    )
    for entry in pwd.getpwall():
        if entry.pw_name.startswith(there.word):
            for pid in tenants.running(entry.pw_uid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            _tool("userdel", "--force", entry.pw_name)
    shutil.rmtree(there.places.programs, ignore_errors=True)
    subprocess.run(["groupdel", there.places.group], capture_output=True, check=False)
