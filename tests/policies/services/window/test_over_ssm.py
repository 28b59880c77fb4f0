"""A run whose scripts reach its instances over SSM: real carriers, guards and wrappers, and agents as on AWS."""

from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from policies.models import PhaseResult, Run
from policies.services.window import keeping
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from tests.contract import aws_clients
from tests.ground import sshd
from tests.policies.services.backup import Backup, story, target
from tests.policies.services.distance import reached, server
from tests.policies.services.losses import dying, kill_guard_and_die
from tests.policies.services.over_ssm import agents, agents_process, manage, managed, scripts
from tests.policies.services.watch.test_visiting import watched
from tests.scripts_admin.guard.stage import until

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["agents", "agents_process", "managed", "reached", "server"]


def rows(run: Run) -> dict[str, str]:
    found = PhaseResult.remote.filter(run=run, attempt=1)
    return dict(found.values_list("phase", "outcome"))


def test_a_run_over_ssm_is_application_consistent(managed: Backup, agents: SimulatedAws) -> None:
    run = managed.to_end()

    row = target(run)
    name = row.instance_id
    assert managed.marks == [f"before on {name}", f"after on {name} 1"], story(run)
    assert (run.state, run.consistency, run.thaw_by) == (
        State.SUCCEEDED,
        "application",
        "worker",
    ), (run.reason, story(run))
    assert rows(run) == {"before": "succeeded", "after": "succeeded"}
    assert (row.thaw_by, row.consistency) == ("worker", "application")
    assert row.thaw_began_at is not None
    assert row.thawed_at is not None
    assert len(agents.calls("SendCommand")) == 2
    printed = managed.report(run)["targets"][0]["phases"]
    assert printed["before"]["stdout"] == "held\n"
    assert printed["after"]["stdout"] == "released\n"
    assert printed["after"]["argument"] == "1"
    assert printed["after"]["thaw_by"] == "worker"


def test_instances_with_the_same_scripts_share_a_command_and_each_gets_its_own_argument(
    managed: Backup, agents: SimulatedAws, tmp_path: Path
) -> None:
    fine = target_of(managed)
    failing = manage(managed, agents, managed.add_instance(), tmp_path / "second")
    scripts(managed, before=f"[ $N2W_INSTANCE_ID != {failing} ]")

    run = managed.to_end()

    assert len(agents.calls("SendCommand")) == 3  # A for both, B with 1 and B with 0
    assert sorted(managed.marks) == sorted(
        [
            f"before on {fine}",
            f"before on {failing}",
            f"after on {fine} 1",
            f"after on {failing} 0",
        ]
    )
    found = {each.instance_id: each.consistency for each in run.targets.all()}
    assert found == {fine: "application", failing: "crash"}
    assert run.state == State.PARTIAL
    assert f"before failed on {failing}" in run.reason


def test_ssh_and_ssm_in_two_regions_stand_in_one_window(
    reached: Backup, agents: SimulatedAws, server: sshd.Sshd, tmp_path: Path
) -> None:
    by_ssh = target_of(reached)
    here = manage(reached, agents, reached.add_instance(), tmp_path / "here")
    there = reached.cloud.add_instance("eu-west-1")
    row = reached.policy.targets.get(instance_id=here)
    row.pk, row.instance_id, row.region = None, there.instance_id, "eu-west-1"
    row.save(force_insert=True)
    far = manage(reached, agents, there, tmp_path / "there")
    scripts(reached)

    run = reached.to_end()

    names = {by_ssh, here, far}
    assert set(reached.marks[:3]) == {f"before on {each}" for each in names}, story(run)
    assert set(reached.marks[3:]) == {f"after on {each} 1" for each in names}
    assert {each.consistency for each in run.targets.all()} == {"application"}
    assert (run.state, run.consistency) == (State.SUCCEEDED, "application"), run.reason
    assert [each.region for each in agents.calls("SendCommand")].count("eu-west-1") == 2


