"""What is soaked: a real server with many policies, each with its own instance, scripts and marks in memory."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import network as networks
from tests.ground import processes, sshd
from tests.ground import receivers as ground
from tests.ground.network import Network
from tests.ground.receivers import Webhook
from tests.ground.sshd import Sshd
from tests.system import product as products
from tests.system.product import OWNER, Product

POLICIES = 50
EVERY_REMOTE = 10  # each tenth policy's before and after run on an instance, over SSH
VOLUMES = 2  # of each instance
MAX_FREEZE_SECONDS = 40
SETTINGS = {
    "max_freeze_seconds": MAX_FREEZE_SECONDS,
    "scripts": {"timeout_seconds": {"before": 20, "after": 15, "complete": 15}},
}
# How long each script takes; each policy has its own. With sixteen windows at a time, somebody is frozen in
# half of each minute, and in the other half somebody waits or completes.
BEFORE, AFTER, COMPLETE = (1.0, 14.0), (0.0, 2.0), (0.0, 4.0)
PENDING_SECONDS = 8.0
GUARD = "n2wbackup guard"
OWN = {"N2W_ALARM_NETWORKS": "127.0.0.0/8", "N2W_SSH_NETWORKS": "127.0.0.0/8"}
# What before freezes and after thaws is a file of the run: there while the application is frozen.
SCRIPT = """#!/bin/bash
# Leaves a line for each start and end: run, phase, moment, argument, time, attempt, process.
argument="${{1:--}}"
mark() {{ echo "$N2W_RUN_ID $N2W_PHASE $1 $argument $EPOCHREALTIME $N2W_ATTEMPT $$" >> {marks}; }}
mark start
{first}
sleep {seconds:.2f}
{last}
mark end
"""
FROZEN = "$N2W_POLICY.$N2W_RUN_ID"


@dataclass(frozen=True, slots=True)
class Mark:
    """A line that a script left. `at`: UNIX seconds; `pid` tells attempts apart whose journal was lost."""

    phase: str
    moment: str
    argument: str
    at: float
    attempt: int
    pid: int


@dataclass
class Estate:
    """A server and its policies. `down`: when everything was dead, as UNIX seconds; open at the end: still is."""

    product: Product
    marks: Path
    frozen: Path
    hook: Webhook  # which the owner's alarms are sent to
    sshd: Sshd  # which stands for the instances of the remote policies
    network: Network  # in which all of it is, and nothing else
    down: list[tuple[float, float | None]] = field(default_factory=list)
    stopped: set[int] = field(default_factory=set)
    helpers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    # Furnishing

    def furnish(self, rng: Random) -> None:
        """Enter the policies, which follow no schedule yet, and install their scripts."""
        # AWS as it is: the server has to keep its rules.
        self.product.aws.configure(per_volume_interval_seconds=15, pending_seconds=PENDING_SECONDS)
        self.product.folder.mkdir(parents=True, exist_ok=True)
        self.sshd.let_in(self.product.succeed("add_key", OWNER).strip())
        words = ("--port", str(self.sshd.port), "--fingerprint", self.sshd.host_key)
        self.product.succeed("approve_host", OWNER, "127.0.0.1", *words)
        for name in self.names:
            self._scripts(name, rng)
        users = [{"name": OWNER, "alarm_urls_env": "HOOK"}]
        policies = [self._policy(name) for name in self.names]
        self._apply({"users": users, "policies": policies})

    @property
    def names(self) -> list[str]:
        """Return the names of the policies."""
        return [f"soak{number:02}" for number in range(POLICIES)]

    @property
    def remote(self) -> frozenset[str]:
        """Return the names of those whose before and after run on an instance."""
        return frozenset(self.names[::EVERY_REMOTE])

    def schedule(self, first: datetime, last: datetime) -> None:
        """Make every policy due each minute from the first to the last."""
        every = {
            "owner": OWNER,
            "name": "minutely",
            "every": {"minutes": 1},
            "starting": f"{first:%Y-%m-%dT%H:%M}",
            "ending": f"{last:%Y-%m-%dT%H:%M}",
            "timezone": "UTC",
        }
        follow = [{"owner": OWNER, "name": n, "schedules": ["minutely"]} for n in self.names]
        self._apply({"schedules": [every], "policies": follow})

    def _policy(self, name: str) -> dict[str, Any]:
        made = self.product.aws.add_instance(volumes=[VolumeSpec() for _ in range(VOLUMES)])
        target: dict[str, Any] = {"instance": made.instance_id, "region": made.region}
        if name in self.remote:
            way = {"by": "ssh", "user": self.sshd.user, "key": "stored", "host": "127.0.0.1"}
            target["remote"] = {**way, "port": self.sshd.port}
        targets = [target]
        return {"owner": OWNER, "name": name, "account": "lab", "targets": targets, **SETTINGS}

    def _apply(self, document: dict[str, Any]) -> None:
        path = self.marks.parent / "soak.yaml"
        path.write_text(json.dumps(document))
        self.product.succeed("apply", str(path))

    def _scripts(self, name: str, rng: Random) -> None:
        target = self.frozen / FROZEN
        bodies = {
            "before": (f": > {target}", "", BEFORE),
            "after": ("", f"rm -f {target}", AFTER),
            "complete": ("", "", COMPLETE),
        }
        for phase, (first, last, span) in bodies.items():
            is_there = name in self.remote and phase != "complete"
            path = self.product.folder / f"{phase}_{name}{'@all' if is_there else ''}.sh"
            marks, seconds = self.marks / name, rng.uniform(*span)
            path.write_text(SCRIPT.format(marks=marks, first=first, last=last, seconds=seconds))
            path.chmod(0o755)

    # Looking

    @property
    def database(self) -> Path:
        """The server's database."""
        return self.product.home / "db.sqlite3"

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in the server's database."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=60)) as lite, lite:
            return lite.execute(sql, values).fetchall()

    def read_marks(self) -> dict[str, list[Mark]]:
        """Return what the scripts left, by run, in the order of time."""
        found: dict[str, list[Mark]] = {}
        for path in self.marks.iterdir():
            for line in path.read_text().splitlines():
                run, phase, moment, argument, at, attempt, pid = line.split(" ")
                mark = Mark(phase, moment, argument, float(at), int(attempt), int(pid))
                found.setdefault(run, []).append(mark)
        for marks in found.values():
            marks.sort(key=lambda mark: mark.at)
        return found

    def supervised(self) -> list[int]:
        """Return the supervisor and all that descends from it; guards whose worker died do not."""
        supervisor = self.product.process
        if supervisor is None or supervisor.poll() is not None:
            return []
        return [supervisor.pid, *processes.descendants(supervisor.pid)]

    def guards(self) -> list[int]:
        """Return the guards of this server's runs, with any parent."""
        runs = {path.name for path in (self.product.home / "spool").glob("*")}
        shown = {pid: title(pid) for pid in pids()}
        return sorted(
            pid
            for pid, text in shown.items()
            if text.startswith(GUARD) and text.split()[-1] in runs
        )

    def scripts(self) -> list[int]:
        """Return the scripts that run, and what they started: all that works in the script folder."""
        found = []
        for pid in pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cwd").readlink() == self.product.folder and not is_dead(pid):
                    found.append(pid)
        return found

    def there(self) -> list[int]:
        """Return what runs on the instances for the server: far sides, and scripts at their gates or at work."""
        network = Path("/proc/thread-self/ns/net").readlink()
        found = []
        for pid in pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/ns/net").readlink() == network and _is_far(pid):
                    found.append(pid)
        return found

    def connections(self) -> list[int]:
        """Return what sshd has started for each connection."""
        below = processes.descendants(self.sshd.process.pid)
        return [pid for pid in below if title(pid).startswith("sshd")]

    def visit(self) -> str:
        """Ask the web whether the server is ready; return the status, or what went wrong."""
        try:
            url = f"http://127.0.0.1:{self.product.port}/health/ready"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            return str(error)

    def forkservers(self) -> list[int]:
        """Return the parents of the guards."""
        return [pid for pid in self.supervised() if "forkserver" in " ".join(words(pid))]

    @property
    def broker(self) -> Path:
        """The embedded broker's socket."""
        return self.product.memory / "broker.sock"

    # Acting

    def signal(self, found: list[int], number: signal.Signals) -> int:
        """Signal processes; return how many there were."""
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(found)

    def resume(self) -> None:
        """SIGCONT whatever was stopped and lives."""
        self.signal(list(self.stopped), signal.SIGCONT)
        self.stopped.clear()

    def crash(self) -> int:
        """End everything at once and forget the memory, as a machine without power does; return how many died."""
        started = self.product.process
        assert started is not None
        ended: set[int] = set()
        began = time.time()
        # Again until nothing is left: what lived a moment longer may have started something.
        while found := [*self.supervised(), *self.guards(), *self.scripts()]:
            ended.update(found)
            self.signal(found, signal.SIGKILL)
            time.sleep(0.02)
            started.poll()
        self.stopped.clear()
        shutil.rmtree(self.product.memory, ignore_errors=True)
        self.down.append((began, None))
        return len(ended)

    def restart(self) -> None:
        """Start the server as soon as the last one's remains allow it; ready on return."""
        until = time.monotonic() + products.START_SECONDS
        while not self._starts():
            assert time.monotonic() < until, self.product.log.read_text()[-2000:]

    def _starts(self) -> bool:
        """Start a server; tell whether it serves, or was refused."""
        self.product.start()
        if self.down and self.down[-1][1] is None:
            self.down[-1] = (self.down[-1][0], time.time())
        started = self.product.process
        assert started is not None
        processes.wait_until(
            lambda: started.poll() is not None or products.is_ready(self.product),
            seconds=products.START_SECONDS,
            what="the server's processes",
            pause=0.2,
        )
        return started.poll() is None

    def stop(self) -> None:
        """End the server in order."""
        started = self.product.process
        assert started is not None
        started.send_signal(signal.SIGTERM)
        started.wait(120)


