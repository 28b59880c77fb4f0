"""A changed host key stops a run before anything is frozen, with an alarm; a silent host stops nothing."""

from collections.abc import Callable, Collection

import pytest

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.models import Alarm
from policies.services.entry import policies
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.hosts import asking, keypairs
from scripts_admin.hosts.asking import Answer, NotAskedError
from scripts_admin.models import HostState, SshHost
from scripts_admin.services import host_checks
from tests.policies.services.backup import Backup

OLD, NEW = keypairs.make().public, keypairs.make().public
Net = dict[str, PublicKey]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """Which key each host shows; what is not here is silent."""
    shown: Net = {}

    def ask(name: str, _port: int, _seconds: float, kinds: Collection[str], **_: object) -> Answer:
        assert kinds
        if name not in shown:
            raise NotAskedError("silent")
        return Answer(shown[name], "10.0.0.7")

    monkeypatch.setattr(asking, "ask", ask)
    return shown


def approved(backup: Backup, **more: object) -> SshHost:
    return SshHost.objects.create(
        folder=backup.policy.folder,
        name="db1",
        state=HostState.APPROVED,
        key=str(OLD),
        added_at=clock.now(),
        **more,
    )


def alarms() -> list[Alarm]:
    return list(Alarm.objects.filter(kind=AlarmKind.HOST_KEY).order_by("pk"))


def test_a_changed_key_stops_the_run_before_anything_is_frozen(backup: Backup, net: Net) -> None:
    backup.scripts()
    host = approved(backup)
    net["db1"] = NEW

    run = backup.window()

    assert "before" not in backup.marks
    assert backup.calls("fire") == []
    assert "The host key of db1 has changed" in run.reason
    assert NEW.fingerprint in run.reason
    host.refresh_from_db()
    assert (host.state, host.key, host.seen) == (HostState.CHANGED, str(OLD), str(NEW))
    (alarm,) = alarms()
    assert alarm.title == "alice/policy1: the SSH host key has CHANGED: db1"
    assert backup.complete(run).state == State.FAILED


def test_the_same_changed_key_is_told_at_once_only_the_first_time(backup: Backup, net: Net) -> None:
    backup.scripts()
    approved(backup)
    net["db1"] = NEW
    backup.to_end()
    Alarm.objects.update(spread_at=clock.now())
    backup.to_end()

    first, second = alarms()
    assert first.not_before <= first.created_at
    assert second.not_before > second.created_at

    net["db1"] = keypairs.make().public
    backup.to_end()
    assert alarms()[-1].not_before <= alarms()[-1].created_at


def test_the_approved_key_again_ends_the_alarm(backup: Backup, net: Net) -> None:
    backup.scripts()
    host = approved(backup)
    net["db1"] = NEW
    backup.to_end()
    net["db1"] = OLD

    assert backup.to_end().state == State.SUCCEEDED

    host.refresh_from_db()
    assert (host.state, host.problem) == (HostState.APPROVED, "")


def test_a_host_that_does_not_answer_stops_nothing_and_is_noted(backup: Backup, net: Net) -> None:
    backup.scripts()
    approved(backup)

    run = backup.to_end()

    assert run.state == State.SUCCEEDED
    told = run.events.filter(text__contains="db1 did not show an SSH host key").count()
    assert (told, alarms()) == (1, [])


def test_a_host_that_hangs_is_waited_for_only_so_long(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    approved(backup)
    monkeypatch.setattr(host_checks, "SECONDS", 0.0)

    assert backup.to_end().state == State.SUCCEEDED


def _of_another_policy(_: Backup) -> dict[str, object]:
    return {"policies": ["another"]}


def _another_instance(_: Backup) -> dict[str, object]:
    return {"instance_id": "i-0123456789abcdef0"}


def _of_this_policy(backup: Backup) -> dict[str, object]:
    return {"policies": ["another", backup.policy.name], "instance_id": "i-0123456789abcdef0"}


def _this_instance(backup: Backup) -> dict[str, object]:
    return {"instance_id": backup.instance.instance_id}


@pytest.mark.parametrize(
    ("tied", "is_needed"),
    [
        (_of_another_policy, False),
        (_another_instance, False),
        (_of_this_policy, True),
        (_this_instance, True),
    ],
)
def test_only_hosts_that_the_policy_needs_are_asked(
    backup: Backup, net: Net, tied: Callable[[Backup], dict[str, object]], is_needed: bool
) -> None:
    backup.scripts()
    approved(backup, **tied(backup))
    net["db1"] = NEW

    assert backup.to_end().state == (State.FAILED if is_needed else State.SUCCEEDED)


def test_without_a_script_no_host_is_asked(backup: Backup, net: Net) -> None:
    approved(backup)
    net["db1"] = NEW

    assert backup.to_end().state == State.SUCCEEDED


def test_the_hosts_of_a_policy_follow_its_new_name(backup: Backup) -> None:
    host = approved(backup, policies=[backup.policy.name])
    backup.policy.name = "renamed"

    policies.save(backup.policy)

    host.refresh_from_db()
    assert host.policies == ["renamed"]
