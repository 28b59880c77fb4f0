"""The process of the pages, really started on a home of its own, and clients that behave badly."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ground import empty, processes

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
ANSWER_SECONDS = 30.0  # a busy machine's time for what takes milliseconds


@dataclass(frozen=True)
class Web:
    """A running web process; `temporary` is where it would put temporary files."""

    port: int
    process: subprocess.Popen[bytes]
    temporary: Path
    log: Path

    def connect(self, *, receive_bytes: int = 0) -> socket.socket:
        """Open a connection that nothing has been sent on."""
        end = socket.socket()
        if receive_bytes:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        end.settimeout(ANSWER_SECONDS)
        end.connect(("127.0.0.1", self.port))
        return end

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return the status and the text of a page."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(client):
            client.request("GET", path, headers=headers)
            answer = client.getresponse()
            return answer.status, answer.read().decode()

    def answers(self) -> bool:
        """Tell whether a page and the health page come."""
        return self.get("/login/")[0] == 200 and self.get("/health/live")[0] == 200

    def temporary_files(self) -> list[str]:
        """Return the temporary files that the process has, even those without a name."""
        named = [str(path) for path in self.temporary.rglob("*") if path.is_file()]
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(link.readlink())
                if target.startswith(str(self.temporary)):
                    named.append(target)
        return named

    def memory_bytes(self) -> int:
        """Return how much memory the process uses now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@contextlib.contextmanager
def serving(**variables: str) -> Iterator[Web]:
    """Start the web process; it ends with the block."""
    with processes.folder("n2wbackup-web-") as home:
        port, temporary = processes.free_port(), home / "temporary"
        temporary.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
            "N2W_HOME": str(home),
            "N2W_PORT": str(port),
            "N2W_RUN_SCRIPTS_AS": "self",
            "TMPDIR": str(temporary),
            **variables,
        }
        empty.furnish(home)
        log = home / "web.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "n2wbackup.processes.web"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )
        web = Web(port, process, temporary, log)
        try:
            processes.wait_until(lambda: _is_up(web), seconds=_START_SECONDS, what="the pages")
            yield web
        finally:
            processes.stop(process, seconds=60)
            server_id = home / "server-id"
            if server_id.exists():
                shutil.rmtree(f"/dev/shm/n2wbackup-{server_id.read_text().strip()}", True)


def _is_up(web: Web) -> bool:
    processes.check_alive(web.process, web.log, "the web process")
    with contextlib.suppress(OSError):
        return web.answers()
    return False


def read_all(end: socket.socket) -> bytes:
    """Return what comes until the other side closes, whether in order or not."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := end.recv(65_536):
            got += data
    return got


def is_closed(end: socket.socket) -> bool:
    """Tell whether the other side has closed; throws away what has come until then."""
    if end.fileno() < 0:
        return True
    end.setblocking(False)
    try:
        while end.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True