def _is_far(pid: int) -> bool:
    of_session = b'eval "$(head -c' in Path(f"/proc/{pid}/cmdline").read_bytes()
    at_work = b"N2W_REMOTE=" in Path(f"/proc/{pid}/environ").read_bytes()
    return (of_session or at_work) and not is_dead(pid)


def pids() -> list[int]:
    """Return the processes of this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def words(pid: int) -> list[str]:
    """Return the command line of a process; nothing where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def title(pid: int) -> str:
    """Return what `ps` shows of a process."""
    return next(iter(words(pid)), "").rstrip()


def born(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; "" where it is gone or a zombie."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in {"Z", "X"} else fields[19]
    return ""


def is_dead(pid: int) -> bool:
    """Tell whether a process is gone; a zombie is."""
    return not born(pid)


def next_minute(ahead: float) -> datetime:
    """Return the first whole minute that is at least `ahead` seconds from now."""
    at = datetime.now(tz=UTC) + timedelta(seconds=ahead + 60)
    return at.replace(second=0, microsecond=0)


@contextlib.contextmanager
def made(rng: Random) -> Iterator[Estate]:
    """Serve the policies, which are not due yet; everything ends with the block."""
    with (
        networks.own() as network,
        ground.webhook() as hook,
        processes.folder() as disk,
        sshd.running(disk / "sshd") as server,
        processes.folder("n2wbackup-soak-", Path("/dev/shm")) as memory,
        products.serving(disk / "home", memory, more=OWN | {"HOOK": hook.json_url}) as product,
    ):
        estate = Estate(product, memory / "marks.d", memory / "frozen", hook, server, network)
        estate.marks.mkdir()
        estate.frozen.mkdir()
        estate.furnish(rng)
        try:
            yield estate
        finally:
            network.heal()
            estate.resume()
            estate.helpers.close()