def test_an_instance_that_ssm_does_not_reach_is_backed_up_without_its_scripts(
    managed: Backup, agents: SimulatedAws
) -> None:
    managed.scripts()
    agents.set_agent(target_of(managed), "lost")

    run = managed.to_end()

    assert managed.marks == ["before", "after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "its SSM agent is not online" in run.reason
    assert agents.calls("SendCommand") == []


def test_a_before_that_freezes_what_the_agent_writes_to_is_not_sent(
    managed: Backup, agents: SimulatedAws
) -> None:
    scripts(managed, before="fsfreeze -f /var")

    run = managed.to_end()

    assert managed.marks == []
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "freezes /var, where its agent keeps its files" in run.reason
    assert agents.calls("SendCommand") == []


def test_what_nobody_thawed_when_guard_and_worker_died_is_thawed_by_a_visit_from_the_spool_alone(
    managed: Backup, agents: SimulatedAws
) -> None:
    run = managed.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    name = target_of(managed)
    assert managed.marks == [f"before on {name}"]
    kept = (home.spool() / str(run.pk) / spool.VISITS).read_text()
    assert agents.environment["AWS_SECRET_ACCESS_KEY"] not in kept

    watched(run)

    assert managed.marks == [f"before on {name}", f"after on {name} 0"]
    found = target(run)
    assert (found.thaw_by, run.thaw_by) == ("orphan", "lost"), story(run)
    assert found.thawed_at is not None
    after = PhaseResult.remote.get(run=run, phase="after")
    assert (after.outcome, after.argument, after.thaw_by) == ("succeeded", "0", "orphan")
    assert managed.report(run)["targets"][0]["phases"]["after"]["stdout"] == "released\n"
    assert run.state == State.WAITING


def test_an_instance_whose_deadline_passes_in_the_window_is_never_application(
    managed: Backup, agents: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, thaw = target_of(managed), Guard.thaw

    def late(guard: Guard, seconds: float) -> object:
        agents.set_agent(name, "frozen")
        until(lambda: len(managed.marks) == 2)  # the instance thaws by itself
        agents.set_agent(name, "online")
        return thaw(guard, seconds)

    monkeypatch.setattr(Guard, "thaw", late)
    managed.policy.max_freeze_seconds, managed.policy.before_timeout_seconds = 20, 10
    managed.policy.save()

    run = managed.to_end()

    assert managed.marks == [f"before on {name}", f"after on {name} 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash"), run.reason
    assert target(run).thaw_by == "deadline"


def target_of(backup: Backup) -> str:
    return backup.policy.targets.get().instance_id


def test_an_a_that_somebody_cancels_is_given_up_and_its_before_is_ended_by_b(
    managed: Backup, agents: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = managed.folder / "begun"
    scripts(managed, before=f"touch {begun}; sleep 1000")
    managed.policy.before_timeout_seconds = 5  # so much later after runs once more
    managed.policy.save()
    name, opens = target_of(managed), Guard.go

    def cancelling(guard: Guard) -> None:
        opens(guard)
        until(begun.exists)
        client = aws_clients.ssm(agents, "us-east-1")
        until(lambda: client.list_command_invocations()["CommandInvocations"])
        (sent,) = client.list_command_invocations()["CommandInvocations"]
        client.cancel_command(CommandId=sent["CommandId"])

    monkeypatch.setattr(Guard, "go", cancelling)

    run = managed.window()
    watched(run)
    managed.cloud.advance()
    managed.settle(run)
    managed.complete(run)

    assert managed.marks[:2] == [f"before on {name}", f"after on {name} 0"], story(run)
    assert managed.marks[-1] == f"after on {name} 0"
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert rows(run)["before"] in {"interrupted", "timed_out"}
    assert target(run).thawed_at is not None


def test_an_instance_whose_agent_is_lost_in_the_window_is_asked_until_it_tells(
    managed: Backup, agents: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.policy.after_timeout_seconds = 1  # so long the guard waits beyond the delivery
    managed.policy.save()
    name, thaw = target_of(managed), Guard.thaw

    def losing(guard: Guard, seconds: float) -> object:
        agents.set_agent(name, "lost")
        return thaw(guard, seconds)

    monkeypatch.setattr(Guard, "thaw", losing)
    run = managed.window()
    assert (run.state, managed.marks) == (State.FROZEN, [f"before on {name}"])
    agents.set_agent(name, "online")

    watched(run)

    assert len(managed.marks) == 2
    found = target(run)
    assert found.thawed_at is not None
    assert managed.marks[1].startswith(f"after on {name}")
    assert (found.thaw_by == "worker") == managed.marks[1].endswith("1")
