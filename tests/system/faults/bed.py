"""A server to strike at: its gates, its processes, and a look into its rows and memory."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tests.ground import components, processes
from tests.ground.network import Network
from tests.ground.sshd import Sshd
from tests.system import product as products
from tests.system.faults.outside import Outside
from tests.system.faults.texts import GATE, LOOK, WHO
from tests.system.product import POLICY as POLICY_NAME
from tests.system.product import Product

# A moment that is not reached within this is a failure of the bed, not of the server.
REACH_SECONDS = 60.0
END_SECONDS = 120.0
PENDING_SECONDS = 1.0
# Enough for a busy machine to come to the moment before the deadline does.
POLICY: Mapping[str, Any] = {
    "max_freeze_seconds": 60,
    "scripts": {"timeout_seconds": {"before": 20, "after": 60, "complete": 60}},
}
WORKERS = "n2wbackup worker"
PARENT = "n2wbackup workers "
GUARD = "n2wbackup guard"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass
class Bed:
    """One server, used for one run after the other. `since` is when the clock of the thaw began."""

    product: Product
    gates: Path
    database: Outside | None = None
    broker: Outside | None = None
    mount: Path | None = None  # a disk; with an instance, that one's, and its scripts lie on it
    clock: Path | None = None  # what the server's false clock reads its offset from
    policy: Mapping[str, Any] = field(default_factory=lambda: dict(POLICY))
    stopped: set[int] = field(default_factory=set)  # by the fault
    held: set[int] = field(default_factory=set)  # by the moment
    others: set[int] = field(default_factory=set)  # programs beside the server's own
    sshd: Sshd | None = None  # where before and after run, instead of on the server
    managed: str = ""  # the instance where they run, if SSM reaches it
    network: Network | None = None  # between the server and there; all of both is in it
    always: Mapping[str, Any] = field(default_factory=dict)  # of the policy, for each fault
    helpers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    since: float = 0.0
    point: str = ""  # a run whose snapshots are there to be restored from, or proven

    def clean(self) -> None:
        """Make the bed for the next run."""
        for path in (self.product.marks_file, *self.gates.iterdir()):
            path.unlink(missing_ok=True)
        self.resume()
        self.helpers.close()
        if self.network:
            self.network.heal()
        self.product.aws.clear_faults()
        self.product.aws.configure(pending_seconds=PENDING_SECONDS)
        self.product.aws.forget_calls()
        self.scripts()
        self.apply()

    def apply(self, **changes: Any) -> None:
        """Change the policy for this run; the other settings are as in POLICY."""
        wanted = {**POLICY, **self.always, **changes}
        if wanted != self.policy:
            self.product.apply([self.product.instance], **wanted)
            self.policy = wanted

    def scripts(self, **bodies: str) -> None:
        """Install the three scripts; a body stands before the phase's gate.

        What before freezes and after thaws is a file: there while the application is frozen.
        """
        shutil.rmtree(self.product.folder, ignore_errors=True)
        self.product.folder.mkdir(parents=True)
        gate = GATE.format(gates=self.gates)
        who, look = WHO.format(gates=self.gates), LOOK.format(gates=self.gates)
        around = {
            "before": (f"{who}\ntouch {self.frozen}", ""),
            "after": (look, f"rm -f {self.frozen}"),
        }
        lines = {}
        for phase in ("before", "after", "complete"):
            first, last = around.get(phase, ("", ""))
            lines[phase] = "\n".join([first, bodies.get(phase, ""), gate, last])
        self.product.scripts(**lines)
        for phase in ("before", "after") if self.is_far else ():
            script = self.product.folder / f"{phase}_{POLICY_NAME}.sh"
            carried = script.with_name(f"{phase}_{POLICY_NAME}@all.sh")
            shutil.move(script, self.mount / phase if self.mount else carried)
        if self.is_far:
            self._hold_here()

    def _hold_here(self) -> None:
        """Let a before of the server's own stand in front: at its gate, the instance is armed and not let go."""
        path = self.product.folder / f"before_{POLICY_NAME}.sh"
        gate = self.gates / "armed"
        text = f"touch {gate}.reached; while [[ -e {gate} ]]; do sleep 0.02; done"
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    @property
    def frozen(self) -> Path:
        """The file that is there while the application is frozen."""
        return self.gates / "frozen"

    @property
    def overlap(self) -> Path:
        """The file that is there when an after has begun while before itself still acted."""
        return self.gates / "overlap"

    # The instance

    @property
    def is_far(self) -> bool:
        """Tell whether before and after run on an instance."""
        return bool(self.sshd or self.managed)

    def cut(self, *, towards: bool = True, back: bool = True) -> None:
        """Cut the connection to the instance; the time to the thaw begins here."""
        if self.network is None:
            components.needs_root("a network of its own")
        assert self.network is not None
        assert self.sshd is not None
        self.network.cut(self.sshd.port, towards=towards, back=back)
        self.since = time.time()

    def heal(self) -> None:
        """Let everything through again."""
        assert self.network is not None
        self.network.heal()

    def there(self, run: str) -> list[int]:
        """Return the live scripts of a run on the instance, those at their gates too."""
        mark = b"N2W_REMOTE="
        return [pid for pid in self.of_run(run) if mark in _read(f"/proc/{pid}/environ")]

    def far_sides(self) -> list[int]:
        """Return what sshd has started for sessions, and lives."""
        below = processes.descendants(self.sshd.process.pid) if self.sshd else []
        mark = b'eval "$(head -c'
        return [
            p
            for p in below
            if mark in _read(f"/proc/{p}/cmdline") and not _is_zombie(Path(f"/proc/{p}"))
        ]

    def place_there(self, run: str) -> Path:
        """Return the run's folder on the instance."""
        record = json.loads((self.product.home / "spool" / run / "record.json").read_text())
        return Path(record["instances"][0]["folder"])

    def heard(self, run: str) -> str:
        """Return what second sessions have heard, and why they heard nothing."""
        return _read(self.memory(run) / "visits").decode()

    # Gates and processes

    def close(self, phase: str) -> None:
        """Let the phase's script wait at its gate."""
        (self.gates / phase).touch()

    def open(self, phase: str) -> None:
        """Let it go on."""
        (self.gates / phase).unlink(missing_ok=True)

    def pids(self, *titles: str) -> list[int]:
        """Return the processes with one of these titles."""
        own = [pid for title in titles for pid in self.product.pids(title)]
        return own + [pid for pid in self.others if self.shows(pid).startswith(titles)]

    def forkservers(self) -> list[int]:
        """Return the parents of the guards."""
        assert self.product.process is not None
        found = processes.descendants(self.product.process.pid)
        return [pid for pid in found if b"forkserver" in _read(f"/proc/{pid}/cmdline")]

    def send(self, pids: list[int], number: signal.Signals) -> None:
        """Signal processes, and note when; parents of workers last.

        With them the workers' group loses its last link, and the kernel would wake those of it that are stopped.
        """
        parents = [pid for pid in pids if self.shows(pid).startswith(PARENT)]
        if number == signal.SIGKILL:
            for pid in parents:  # none starts a worker again meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        self.since = time.time()
        for pid in sorted(pids, key=parents.__contains__):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, *titles: str) -> None:
        """SIGKILL the processes with one of these titles; there must be some for each."""
        found = {title: self.pids(title) for title in titles}
        assert all(found.values()), (found, self.product.titles())
        self.send([pid for pids in found.values() for pid in pids], signal.SIGKILL)

    def stop(self, *titles: str) -> None:
        """SIGSTOP them until `resume`; on return, none of their threads runs."""
        self.stopped.update(self._stop(titles))

    def hold(self, *titles: str) -> None:
        """SIGSTOP them until `let_go`: what the fault stops meanwhile stays stopped then."""
        self.held.update(self._stop(titles))

    def _stop(self, titles: tuple[str, ...]) -> list[int]:
        pids = self.pids(*titles)
        assert pids, titles
        self.send(pids, signal.SIGSTOP)
        self.wait_until(lambda: all(map(_stands_still, pids)), f"{titles} stand still")
        return pids

    def let_go(self) -> None:
        """SIGCONT what the moment has stopped, and the fault has not."""
        self._wake(self.held - self.stopped)
        self.held.clear()

    def resume(self) -> None:
        """SIGCONT whatever was stopped and lives."""
        self._wake(self.held | self.stopped)
        self.held.clear()
        self.stopped.clear()

    @staticmethod
    def _wake(pids: set[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def of_run(self, run: str) -> list[int]:
        """Return the live scripts of a run, and the processes that they left behind."""
        wanted = f"N2W_RUN_ID={run}".encode()
        return [
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if wanted in _read(path / "environ").split(b"\0") and not _is_zombie(path)
        ]

    def crash(self, run: str) -> None:
        """End everything at once, as a machine that loses its power does, its memory included."""
        product = self.product
        assert product.process is not None
        # What is stopped goes first: the kernel wakes it when its parent dies.
        everyone = [
            *self.stopped,
            *self.held,
            product.process.pid,
            *product.titles(),
            *self.of_run(run),
        ]
        everyone += processes.descendants(product.process.pid)
        self.send(everyone, signal.SIGKILL)
        product.process.wait()
        processes.wait_until(
            lambda: not (self.of_run(run) or product.pids(GUARD)), seconds=60, what="all have gone"
        )
        self.stopped.clear()
        self.held.clear()
        shutil.rmtree(self.memory(run), ignore_errors=True)

    def restart(self) -> None:
        """Start the server again, as after a restart of the machine; the time to the thaw begins here."""
        shown = self.gates.with_name("boot-id")
        shown.write_text(f"{uuid4()}\n")
        shell = 'mount --bind "$0" "$1" && shift && exec "$@"'
        self.since = time.time()
        self.product.start("unshare", "--mount", "sh", "-c", shell, str(shown), BOOT_ID)

    def restart_when_free(self) -> None:
        """Start a second server as soon as the first one's remains are gone; ready on return."""
        until = time.monotonic() + products.START_SECONDS
        while not self._starts():
            assert time.monotonic() < until, self.product.log.read_text()[-2000:]

    def _starts(self) -> bool:
        """Start a server; tell whether it serves, or was refused."""
        self.product.start()
        started = self.product.process
        assert started is not None
        processes.wait_until(
            lambda: started.poll() is not None or products.is_ready(self.product),
            seconds=products.START_SECONDS,
            what="the second server",
            pause=0.2,
        )
        return started.poll() is None

    # Looking

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in the server's database, whichever it is."""
        return self.product.query(sql, *values)

    def state(self, run: str) -> str:
        """Return the run's state as the row has it."""
        return self.product.state(run)

    def thaw_by(self, run: str) -> str:
        """Return the row's `thaw_by`."""
        sql = "SELECT thaw_by FROM policies_run WHERE id = ?"
        return str(self.query(sql, UUID(run).hex)[0][0])

    def memory(self, run: str = "") -> Path:
        """Return the server's folder in memory, or a run's in it."""
        return self.product.memory / run

    def journal(self, run: str) -> str:
        """Return the guard's journal of a run."""
        return _read(self.memory(run) / "journal").decode()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return as soon as the condition holds."""
        processes.wait_until(condition, seconds=REACH_SECONDS, what=what)

    def wait_for_call(self, action: str, *outcomes: str, after: float = 0.0) -> None:
        """Return when the simulated AWS has a call of this action with one of these outcomes."""

        def came() -> bool:
            return any(
                c.outcome in outcomes and not c.dry_run and c.at.timestamp() >= after
                for c in self.product.aws.calls(action)
            )

        self.wait_until(came, f"{action} {outcomes}")

    def wait_for_state(self, run: str, *states: str) -> str:
        """Return the run's state once it is one of these."""
        until = time.monotonic() + END_SECONDS
        state = ""
        while time.monotonic() < until:
            with contextlib.suppress(sqlite3.OperationalError, psycopg.OperationalError):
                state = self.state(run)
                if state in states:
                    return state
            time.sleep(0.1)
        tail = self.product.log.read_text()[-3000:]
        raise TimeoutError(f"{run} is {state} and not {states}; {self.product.marks()}; {tail}")

    def minutes_pass(self, run: str) -> None:
        """Let six minutes pass in the rows, so that calls with a lost answer are decided."""
        sql = "UPDATE policies_run SET ordered_at = ? WHERE id = ?"
        self.query(sql, self._six_minutes_ago(), UUID(run).hex)

    def _six_minutes_ago(self) -> str:
        earlier = datetime.now(tz=UTC) - timedelta(minutes=6)
        if self.database:
            return earlier.isoformat(" ")
        return earlier.strftime("%Y-%m-%d %H:%M:%S.%f")

    def absences(self) -> int:
        """Return how many snapshots were not found by a poll."""
        sql = "SELECT count(*) FROM policies_runsnapshot WHERE absent_since IS NOT NULL"
        return int(self.query(sql)[0][0])

    def absences_age(self) -> None:
        """Let six minutes pass in the rows since snapshots were first missing."""
        sql = "UPDATE policies_runsnapshot SET absent_since = ? WHERE absent_since IS NOT NULL"
        self.query(sql, self._six_minutes_ago())

    def shows(self, pid: int) -> str:
        """Return the title of a process."""
        return _read(f"/proc/{pid}/cmdline").split(b"\0")[0].decode().rstrip()


def _read(path: str | Path) -> bytes:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes()
    return b""


def _is_zombie(process: Path) -> bool:
    return _condition(process) in {b"", b"Z", b"X"}


def _stands_still(pid: int) -> bool:
    return all(_condition(task) in {b"", b"T"} for task in Path(f"/proc/{pid}/task").glob("*"))


def _condition(process: Path) -> bytes:
    """Return the kernel's letter for what a process or thread does; empty when it is gone."""
    fields = _read(process / "stat").rpartition(b")")[2].split()
    return fields[0] if fields else b""
