"""Ten instances of one policy, each trouble once: nobody's trouble is another one's, and who freezes is thawed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.models import Alarm, PhaseResult, Run
from scripts_admin.domain.remote import Remote
from scripts_admin.hosts import keypairs
from scripts_admin.models import HostState, SshHost
from tests.ground import processes, sshd
from tests.ground.leeway import LEEWAY
from tests.policies.services.backup import Backup, story
from tests.policies.services.distance import reached, watched

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached"]

BEFORE_SECONDS = 6  # enough for those that are well, also on a machine that has much to do
WELL = 6
NOTE = 'echo "$N2W_INSTANCE_ID {phase} ${{1:--}} $EPOCHREALTIME" >>{marks}'
BODIES = {"failing": "exit 3", "hanging": "sleep 600"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """Serve at a second port, too: as another host, whose key was another one when it was approved."""
    with sshd.running(tmp_path_factory.mktemp("sshd"), also={"changed": ["PermitTTY no"]}) as found:
        yield found


@dataclass(frozen=True)
class Note:
    phase: str
    argument: str
    at: float


@dataclass
class Ten:
    """The instances by the trouble that they have; the well ones are `well`."""

    backup: Backup
    by_trouble: dict[str, list[str]]

    def notes(self, instance: str) -> list[Note]:
        found = []
        for line in (self.backup.folder / "marks").read_text().splitlines():
            name, phase, argument, at = line.split()
            if name == instance:
                found.append(Note(phase, argument, float(at)))
        return found

    def ran(self, instance: str) -> list[str]:
        return [f"{note.phase} {note.argument}" for note in self.notes(instance)]

    def window(self, instance: str) -> float:
        """Return the seconds from the start of before to the start of the first after."""
        before, after, *_ = self.notes(instance)
        return after.at - before.at

    def each(self, *troubles: str) -> list[str]:
        return [name for trouble in troubles for name in self.by_trouble[trouble]]


@pytest.fixture
def ten(reached: Backup, server: sshd.Sshd) -> Ten:
    folder, marks = reached.policy.folder, reached.folder / "marks"
    (reached.folder / f"before_{reached.policy.name}@all.sh").unlink()
    reached.policy.before_timeout_seconds = BEFORE_SECONDS
    reached.policy.save()
    ports = {"changed": server.ports["changed"], "offline": processes.free_port()}
    for port in ports.values():
        key = str(keypairs.make().public)
        approved = {"state": HostState.APPROVED, "key": key, "added_at": clock.now()}
        SshHost.objects.create(folder=folder, name="127.0.0.1", port=port, **approved)
    for _ in range(9):
        reached.add_instance(volumes=1)
    troubles = ["well"] * WELL + ["failing", "hanging", "changed", "offline"]
    found: dict[str, list[str]] = {}
    for trouble, row in zip(troubles, reached.policy.targets.order_by("pk"), strict=True):
        port = ports.get(trouble, server.port)
        way = Remote("ssh", user=server.user, key="stored", host="127.0.0.1", port=port)
        row.remote = way.filled()
        row.save()
        found.setdefault(trouble, []).append(row.instance_id)
        body = BODIES.get(trouble, "")
        _write(reached.folder / f"before_{reached.policy.name}@{row.instance_id}.sh", marks, body)
    _write(reached.folder / f"after_{reached.policy.name}@all.sh", marks, "")
    return Ten(reached, found)


def _write(path: Path, marks: Path, body: str) -> None:
    phase = path.name.partition("_")[0]
    path.write_text(f"#!/bin/bash\n{NOTE.format(phase=phase, marks=marks)}\n{body}\n")


def of(run: Run, instance: str) -> dict[str, tuple[str, str]]:
    """Return the outcome and the argument of each phase's first attempt on an instance."""
    rows = PhaseResult.remote.filter(run=run, target__instance_id=instance, attempt=1)
    return {row.phase: (row.outcome, row.argument) for row in rows}


def ended(ten: Ten) -> Run:
    """Take a run to its end; the second after of the one that hung comes behind the window."""
    run = watched(ten.backup.window())
    ten.backup.cloud.advance()
    return ten.backup.complete(ten.backup.settle(run))


def test_ten_instances_with_each_trouble_once(ten: Ten) -> None:
    run = ended(ten)

    assert (run.state, run.consistency) == (State.PARTIAL, "crash"), story(run)
    worth = dict(run.targets.values_list("instance_id", "consistency"))
    for name in ten.each("well"):
        assert ten.ran(name) == ["before -", "after 1"]
        assert of(run, name) == {"before": ("succeeded", ""), "after": ("succeeded", "1")}
        assert worth[name] == "application"
    assert [ten.ran(name) for name in ten.each("failing")] == [["before -", "after 0"]]
    # What was ended may have left something behind that freezes late: after runs once more.
    assert [ten.ran(n) for n in ten.each("hanging")] == [["before -", "after 0", "after 0"]]
    assert {of(run, name)["before"][0] for name in ten.each("hanging")} == {"timed_out"}
    for name in ten.each("changed", "offline"):
        assert ten.ran(name) == []
        assert of(run, name) == {"before": ("crashed", ""), "after": ("not_run", "")}
    assert {worth[n] for n in ten.each("failing", "hanging", "changed", "offline")} == {"crash"}
    assert Alarm.objects.filter(kind=AlarmKind.HOST_KEY).count() == 1
    # One that hangs keeps the others frozen only for its timeout; who cannot be reached is known before the window.
    assert max(map(ten.window, ten.each("well", "failing"))) < LEEWAY * BEFORE_SECONDS
