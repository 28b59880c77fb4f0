"""Sessions over a real sshd: what they do."""

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts_admin.runners.ssh import Key
from tests.ground import processes
from tests.ground.sshd import Sshd
from tests.scripts_admin.runners import sessions
from tests.scripts_admin.runners.sessions import SECONDS, at, everything, opened

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sessions.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Sshd) -> Key:
    return Key((server.key.read_text(),))


def test_a_program_is_sent_over_the_channel_and_talks(server: Sshd, key: Key) -> None:
    with opened(at(server), key) as session:
        program = b'read word; echo "heard $word"; echo oops >&2; exit 3\n'
        wire = session.start(f"sh -c 'eval \"$(head -c {len(program)})\"'", program)
        assert wire.exit_status is None
        assert wire.send(b"go\n")

        assert everything(wire) == (b"heard go\n", b"oops\n")
        processes.wait_until(
            lambda: wire.exit_status is not None, seconds=SECONDS, what="an exit status"
        )
        assert wire.exit_status == 3


def test_words_leave_at_once_and_a_dead_wire_is_noticed(server: Sshd, key: Key) -> None:
    with opened(at(server), key) as session:
        used = session._line.connection
        assert isinstance(used, socket.socket)
        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000


@pytest.mark.parametrize("through", [False, True], ids=["direct", "through a bastion"])
def test_the_far_side_sees_the_end_of_a_session(
    server: Sshd, key: Key, tmp_path: Path, through: bool
) -> None:
    mark = tmp_path / "gone"
    session = opened(at(server, bastion=at(server, "noisy") if through else None), key)
    wire = session.start(f"sh -c 'echo up; cat; touch {shlex.quote(str(mark))}'")
    processes.wait_until(lambda: wire.read() == b"up\n", seconds=SECONDS, what="the command runs")

    session.close()

    processes.wait_until(mark.exists, seconds=SECONDS, what="standard input ended")
    assert wire.is_over
    assert wire.exit_status is None


def test_a_hundred_kilobytes_of_program_arrive(server: Sshd, key: Key) -> None:
    program = b"echo $((1+1))\n" + b"# nothing\n" * 10_000
    with opened(at(server), key) as session:
        wire = session.start(f"sh -c 'eval \"$(head -c {len(program)})\"'", program)
        assert everything(wire)[0] == b"2\n"
