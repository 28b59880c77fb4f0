"""Two servers on one PostgreSQL, one broker and one AWS; the second runs on a machine of its own."""

import contextlib
import json
import secrets
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from tests.ground import postgresql, processes, redis
from tests.system import product as products
from tests.system.product import OWNER, Product
from tests.system.servers import machine as machines

VOLUMES = 2  # of each instance
MAX_FREEZE_SECONDS = 40
SETTINGS: Mapping[str, Any] = {
    "max_freeze_seconds": MAX_FREEZE_SECONDS,
    "scripts": {"timeout_seconds": {"before": 20, "after": 15, "complete": 15}},
    "retries": {"count": 0},
}
# Leaves a line for each start and end. What before freezes and after thaws is a file of the policy.
SCRIPT = """#!/bin/bash
mark() {{ echo "$N2W_RUN_ID $N2W_PHASE $1 ${{argument:--}} $EPOCHREALTIME" >> {marks}/$N2W_POLICY; }}
argument="${{1:-}}"
mark start
{body}
mark end
"""
# All runs at once, as a schedule does it: one row and one hint each.
DUE = """
from n2wbackup.lib import clock
from policies.domain.runs.trigger import Trigger
from policies.models import Policy
from policies.services import runs
at = clock.now()
for policy in Policy.objects.order_by("pk"):
    runs.start(policy=policy, trigger=Trigger.SCHEDULE, scheduled_for=at)
"""
FORGET = """
from policies.models import Alarm, Policy, Run
Policy.objects.update(may_be_frozen_since=None)
Alarm.objects.all().delete()
Run.objects.all().delete()
"""
CANCEL = """
from policies.models import Run
from policies.services import runs
for run in Run.objects.filter(state="waiting", targets__state="unknown").distinct():
    runs.cancel(run, by="the test")
"""


