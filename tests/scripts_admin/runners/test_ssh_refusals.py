"""What is said when a real sshd opens no session, or starts something else than our command."""

import base64
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scripts_admin.hosts import keypairs
from scripts_admin.runners import handshake, refusals, ssh
from scripts_admin.runners.ssh import HostKeyError, Key, RefusedError, Why
from tests.ground import components, processes, sshd
from tests.ground.sshd import Sshd
from tests.scripts_admin.runners import sessions
from tests.scripts_admin.runners.sessions import SECONDS, at, everything, opened, refused

pytestmark = pytest.mark.real
RSA = f"ssh-rsa {base64.b64encode(bytes([0, 0, 0, 7]) + b'ssh-rsa').decode()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sessions.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Sshd) -> Key:
    return Key((server.key.read_text(),))


def test_a_key_that_is_not_in_authorized_keys_is_named(server: Sshd) -> None:
    pair = keypairs.make()

    error = refused(at(server), Key((pair.private,)))

    assert error.why == Why.KEY
    assert pair.public.fingerprint in str(error)
    assert "authorized_keys" in str(error)


def test_the_second_of_two_keys_opens(server: Sshd, key: Key) -> None:
    with opened(at(server), Key((keypairs.make().private, *key.privates))) as session:
        assert session.is_open


def test_a_key_of_instance_connect_has_a_sentence_of_its_own(server: Sshd) -> None:
    error = refused(at(server), Key((keypairs.make().private,), is_connect=True))

    assert "ec2-instance-connect" in str(error)


def logins(server: Sshd) -> int:
    """Return how many logins sshd has written down; it may still be writing about those of earlier tests."""
    found = -1
    while found != (now := server.log.read_text().count("Accepted publickey")):
        found = now
        time.sleep(0.5)
    return found


def test_a_changed_host_key_ends_it_before_a_login(server: Sshd, key: Key) -> None:
    other = str(keypairs.make().public)
    before = logins(server)

    with pytest.raises(HostKeyError) as raised:
        opened(replace(at(server), host_keys=(other,)), key)

    assert raised.value.why == Why.HOST_CHANGED
    assert raised.value.shown == server.host_key
    assert (raised.value.host, raised.value.port) == ("127.0.0.1", server.port)
    assert logins(server) == before


def test_a_host_that_lost_the_approved_kind_of_key_has_changed(server: Sshd, key: Key) -> None:
    with pytest.raises(HostKeyError, match="has changed: it shows no key of that kind") as raised:
        opened(replace(at(server), host_keys=(RSA,)), key)

    assert raised.value.shown == ""


def test_a_host_that_nobody_approved_is_not_logged_in_to(server: Sshd, key: Key) -> None:
    with pytest.raises(HostKeyError, match="Nobody has approved") as raised:
        opened(replace(at(server), host_keys=()), key)

    assert raised.value.why == Why.HOST_UNKNOWN
    assert raised.value.shown == server.host_key


@pytest.mark.parametrize(
    ("name", "why", "words"),
    [
        ("more", Why.MORE, "keyboard-interactive"),
        ("password", Why.MORE, "password"),
    ],
)
def test_a_host_to_which_a_key_is_not_enough_says_what_it_wants(
    server: Sshd, key: Key, name: str, why: Why, words: str
) -> None:
    error = refused(at(server, name), key)

    assert error.why == why
    assert words in str(error)


@pytest.mark.parametrize(
    ("name", "why", "words"),
    [
        ("forced", Why.FORCED, "ForceCommand"),
        ("sftp", Why.SFTP, "internal-sftp"),
    ],
)
@pytest.mark.parametrize("size", [4, 5_000_000], ids=["sent whole", "it ends before all is sent"])
def test_what_runs_instead_of_our_command_is_told(
    server: Sshd, key: Key, name: str, why: Why, words: str, size: int
) -> None:
    with opened(at(server, name), key) as session:
        wire = session.start("sh -c 'eval \"$(head -c 4)\"'", b"echo".ljust(size, b"x"))
        noise, _ = everything(wire)
        processes.wait_until(
            lambda: wire.exit_status is not None, seconds=SECONDS, what="an exit status"
        )
        error = session.not_started(wire, noise)

    assert error.why == why
    assert words in str(error)


@pytest.mark.parametrize(("kind", "bits"), [("ecdsa", "256"), ("rsa", "2048")])
def test_every_kind_of_key_opens_and_only_the_approved_kind_of_host_key_is_asked_for(
    tmp_path: Path, kind: str, bits: str
) -> None:
    made = tmp_path / "key"  # of the host and of the client: to make one takes its time
    words = ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(made)]
    subprocess.run(words, check=True)
    with sshd.running(tmp_path / "sshd", [f"HostKey {made}"]) as several:
        public = (tmp_path / "key.pub").read_text()
        several.let_in(public)
        private = keypairs.read(made.read_text()).private
        address = replace(at(several), host_keys=(" ".join(public.split()[:2]),))
        opened(address, Key((private,))).close()


RIGHTS = {
    "nothing": ("", Why.SUDO, "NOPASSWD"),
    "password": ("nobody ALL=(root) ALL", Why.SUDO, "NOPASSWD"),
    "terminal": ("nobody ALL=(root) NOPASSWD: ALL\nDefaults requiretty", Why.TTY, "!requiretty"),
    "all": ("nobody ALL=(root) NOPASSWD: ALL\nDefaults use_pty", None, ""),
    "shell": ("nobody ALL=(root) NOPASSWD: /bin/sh", None, ""),
}


