"""A queued run is read once, and taken only as it was read."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import FirePermits, Policy, Run, RunTarget, WindowLease
from policies.services import claiming, runs
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