@dataclass
class Pair:
    """The two servers, and what their scripts leave in memory."""

    servers: tuple[Product, Product]
    machine: machines.Machine  # of the second
    memory: Path
    names: list[str]
    known: set[str] = field(default_factory=set)  # snapshots of runs that were forgotten

    @property
    def marks(self) -> Path:
        return self.memory / "marks"

    @property
    def frozen(self) -> Path:
        """The folder with a file for each application that is frozen."""
        return self.memory / "frozen"

    @property
    def aws(self) -> SimulatedAws:
        return self.servers[0].aws

    @property
    def scripts(self) -> Path:
        return Path(self.servers[0].more["N2W_SCRIPTS_ROOT"]) / OWNER

    def furnish(self, seconds: float) -> None:
        """Enter the policies, each with an instance of its own, and install their scripts."""
        self.scripts.mkdir(parents=True, exist_ok=True)
        one = self.servers[0]
        users = [{"name": OWNER, "email": "a@example.org", "password_env": "ALICE_PASSWORD"}]
        accounts = [{"owner": OWNER, "name": "lab", "region": "us-east-1", **one.account}]
        policies = [self._policy(name, seconds) for name in self.names]
        path = self.memory / "policies.yaml"
        path.write_text(json.dumps({"users": users, "accounts": accounts, "policies": policies}))
        one.succeed("apply", str(path))

    def _policy(self, name: str, seconds: float) -> dict[str, Any]:
        self._scripts(name, seconds)
        made = self.aws.add_instance(volumes=[VolumeSpec() for _ in range(VOLUMES)])
        targets = [{"instance": made.instance_id, "region": made.region}]
        return {"owner": OWNER, "name": name, "account": "lab", "targets": targets, **SETTINGS}

    def _scripts(self, name: str, seconds: float) -> None:
        frozen = self.frozen / name
        pause = f"sleep {seconds}"
        bodies = {"before": f": > {frozen}\n{pause}", "after": f"rm -f {frozen}", "complete": pause}
        for phase, body in bodies.items():
            path = self.scripts / f"{phase}_{name}.sh"
            path.write_text(SCRIPT.format(marks=self.marks, body=body))
            path.chmod(0o755)

    def all_due(self) -> None:
        """Make every policy due at this moment."""
        self.servers[0].succeed("shell", "-c", DUE)

    def scripts_last(self, seconds: float) -> None:
        """Install the scripts anew: before and complete take so long."""
        for name in self.names:
            self._scripts(name, seconds)

    def forget(self) -> None:
        """Forget what was done so far: rows, marks and snapshots."""
        self.servers[0].succeed("shell", "-c", FORGET)
        for path in self.marks.iterdir():
            path.unlink()
        self.known |= {one.snapshot_id for one in self.aws.snapshots()}

    def wait_for_marks(self, phase: str, *, seconds: float = 90) -> None:
        """Return when some script of this phase has started on some server."""
        processes.wait_until(
            lambda: any(f" {phase} start " in path.read_text() for path in self.marks.iterdir()),
            seconds=seconds,
            what=f"a {phase}",
        )

    def states(self) -> Counter[str]:
        """Return how many runs are in each state."""
        rows = self.servers[0].query("SELECT state FROM policies_run")
        return Counter(state for (state,) in rows)

    def of_other(self, *states: str) -> int:
        """Return how many runs of the second server are in one of these states."""
        marks = ", ".join("?" * len(states))
        sql = f"SELECT count(*) FROM policies_run WHERE server = ? AND state IN ({marks})"  # noqa: S608 - only marks
        return int(self.servers[0].query(sql, self.other_id, *states)[0][0])

    @property
    def other_id(self) -> str:
        return (self.servers[1].home / "server-id").read_text().strip()

    def is_other_gone(self) -> bool:
        """Tell whether the first server has noticed that the second is gone."""
        sql = "SELECT 1 FROM policies_server WHERE id = ? AND gone_at IS NOT NULL"
        return bool(self.servers[0].query(sql, self.other_id))

    def told(self) -> list[str]:
        """Return the titles of the alarms that something may be frozen."""
        rows = self.servers[0].query(
            "SELECT title FROM policies_alarm WHERE kind = 'may_be_frozen'"
        )
        return [title for (title,) in rows]

    def wait_for_ends(self, *, seconds: float) -> None:
        """Return when every run has ended and its tags are written, or the time is over: the judge says what is not."""
        open_runs = f"SELECT count(*) FROM policies_run WHERE tags_due OR state NOT IN {tuple(products.ENDS)}"  # noqa: S608 - constants
        with contextlib.suppress(TimeoutError):
            processes.wait_until(
                lambda: self.servers[0].query(open_runs)[0][0] == 0,
                seconds=seconds,
                what="the end of every run",
                pause=0.3,
            )

    def cut_short(self, *, seconds: float) -> None:
        """Cancel the runs that only wait to be sure that AWS made nothing: that takes five minutes."""
        looked_for = """
            SELECT count(*) FROM policies_run r WHERE r.ended_at IS NULL AND NOT (r.state = 'waiting' AND EXISTS (
                SELECT 1 FROM policies_runtarget t WHERE t.run_id = r.id AND t.state = 'unknown'))
        """
        processes.wait_until(
            lambda: self.servers[0].query(looked_for)[0][0] == 0,
            seconds=seconds,
            what=f"the end of every run or its wait for AWS; {self.states()}",
            pause=0.3,
        )
        self.servers[0].succeed("shell", "-c", CANCEL)

    # The second machine

    def start_other(self) -> None:
        """Start the second server on its machine; ready on return."""
        other = self.servers[1]
        other.start(*self.machine.within)
        products.wait_until_ready(other)

    def crash_other(self) -> None:
        """Take the power from the second machine: its processes and its memory are gone."""
        other = self.servers[1]
        assert other.process is not None
        machines.tell(machines.first_process(other.process.pid), signal.SIGKILL)
        other.process.wait(60)
        shutil.rmtree(other.memory, ignore_errors=True)

    def stop_other(self) -> None:
        """End the second server in order, if it lives."""
        other = self.servers[1]
        if other.process is None or other.process.poll() is not None:
            return
        machines.tell(machines.first_process(other.process.pid), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.process.wait(60)
        if other.process.poll() is None:
            self.crash_other()


@contextlib.contextmanager
def made(
    count: int, *, seconds: float = 0.3, more: Mapping[str, str] | None = None
) -> Iterator[Pair]:
    """Serve so many policies by two servers; scripts take these `seconds`. Everything ends with the block."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(processes.folder())
        memory = stack.enter_context(processes.folder("n2wbackup-pair-", Path("/dev/shm")))
        cluster = stack.enter_context(postgresql.running())
        place = stack.enter_context(processes.folder())
        broker = stack.enter_context(
            redis.running("valkey", place, data=place / "data", persistence="rdb")
        )
        aws = stack.enter_context(
            SimulatedAws(memory / "aws", pending_seconds=1, per_volume_interval_seconds=0)
        )
        same = {
            "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0",
            "N2W_SCRIPTS_ROOT": str(disk / "scripts"),
            "N2W_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "SECRET_KEY": secrets.token_hex(32),
            **(more or {}),
        }
        one, other = (
            Product(
                disk / name,
                aws,
                processes.free_port(),
                memory / name / "marks",
                cluster.url(),
                more=dict(same),
            )
            for name in ("one", "other")
        )
        ports = (cluster.port, broker.port, int(aws.endpoint_url.rpartition(":")[2]))
        machine = stack.enter_context(machines.made(ports))
        names = [f"p{number:03}" for number in range(count)]
        pair = Pair((one, other), machine, memory, names)
        for folder in (pair.marks, pair.frozen, memory / "one", memory / "other"):
            folder.mkdir()
        pair.servers[0].succeed("migrate", "--verbosity", "0")
        pair.furnish(seconds)
        stack.enter_context(products.started(one))
        stack.callback(pair.stop_other)
        pair.start_other()
        yield pair