@pytest.mark.parametrize(("rights", "why", "words"), RIGHTS.values(), ids=RIGHTS)
def test_what_sudo_wants_is_told(
    server: Sshd, key: Key, rights: str, why: Why | None, words: str
) -> None:
    components.needs_root("another account, and a sudoers file of its own")
    let_sudo(server, rights)
    address = replace(at(server, "nobody"), sudo=True)
    with opened(address, key) as session:
        wire = session.start("sudo -n sh -c 'id -u; cat'")
        wire.send(b"words\n")
        wire.end()
        out, errors = everything(wire)
        processes.wait_until(
            lambda: wire.exit_status is not None, seconds=SECONDS, what="an exit status"
        )
        if why is None:
            assert out == b"0\nwords\n"
            return
        error = session.not_started(wire, out + errors)

    assert error.why == why
    assert words in str(error)


def test_what_runs_by_sudo_sees_the_end_of_a_session_too(
    server: Sshd, key: Key, tmp_path: Path
) -> None:
    components.needs_root("another account, and a sudoers file of its own")
    let_sudo(server, RIGHTS["all"][0])
    mark = tmp_path / "gone"
    session = opened(at(server, "nobody"), key)
    wire = session.start(f"sudo -n sh -c 'echo up; cat; touch {mark}'")
    processes.wait_until(lambda: wire.read() == b"up\n", seconds=SECONDS, what="the command runs")

    session.close()

    processes.wait_until(mark.exists, seconds=SECONDS, what="standard input ended")


def let_sudo(server: Sshd, rights: str) -> None:
    sudoers = server.config.parent / "sudoers"
    sudoers.unlink(missing_ok=True)
    sudoers.write_text(f"root ALL=(ALL) ALL\n{rights}\n")
    sudoers.chmod(0o440)


def test_noise_of_the_shell_does_not_stand_in_the_way(server: Sshd, key: Key) -> None:
    with opened(at(server, "noisy"), key) as session:
        out, errors = everything(session.start("echo ours"))

    assert (out, errors) == (b"Welcome\nours\n", b"to this machine\n")


def test_a_host_that_opens_no_session_is_refused(server: Sshd, key: Key) -> None:
    with (
        opened(at(server, "none"), key) as session,
        pytest.raises(RefusedError, match="MaxSessions") as raised,
    ):
        session.start("true")

    assert raised.value.why == Why.NO_SESSION


def test_a_closed_port_and_a_silent_one_are_told_apart(server: Sshd, key: Key) -> None:
    closed = replace(at(server), port=processes.free_port())
    assert refused(closed, key).why == Why.CLOSED
    with socket.create_server(("127.0.0.1", 0)) as listening:
        silent = replace(at(server), port=listening.getsockname()[1])
        assert refused(silent, key, 0.3).why == Why.SILENT


def test_what_does_not_speak_ssh_is_told(server: Sshd, key: Key) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(
            target=_greet, args=(listening, b"220 mail\r\n" * 101), daemon=True
        ).start()
        error = refused(replace(at(server), port=listening.getsockname()[1]), key)

    assert error.why == Why.NOT_SSH


def _greet(listening: socket.socket, greeting: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(greeting)
        connection.recv(1024)


def test_too_many_logins_at_a_host_are_waited_for_and_then_told(tmp_path: Path) -> None:
    with sshd.running(tmp_path / "sshd", ["MaxStartups 1:100:1"]) as busy:
        key = Key((busy.key.read_text(),))
        held = hold_a_login(busy)
        error = refused(at(busy), key, 1.0)
        assert error.why == Why.BUSY
        assert "MaxStartups" in str(error)
        threading.Timer(0.2, held.close).start()
        opened(at(busy), key).close()


def hold_a_login(server: Sshd) -> socket.socket:
    """Return a connection that has begun a login; the one before may still have the only place."""
    found: list[socket.socket] = []

    def begins() -> bool:
        found.append(socket.create_connection(("127.0.0.1", server.port)))
        if found[-1].recv(4) == b"SSH-":
            return True
        found.pop().close()
        return False

    processes.wait_until(begins, seconds=SECONDS, what="a login begins")
    return found[0]


def tell(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # of an earlier session
            os.kill(pid, number)


def test_a_stopped_host_ends_a_start_in_time(server: Sshd, key: Key) -> None:
    with opened(at(server), key) as session:
        stopped = processes.descendants(server.process.pid)
        tell(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(RefusedError) as raised:
                session.start("true", seconds=0.5)
        finally:
            tell(stopped, signal.SIGCONT)

    assert raised.value.why == Why.SILENT
    assert not session.is_open


def test_only_so_many_handshakes_go_on_at_a_time(
    server: Sshd, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on: list[int] = []
    now = threading.Semaphore(0)

    def login(*_: object) -> None:
        now.release()
        going_on.append(now._value)
        time.sleep(0.01)  # so that others would have the time to come
        now.acquire()
        raise refusals.lost("x")

    monkeypatch.setattr(handshake, "login", login)
    opener = ssh.Opener(2)
    with ThreadPoolExecutor(6) as pool:
        tries = [pool.submit(opener.open, at(server), key, SECONDS) for _ in range(6)]
    assert all(isinstance(each.exception(), RefusedError) for each in tries)
    assert max(going_on) <= 2
