"""The whole server, really started: dead processes are restarted, and nothing is left after a stop."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2wbackup.processes import vigil
from tests.ground import empty, processes
from tests.ground.leeway import LEEWAY

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.lasts(130)
TITLES = {
    "n2wbackup web",
    "n2wbackup beat",
    "n2wbackup worker freeze",
    "n2wbackup worker tick",
    "n2wbackup worker work",
    "n2wbackup watchdog",
}
START_SECONDS = 180  # a machine with much other work takes its time
# Promised are 0.2 s, on a machine that has nothing else to do.
RESTART_SECONDS = LEEWAY


@dataclass(frozen=True)
class Server:
    """A home, and the server that runs on it."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> dict[str, str]:
        """Return the JSON that a page answers with."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            found: dict[str, str] = json.load(answer)
            return found

    def titles(self) -> dict[int, str]:
        """Return what `ps` shows for every process of the server."""
        return {pid: _title(pid) for pid in processes.descendants(self.process.pid)}

    def pid_of(self, title: str) -> int | None:
        """Return the process with this title, the oldest when there are several."""
        return min((pid for pid, shown in self.titles().items() if shown == title), default=None)


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rstrip()
    return ""


def _environment(home: Path, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
        "N2W_HOME": str(home),
        "N2W_PORT": str(port),
        "N2W_FREEZE_PROCESSES": "2",
        "N2W_RUN_SCRIPTS_AS": "self",
    }


def _manage(home: Path, *words: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=_environment(home, port or processes.free_port()),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@contextlib.contextmanager
def _serving() -> Iterator[Server]:
    with processes.folder("n2wbackup-serve-") as home:
        empty.furnish(home)
        port = processes.free_port()
        with (home / "serve.out").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=_environment(home, port),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(home, port, process)
        try:
            processes.wait_until(
                lambda: set(server.titles().values()) >= TITLES and _answers(server),
                seconds=START_SECONDS,
                what=f"{TITLES} and the page",
                pause=0.2,
            )
            yield server
        finally:
            processes.stop(process, seconds=60)
            _forget(home)


def _forget(home: Path) -> None:
    """Remove the server's folder in memory."""
    server_id = (home / "server-id").read_text().strip()
    shutil.rmtree(f"/dev/shm/n2wbackup-{server_id}", ignore_errors=True)


def _answers(server: Server) -> bool:
    with contextlib.suppress(OSError):
        return bool(server.get("/health/live"))
    return False


def _alive(pids: list[int]) -> list[int]:
    """Return those that are still there; a zombie is gone."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                found.append(pid)
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a server that the tests of this module share; none of them may end it."""
    with _serving() as started:
        yield started


def test_every_process_shows_what_it_is_and_the_page_answers(server: Server) -> None:
    assert set(server.titles().values()) >= TITLES
    assert server.get("/health/live") == {"status": "ok"}
    assert server.get("/health/ready") == {"status": "ok", "database": "ok", "broker": "ok"}


def test_a_second_server_on_the_same_home_is_refused(server: Server) -> None:
    before = (server.home / "run" / "supervisor.conf").read_text()

    second = _manage(server.home, "serve")

    assert second.returncode == 1
    # Before it is the check's warning that scripts run as the server's own account here.
    assert second.stderr.splitlines()[-1] == (
        f"CommandError: A server already runs on {server.home}: stop it with `manage.py drain`, "
        "or set another N2W_HOME."
    )
    assert (server.home / "run" / "supervisor.conf").read_text() == before
    assert (server.home / "serve.lock").read_text() == f"{server.process.pid}\n"


@pytest.mark.parametrize(
    "title",
    [
        *("n2wbackup worker freeze", "n2wbackup workers freeze 2"),
        *("n2wbackup watchdog", "n2wbackup beat", "n2wbackup web"),
    ],
)
def test_what_is_killed_is_started_again_at_once(server: Server, title: str) -> None:
    victim = server.pid_of(title)
    assert victim is not None
    parent = _parent(victim)
    siblings = _children(parent)

    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    processes.wait_until(
        lambda: bool(_children(parent) - siblings), seconds=60, what=f"a new {title}"
    )
    seconds = time.monotonic() - began

    assert seconds < RESTART_SECONDS
    processes.wait_until(
        lambda: server.pid_of(title) is not None, seconds=START_SECONDS, what=f"{title} works"
    )
    # Wait until it is stable: a program that dies in its first second is restarted only after a pause.
    time.sleep(1.5)


