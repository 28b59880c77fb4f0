"""A run whose scripts run on its instances: over a real sshd, through real carriers and guards."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from policies.adapters import session
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.models import Alarm, PhaseResult, Run
from policies.services.window import scripts
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.hosts import keypairs
from scripts_admin.models import HostState, SshHost, SshKey
from tests.ground import sshd
from tests.policies.services.backup import Backup, outcomes, story, target
from tests.policies.services.distance import reached, server, there, watched

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def rows(run: Run) -> dict[str, str]:
    found = PhaseResult.remote.filter(run=run, attempt=1)
    return dict(found.values_list("phase", "outcome"))


def test_a_run_over_ssh_is_application_consistent(reached: Backup) -> None:
    run = reached.to_end()

    assert reached.marks == ["before there", "after there 1"]
    reached.policy.refresh_from_db()
    assert (run.state, run.consistency, run.thaw_by) == (
        State.SUCCEEDED,
        "application",
        "worker",
    ), (
        run.reason,
        story(run),
    )
    assert rows(run) == {"before": "succeeded", "after": "succeeded"}
    row = target(run)
    assert (row.thaw_by, row.consistency) == ("worker", "application")
    assert row.thaw_began_at is not None
    assert row.thawed_at is not None
    assert run.hold_seconds is not None
    assert run.freeze_seconds is not None
    # A before on instances is none that the server could have lost.
    found = scripts.resolve(reached.start(), reached.policy)
    assert found.not_run[Phase.BEFORE] == Outcome.MISSING
    printed = reached.report(run)["targets"][0]["phases"]
    assert printed["before"]["stdout"] == "held\n"
    assert printed["after"]["stdout"] == "released\n"
    assert printed["after"]["argument"] == "1"


def test_the_servers_scripts_stand_around_those_on_the_instance(reached: Backup) -> None:
    reached.scripts()

    run = reached.to_end()

    assert reached.marks == [
        "before",
        "before there",
        "after there 1",
        "after 1",
        "complete 1",
    ], story(run)
    assert (run.state, run.consistency) == (State.SUCCEEDED, "application"), run.reason


def test_a_before_that_fails_there_is_said_and_gives_0_everywhere(reached: Backup) -> None:
    reached.scripts()
    there(reached, before="exit 3")

    run = reached.to_end()

    assert reached.marks == ["before", "before there", "after there 0", "after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "before failed on i-" in run.reason
    assert rows(run)["before"] == "failed"


def test_an_instance_that_cannot_be_reached_is_backed_up_without_its_scripts(
    reached: Backup,
) -> None:
    reached.scripts()
    SshHost.objects.update(key="", state=HostState.SEEN)

    run = reached.to_end()

    assert reached.marks == ["before", "after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "Nobody has approved the host key" in run.reason
    assert rows(run) == {"before": "crashed", "after": "not_run"}
    assert outcomes(run)["before"] == "succeeded"


def test_an_instance_that_shows_another_host_key_freezes_nothing_and_alarms(
    reached: Backup, server: sshd.Sshd
) -> None:
    reached.scripts()
    other = str(keypairs.make().public)
    SshHost.objects.update(key=other)

    run = reached.to_end()

    assert reached.marks == ["before", "after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "has changed: it shows" in run.reason
    host = SshHost.objects.get()
    assert (host.state, host.key, host.seen) == (HostState.CHANGED, other, server.host_key)
    assert Alarm.objects.filter(kind=AlarmKind.HOST_KEY).count() == 1


def test_a_run_logs_in_with_a_key_that_instance_connect_hands_over(
    reached: Backup, server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[str] = []

    class Connect:
        def hand_over(self, region: str, instance_id: str, user: str, key: str, zone: str) -> None:
            server.let_in(key)
            handed.append(f"{instance_id} {user}")

    monkeypatch.setattr(session, "instance_connect", lambda _credentials: Connect())
    SshKey.objects.all().delete()
    SshHost.objects.update(state=HostState.CHANGED)  # it showed another key for a while
    row = reached.policy.targets.get()
    row.remote = replace(row.remote, key="instance-connect")
    row.save()

    run = reached.to_end()

    assert (run.state, run.consistency) == (State.SUCCEEDED, "application"), run.reason
    assert SshHost.objects.get().state == HostState.APPROVED
    assert handed == [f"{row.instance_id} {server.user}"]


def test_another_host_key_at_one_instance_leaves_the_other_its_scripts(
    reached: Backup, server: sshd.Sshd, tmp_path: Path
) -> None:
    reached.scripts()
    row = reached.policy.targets.get()
    with sshd.running(tmp_path / "other") as other:
        second = reached.add_instance()
        added = reached.policy.targets.get(instance_id=second.instance_id)
        added.remote = replace(row.remote, port=other.port)
        added.save()
        known = SshHost.objects.get()
        known.pk, known.port = uuid.uuid4(), other.port  # the key of the first is another one here
        known.save(force_insert=True)

        run = reached.to_end()

    assert reached.marks == ["before", "before there", "after there 1", "after 0", "complete 0"]
    found = {each.instance_id: each.consistency for each in run.targets.all()}
    assert found == {row.instance_id: "application", second.instance_id: "crash"}
    assert (run.state, run.thaw_by) == (State.PARTIAL, "worker"), run.reason


def test_an_instance_that_is_lost_before_its_turn_is_not_let_go_and_named(
    reached: Backup,
) -> None:
    reached.scripts(
        before='kill -KILL $(pgrep -f "^n2wbackup carrier $N2W_RUN_ID"); '
        'while pgrep -f "^n2wbackup carrier $N2W_RUN_ID"; do sleep 0.02; done'
    )

    run = watched(reached.window())
    reached.cloud.advance()
    run = reached.complete(reached.settle(run))

    assert reached.marks == ["before", "after 0", "complete 0"], story(run)
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert f"before not_run on {target(run)}: " in run.reason
    assert rows(run) == {"before": "not_run", "after": "not_run"}
