"""A queued run is read once, and taken only as it was read."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from n2wbackup.lib import clock, encrypted
from policies.domain.runs.sequence import State
from policies.models import (
    AlarmReceivers,
    FirePermits,
    Policy,
    Run,
    RunTarget,
    Server,
    WindowLease,
)
from policies.services import claiming, runs
from scripts_admin.models import FormerFolder, SshHost, SshKey
from tests.factories import SECRET_ACCESS_KEY, RunFactory, UserFactory
from tests.ground import costs
from tests.policies.services.backup import Backup, story


def taken_and_lost(run: Run) -> None:
    """Another worker takes the run, and dies."""
    other = claiming.take(run.pk)
    assert other is not None
    runs.lose(other, "its worker died")


def sent_to_wait(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(not_before=clock.now() + timedelta(seconds=5))


def cancelled(run: Run) -> None:
    runs.cancel(Run.objects.get(pk=run.pk), by="alice")


@pytest.mark.parametrize("meanwhile", [taken_and_lost, sent_to_wait, cancelled])
def test_a_run_that_changed_since_it_was_read_is_not_taken(
    backup: Backup, meanwhile: Callable[[Run], None]
) -> None:
    run = backup.start()
    taken_and_lost(run)  # so it is in this server's hands already
    read = claiming.queued(run.pk)
    assert read is not None
    meanwhile(run)
    before = Run.objects.filter(pk=run.pk).values().get()
    told = story(run)

    assert claiming.claim(read) is False

    assert Run.objects.filter(pk=run.pk).values().get() == before
    assert story(run) == told


def test_what_the_preparation_needs_is_read_with_the_run(backup: Backup) -> None:
    backup.add_instance()
    run = claiming.queued(backup.start().pk)
    assert run is not None
    policy = run.policy
    assert policy is not None

    with costs.counted() as cost:
        targets = [target.instance_id for target in policy.targets.all()]
        assert (policy.owner.username, policy.folder.owner_id) == ("alice", run.owner_id)
        assert [host.key for host in policy.folder.ssh_hosts.all()] == []

    assert cost.texts == []
    assert len(targets) == len(set(targets)) == 2


def test_a_run_gets_its_mark_once(backup: Backup) -> None:
    run = backup.start()
    taken_and_lost(run)
    first = Run.objects.get(pk=run.pk).mark

    assert claiming.take(run.pk) is not None

    assert first
    assert Run.objects.get(pk=run.pk).mark == first


def test_a_run_that_waits_for_permits_leaves_no_lease_and_no_target(backup: Backup) -> None:
    backup.to_end()  # the permission is proved, so the permits are the last thing that is asked for
    Policy.objects.update(success_requires="crash")
    RunTarget.objects.all().delete()
    FirePermits.objects.update(tokens=0, filled_at=clock.now())

    run = backup.window()

    assert (run.state, "rate that AWS allows" in run.waiting_for) == (State.QUEUED, True)
    assert not RunTarget.objects.filter(run=run).exists()
    assert not WindowLease.objects.exists()


def test_what_was_noted_is_written_with_the_next_change(backup: Backup) -> None:
    run = claiming.take(backup.start().pk)
    assert run is not None
    runs.note(run, success_requires="application")
    assert Run.objects.get(pk=run.pk).success_requires == ""

    runs.lose(run, "its worker died")

    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.success_requires) == (State.QUEUED, "application")


def a_ping(run: Run) -> None:
    AlarmReceivers.objects.create(policy=run.policy, has_ping=True)


def a_receiver(run: Run) -> None:
    AlarmReceivers.objects.create(user=run.owner)


def a_superusers_receiver(_: Run) -> None:
    AlarmReceivers.objects.create(user=UserFactory.create(is_superuser=True))


def a_key(run: Run) -> None:
    assert run.policy is not None
    now = clock.now()
    SshKey.objects.create(folder=run.policy.folder, public="x", slot=1, made_at=now)


def a_host(run: Run) -> None:
    assert run.policy is not None
    folder = run.policy.folder
    SshHost.objects.create(folder=folder, name="db", added_at=clock.now())


def a_deleted_user_of_this_name(run: Run) -> None:
    FormerFolder.objects.create(name=run.owner_name, deleted_at=clock.now())


def another_server(_: Run) -> None:
    now = clock.now()
    Server.objects.create(pk="another", host="b", first_seen_at=now, heartbeat_at=now)


def a_lease(run: Run) -> None:
    WindowLease.objects.create(resource="r:vol-x", run=run, taken_at=clock.now())


def one_that_waits(run: Run) -> None:
    RunFactory.create(waiting_for="It waits.", waiting_since=clock.now())


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("has_ping", a_ping),
        ("has_receivers", a_receiver),
        ("has_receivers", a_superusers_receiver),
        ("has_ssh_keys", a_key),
        ("has_ssh_hosts", a_host),
        ("has_former", a_deleted_user_of_this_name),
        ("has_other_servers", another_server),
        ("has_competitors", a_lease),
        ("has_competitors", one_that_waits),
    ],
)
def test_what_stands_around_a_run_is_read_with_it(
    backup: Backup, name: str, make: Callable[[Run], None]
) -> None:
    run = backup.start()
    before = claiming.queued(run.pk)
    make(run)
    after = claiming.queued(run.pk)

    assert before is not None
    assert after is not None
    assert (before.around[name], after.around[name]) == (False, True)


def test_a_secret_is_read_with_the_run_and_one_whose_key_is_lost_does_not_hide_the_run(
    backup: Backup, settings: Settings
) -> None:
    run = backup.start()
    read = claiming.queued(run.pk)
    assert read is not None
    assert read.account is not None
    with costs.counted() as cost:
        assert read.account.secret_access_key == SECRET_ACCESS_KEY
    assert cost.statements == 0

    settings.N2W_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    lost = claiming.queued(run.pk)
    assert lost is not None
    assert lost.account is not None
    with pytest.raises(encrypted.DecryptionError):
        _ = lost.account.secret_access_key