def test_pages_that_do_not_answer_are_started_again(server: Server) -> None:
    stopped = server.pid_of("n2wbackup web")
    assert stopped is not None

    os.kill(stopped, signal.SIGSTOP)
    processes.wait_until(
        lambda: server.pid_of("n2wbackup web") not in {None, stopped} and _answers(server),
        seconds=vigil.SILENT_SECONDS + START_SECONDS,
        what="pages that answer",
        pause=0.5,
    )

    log = (server.home / "logs" / "supervisor.log").read_text()
    assert "The web process has not answered /health/live for 60 s" in log


def _parent(pid: int) -> int:
    """Return the supervisor's pid, or that of the parent of several workers."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def test_a_home_without_its_tables_is_refused(tmp_path: Path) -> None:
    refused = _manage(tmp_path, "serve")

    assert refused.returncode == 1
    sentence = refused.stderr.splitlines()[-1]
    assert sentence.startswith(f"CommandError: The database {tmp_path}/db.sqlite3 of the home ")
    assert "run `manage.py migrate`" in sentence
    assert not (tmp_path / "run" / "supervisor.conf").exists()


def test_a_drain_with_nothing_running_says_so(tmp_path: Path) -> None:
    plain = _manage(tmp_path, "drain")
    as_json = _manage(tmp_path, "drain", "--json")

    assert (plain.returncode, plain.stdout) == (0, f"Nothing is running on {tmp_path}.\n")
    assert as_json.returncode == 0
    found = json.loads(as_json.stdout)
    assert (found["state"], found["pid"]) == ("idle", None)


def test_drain_stops_everything_and_waits_until_it_is_gone() -> None:
    with _serving() as server:
        everyone = [server.process.pid, *processes.descendants(server.process.pid)]

        drained = _manage(server.home, "drain", "--json")

        assert drained.returncode == 0, drained.stderr
        found = json.loads(drained.stdout)
        assert (found["state"], found["pid"]) == ("drained", server.process.pid)
        assert _alive(everyone) == []
        assert server.process.wait(LEEWAY) == 0


STARTER = """
import sys, django
django.setup()
from n2wbackup.processes import supervisor
script = 'echo "$EXTRA" > "$N2W_HOME/extra"; exec sleep 60'
extra = supervisor.Program("extra", ["/bin/sh", "-c", script])
server = supervisor.start([extra], {"EXTRA": "given to all"})
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_that_was_started_with_more_ends_with_whoever_started_it() -> None:
    with processes.folder("n2wbackup-serve-") as home:
        empty.furnish(home)
        with subprocess.Popen(
            [sys.executable, "-c", STARTER],
            cwd=ROOT,
            env=_environment(home, processes.free_port()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as starter:
            assert starter.stdout is not None
            supervisor = int(starter.stdout.readline())
            processes.wait_until(
                (home / "extra").exists, seconds=START_SECONDS, what="the extra program"
            )
            assert _manage(home, "serve").returncode == 1
            everyone = [supervisor, *processes.descendants(supervisor)]

            starter.kill()

            processes.wait_until(lambda: not _alive(everyone), seconds=60, what="all have gone")
        assert (home / "extra").read_text() == "given to all\n"
        assert _manage(home, "drain").stdout == f"Nothing is running on {home}.\n"
        _forget(home)


def test_nothing_outlives_a_supervisor_that_was_killed() -> None:
    with _serving() as server:
        everyone = [server.process.pid, *processes.descendants(server.process.pid)]

        server.process.kill()
        server.process.wait()

        processes.wait_until(lambda: not _alive(everyone), seconds=60, what="all have gone")
        assert _manage(server.home, "drain").returncode == 0
