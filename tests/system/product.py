"""The whole product on a home of its own: serve, workers, Valkey, watchdog, and a simulated AWS."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from tests.ground import commands, components, empty, processes, simulated

ROOT = Path(__file__).resolve().parents[2]
OWNER, POLICY = "alice1", "p1"
LABEL = f"{OWNER}/{POLICY}"
ENDS = {"succeeded", "partial", "failed", "cancelled", "skipped", "missed"}
START_SECONDS = 180.0  # a machine with much other work takes its time

MARK = """#!/bin/bash
# Leaves a line for each start and end, with the time and the argument.
echo "{phase} start ${{1:-}} $EPOCHREALTIME ${{N2W_ATTEMPT}}" >> {marks}
{body}
echo "{phase} end ${{1:-}} $EPOCHREALTIME ${{N2W_ATTEMPT}}" >> {marks}
"""


@dataclass(frozen=True)
class Mark:
    """A line that a script left: when it started or ended, with which argument."""

    phase: str
    moment: str
    argument: str
    at: float
    attempt: int


@dataclass
class Product:
    """One server's home, its scripts folder, its marks, and commands on it."""

    home: Path
    aws: SimulatedAws
    port: int
    marks_file: Path
    database_url: str = ""
    instance: str = ""
    more: dict[str, str] = field(default_factory=dict)  # of the environment
    role_arn: str = ""  # of the account; else it has keys
    python: str = sys.executable
    around: Sequence[str] = ()  # a command that becomes each of ours: another account, another view
    process: subprocess.Popen[bytes] | None = None
    loaded: commands.Commands = field(default_factory=commands.Commands)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.marks_file.parent / "serve.log"

    @property
    def environment(self) -> dict[str, str]:
        found = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
            "N2W_HOME": str(self.home),
            "N2W_PORT": str(self.port),
            "N2W_RUN_SCRIPTS_AS": "self",
            "ALICE_PASSWORD": "correct horse battery",
            "LAB_SECRET": self.aws.environment["AWS_SECRET_ACCESS_KEY"],
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        found |= {"DATABASE_URL": self.database_url} if self.database_url else {}
        own = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")  # who assumes the role
        found |= {name: self.aws.environment[name] for name in own if self.role_arn}
        return found | self.more

    @property
    def account(self) -> dict[str, str]:
        """How the account gets into AWS, as `apply` takes it."""
        if self.role_arn:
            return {"auth": "role", "role_arn": self.role_arn}
        return {
            "auth": "keys",
            "access_key_id": self.aws.environment["AWS_ACCESS_KEY_ID"],
            "secret_access_key_env": "LAB_SECRET",
        }

    @property
    def folder(self) -> Path:
        return self.home / "scripts" / OWNER

    @property
    def memory(self) -> Path:
        """The server's folder in memory."""
        server = (self.home / "server-id").read_text().strip()
        return Path("/dev/shm") / f"n2wbackup-{server}"

    def start(self, *within: str) -> None:
        """Start `serve`, and return at once. It is told TERM when the thread ends that started it.

        `within`: a command that becomes it.
        """
        with self.log.open("ab") as log:
            setpriv = components.program("setpriv")
            self.process = subprocess.Popen(
                [
                    *(setpriv, "--pdeathsig", "TERM", "--"),
                    *(*within, *self.around, self.python, "manage.py", "serve"),
                ],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def manage(self, *words: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        if self.around or self.python != sys.executable:
            program = [*self.around, self.python]
            return commands.alone(program, words, self.environment, seconds)
        return self.loaded.run(words, self.environment, seconds)

    def succeed(self, *words: str) -> str:
        done = self.manage(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def apply(
        self, instances: list[str], schedule: Mapping[str, Any] | None = None, **policy: object
    ) -> None:
        """Enter alice, her account and her policy of these instances, which follows the schedule."""
        schedules = [{"owner": OWNER, "name": "often", **schedule}] if schedule else []
        document = {
            "users": [
                {"name": OWNER, "email": "a@example.org", "password_env": "ALICE_PASSWORD"},
            ],
            "accounts": [
                {"owner": OWNER, "name": "lab", "region": "us-east-1", **self.account},
            ],
            "schedules": schedules,
            "policies": [
                {
                    "schedules": [each["name"] for each in schedules],
                    "owner": OWNER,
                    "name": POLICY,
                    "account": "lab",
                    "targets": [{"instance": i, "region": "us-east-1"} for i in instances],
                    **policy,
                }
            ],
        }
        path = self.marks_file.parent / "policies.yaml"
        path.write_text(json.dumps(document))
        self.succeed("apply", str(path))

    def script(self, phase: str, body: str = "") -> None:
        """Install a marking script of the policy."""
        path = self.folder / f"{phase}_{POLICY}.sh"
        path.write_text(MARK.format(phase=phase, body=body, marks=self.marks_file))
        path.chmod(0o755)

    def scripts(self, **bodies: str) -> None:
        for phase in ("before", "after", "complete"):
            self.script(phase, bodies.get(phase, ""))

    def marks(self, phase: str = "", moment: str = "") -> list[Mark]:
        if not self.marks_file.exists():
            return []
        found = []
        for line in self.marks_file.read_text().splitlines():
            words = line.split(" ")
            mark = Mark(words[0], words[1], words[2], float(words[3]), int(words[4]))
            if mark.phase == (phase or mark.phase) and mark.moment == (moment or mark.moment):
                found.append(mark)
        return found

    def wait_for_mark(
        self, phase: str, moment: str, *, count: int = 1, seconds: float = 90
    ) -> Mark:
        processes.wait_until(
            lambda: len(self.marks(phase, moment)) >= count,
            seconds=seconds,
            what=f"{phase} {moment} x{count}; {self.marks()}",
        )
        return self.marks(phase, moment)[count - 1]

    def start_run(self) -> str:
        return self.succeed("run_policy", LABEL).split()[-1]

    def show(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.succeed("show_run", run, "--json"))
        return found

    def wait_for_end(self, run: str, *, seconds: float = 180) -> dict[str, Any]:
        return self.wait_for_state(run, lambda state: state in ENDS, seconds=seconds)

    def wait_for_state(
        self, run: str, wanted: Callable[[str], bool], *, seconds: float = 180
    ) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while not wanted(self.state(run)):
            assert time.monotonic() < until, (self.show(run), self.log.read_text()[-4000:])
            time.sleep(0.1)
        return self.show(run)

    def cancel(self, run: str) -> None:
        """Cancel the run, unless it has ended meanwhile."""
        done = self.manage("cancel_run", run)
        assert done.returncode == 0 or self.state(run) in ENDS, done.stdout + done.stderr

    def state(self, run: str) -> str:
        """Return the run's state as the row has it; a command would cost a second of the processor."""
        return str(self.query("SELECT state FROM policies_run WHERE id = ?", UUID(run).hex)[0][0])

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in the server's database, whichever it is."""
        if self.database_url:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                cursor = connection.execute(sql.replace("?", "%s").encode(), values)
                return cursor.fetchall() if cursor.description else []
        path = self.home / "db.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as lite, lite:
            return lite.execute(sql, values).fetchall()

    def pids(self, title: str) -> list[int]:
        """Return the processes of this home that show the title."""
        return [pid for pid, shown in self.titles().items() if shown.startswith(title)]

    def titles(self) -> dict[int, str]:
        """Return the `ps` titles of the server's processes and of its runs' guards."""
        assert self.process is not None
        own = {pid: _title(pid) for pid in processes.descendants(self.process.pid)}
        runs = {path.name for path in (self.home / "spool").glob("*")}
        for entry in Path("/proc").iterdir():
            shown = _title(int(entry.name)) if entry.name.isdigit() else ""
            if shown.startswith("n2wbackup guard ") and shown.split()[-1] in runs:
                own[int(entry.name)] = shown
        return own

    def kill(self, *titles: str) -> float:
        """SIGKILL all processes with these titles, once all are found; return when, as UNIX seconds."""
        pids = [pid for title in titles for pid in self.pids(title)]
        assert len(pids) >= len(titles), self.titles()
        at = time.time()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return at


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rstrip()
    return ""


@contextlib.contextmanager
def serving(
    home: Path,
    beside: Path,
    *,
    database_url: str = "",
    volumes: list[VolumeSpec] | None = None,
    policy: Mapping[str, Any] | None = None,
    more: Mapping[str, str] | None = None,
    role_arn: str = "",
    prepare: Callable[[Product], None] = lambda _: None,
) -> Iterator[Product]:
    """Serve a home that has one policy of one instance; everything ends with the block."""
    with simulated.aws() as aws:
        instance = aws.add_instance(volumes=volumes or [VolumeSpec(), VolumeSpec()])
        port = processes.free_port()
        product = Product(home, aws, port, beside / "marks", database_url, instance.instance_id)
        product.role_arn = role_arn
        product.more.update(more or {})
        if database_url:
            product.succeed("migrate", "--verbosity", "0")
        else:
            empty.furnish(product.home)
        prepare(product)
        product.apply([instance.instance_id], **(policy or {}))
        with started(product):
            yield product


@contextlib.contextmanager
def serving_nothing(home: Path, beside: Path) -> Iterator[Product]:
    """Serve an empty home, to whose server nobody has come yet; everything ends with the block."""
    with simulated.aws() as aws:
        product = Product(home, aws, processes.free_port(), beside / "marks")
        empty.furnish(product.home)
        with started(product):
            yield product


@contextlib.contextmanager
def started(product: Product) -> Iterator[None]:
    """Serve a home that is there already, until the block ends."""
    product.start()
    try:
        wait_until_ready(product)
        yield
    finally:
        product.loaded.close()
        _stop(product)
        shutil.rmtree(product.memory, ignore_errors=True)


def wait_until_ready(product: Product) -> None:
    """Return when every process of the server shows its title."""
    processes.wait_until(
        lambda: is_ready(product),
        seconds=START_SECONDS,
        what="the server's processes",
        pause=0.2,
    )


def is_ready(product: Product) -> bool:
    """Tell whether every process of the server shows its title."""
    wanted = ("web", "beat", "worker freeze", "worker tick", "worker work", "watchdog")
    shown = set(product.titles().values())
    return all(f"n2wbackup {role}" in shown for role in wanted)


def _stop(product: Product) -> None:
    assert product.process is not None
    product.process.send_signal(signal.SIGTERM)
    try:
        product.process.wait(45)
    except subprocess.TimeoutExpired:
        product.process.kill()
    for pid in product.titles():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
