"""Drills of instances that SSM reaches: the command that thaws is never sent, and the deadline is what thaws."""

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.domain.alarms.messages import AlarmKind
from policies.domain.trials import Kind, Verdict
from policies.models import Alarm, Run, TrialResult
from policies.services.trials import asking, working
from scripts_admin.runners import drilling_over_ssm
from tests.policies.services.backup import Backup
from tests.policies.services.over_ssm import agents, agents_process, managed

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["agents", "agents_process", "managed"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling_over_ssm, "DEADLINE_SECONDS", 0.5)


def drilled(backup: Backup) -> TrialResult:
    trial = asking.ask(backup.policy, Kind.DRILL, by="bob")
    working.execute(trial.pk)
    return trial.results.get()


def test_an_instance_that_nobody_thaws_does_it_at_its_deadline(
    managed: Backup, agents: SimulatedAws
) -> None:
    result = drilled(managed)

    assert (result.verdict, result.thaw_by) == (Verdict.PASSED, "deadline"), result.sentence
    assert "over deadline" in result.sentence
    assert managed.marks == []
    assert not Run.objects.exists()
    assert len(agents.calls("SendCommand")) == 2  # what arms, and what asks


def test_an_agent_that_is_not_online_proves_nothing_and_an_alarm_tells(
    managed: Backup, agents: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drilling_over_ssm, "STARTS_SECONDS", 1.0)
    agents.set_agent(managed.policy.targets.get().instance_id, "lost")

    result = drilled(managed)

    assert (result.verdict, result.thaw_by) == (Verdict.FAILED, "")
    assert "armed" in result.sentence
    assert Alarm.objects.get().kind == AlarmKind.DRILL
