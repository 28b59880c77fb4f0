"""One backup to play on: Alice's policy, an account in memory, real scripts and real guards."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from n2wbackup.lib import home
from policies.adapters.memory import MemoryCloud, PortCall
from policies.api import as_json
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunSnapshot, RunTarget
from policies.ports import Instance
from policies.selectors import labels
from policies.services import runs
from policies.services.following import completing, polling
from policies.services.watch import abandoned
from policies.services.window import keeping
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import spool
from tests.factories import PolicyFactory, PolicyTargetFactory
from tests.scripts_admin.guard.stage import until


@dataclass
class Backup:
    """A policy with one instance of two volumes; what scripts leave behind lies in `folder`."""

    policy: Policy
    cloud: MemoryCloud
    instance: Instance
    folder: Path

    def script(self, phase: str, body: str) -> Path:
        """Write the phase's script."""
        path = self.folder / f"{phase}_{self.policy.name}.sh"
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
        return path

    def scripts(self, **bodies: str) -> None:
        """Write all three; each notes its phase and its argument, and does what is given for it."""
        for phase in Phase:
            self.script(phase, f'echo "{phase}${{1:+ $1}}" >> marks\n{bodies.get(phase, "")}')

    @property
    def marks(self) -> list[str]:
        """Return which scripts ran, with which argument."""
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def add_instance(self, volumes: int = 2) -> Instance:
        """Make another instance, and a target of the policy of it."""
        made = self.cloud.add_instance(volumes=volumes)
        PolicyTargetFactory.create(policy=self.policy, instance_id=made.instance_id)
        return made

    def others(self, number: int) -> "list[Backup]":
        """Return this and other policies of its owner, so many in all; each script leaves marks of its own."""
        self.scripts()
        found = [self]
        for each in range(1, number):
            policy = PolicyFactory.create(
                owner=self.policy.owner, account=self.policy.account, name=f"other{each}"
            )
            other = Backup(policy, self.cloud, self.cloud.add_instance(), self.folder)
            PolicyTargetFactory.create(policy=policy, instance_id=other.instance.instance_id)
            for phase in Phase:
                other.script(phase, f'echo "{policy.name} {phase}${{1:+ $1}}" >> marks')
            found.append(other)
        return found

    def start(
        self,
        trigger: Trigger = Trigger.MANUAL,
        *,
        scheduled_for: datetime | None = None,
        test_phase: str = "",
        test_argument: str = "",
    ) -> Run:
        """Queue a run."""
        return runs.start(
            policy=self.policy,
            trigger=trigger,
            scheduled_for=scheduled_for,
            test_phase=test_phase,
            test_argument=test_argument,
        )

    def window(self, run: Run | None = None) -> Run:
        """Take a run through its window, as a worker does; a new one where none is given."""
        run = run or self.start()
        keeping.execute(run.pk)
        run.refresh_from_db()
        return run

    def settle(self, run: Run) -> Run:
        """Poll, as the worker does."""
        polling.poll()
        run.refresh_from_db()
        return run

    def complete(self, run: Run) -> Run:
        """Run complete, as a worker does."""
        completing.execute(run.pk)
        run.refresh_from_db()
        return run

    def to_end(self, run: Run | None = None) -> Run:
        """Take a run from its window to its end; every pending snapshot is completed."""
        run = self.window(run)
        self.cloud.advance()
        self.settle(run)
        return self.complete(run)

    def spooled(self, run: Run) -> Path:
        """Return the run's folder in the spool."""
        return home.spool() / str(run.pk)

    def thaw(self, run: Run) -> Run:
        """Make the attempts that are due, as the watchdog does, and enter them."""
        thawer = abandoned.Thawer(home.spool(), home.runtime())
        thawer.turn()
        until(thawer.reap)
        until(lambda: not spool.is_held(self.spooled(run)))
        abandoned.enter_all()
        run.refresh_from_db()
        return run

    def calls(self, method: str) -> list[PortCall]:
        """Return what was asked of AWS."""
        return [call for call in self.cloud.calls if call.method == method]

    def report(self, run: Run) -> as_json.Json:
        """Return the run as JSON."""
        return as_json.run(labels.run(str(run.pk)))


def target(run: Run) -> RunTarget:
    """Return the run's only target."""
    return run.targets.get()


def snapshots_of(run: Run) -> list[RunSnapshot]:
    """Return the run's snapshots."""
    return list(RunSnapshot.objects.filter(target__run=run))


def story(run: Run) -> list[str]:
    """Return the run's history."""
    return [event.text for event in run.events.all()]


def outcomes(run: Run) -> dict[str, str]:
    """Return each phase's outcome, of its first attempt."""
    return {row.phase: row.outcome for row in run.phases.filter(attempt=1)}


def state(run: Run) -> State:
    """Return the run's state as the row has it now."""
    return State(Run.objects.get(pk=run.pk).state)


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and ". " not in text
