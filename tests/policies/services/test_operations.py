"""Operations: each row separately, only on a user's own rows, one sentence for each."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunEvent
from policies.services import operations, runs
from policies.services.entry import policies as entered
from policies.services.operations import COMMAND_LINE, Actor, Result
from tests import factories
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.django_db
Operation = Callable[..., list[Result]]
ON_POLICIES = [
    operations.back_up,
    operations.confirm_thaw,
    operations.enable,
    operations.disable,
]


def everything() -> list[object]:
    return [list(rows.values()) for rows in (Policy.objects, Run.objects, RunEvent.objects)]


def alice(backup: Backup) -> Actor:
    return operations.person(backup.policy.owner)


def test_a_run_is_queued_in_the_name_of_who_asked(backup: Backup) -> None:
    (result,) = operations.back_up([backup.policy], by=alice(backup))

    run = Run.objects.get()
    assert (run.trigger, run.requested_by, result.run) == (Trigger.MANUAL, "alice", run)
    assert result.sentence == f"alice/policy1: run {run.pk} is queued."


def test_the_command_line_may_and_is_nobody(backup: Backup) -> None:
    operations.back_up([backup.policy], by=COMMAND_LINE)

    assert Run.objects.get().requested_by == ""


def test_one_that_is_refused_leaves_the_others_alone(backup: Backup) -> None:
    other = factories.PolicyFactory.create(owner=backup.policy.owner, name="other")
    runs.start(policy=backup.policy, trigger=Trigger.MANUAL)

    refused, queued = operations.back_up([backup.policy, other], by=alice(backup))

    assert "is already being backed up" in refused.sentence
    assert refused.run is None
    assert queued.run is not None
    assert Run.objects.filter(policy=backup.policy).count() == 1


@pytest.mark.parametrize("operation", ON_POLICIES)
def test_a_stranger_is_refused_and_nothing_is_changed(backup: Backup, operation: Operation) -> None:
    Policy.objects.update(may_be_frozen_since=clock.now())
    backup.policy.refresh_from_db()
    before = everything()

    (result,) = operation([backup.policy], by=operations.person(factories.charlie()))

    assert result.refusal == (
        "alice/policy1: charlie is not allowed to do this. Ask the owner or a superuser."
    )
    assert everything() == before


def test_a_stranger_cancels_no_run(backup: Backup) -> None:
    run = runs.start(policy=backup.policy, trigger=Trigger.MANUAL)
    before = everything()

    (result,) = operations.cancel([run], by=operations.person(factories.charlie()))

    assert "charlie is not allowed to do this" in result.refusal
    assert everything() == before


def test_an_owner_who_may_not_log_in_any_more_is_refused(backup: Backup) -> None:
    owner = backup.policy.owner
    owner.is_active = False
    owner.save()

    (result,) = operations.back_up([backup.policy], by=operations.person(owner))

    assert result.refusal
    assert not Run.objects.exists()


def test_the_owner_cancels_a_run_and_the_history_names_them(backup: Backup) -> None:
    run = runs.start(policy=backup.policy, trigger=Trigger.MANUAL)

    (result,) = operations.cancel([run], by=alice(backup))

    run.refresh_from_db()
    assert (run.state, run.cancelled_by) == (State.CANCELLED, "alice")
    assert result.sentence == f"Run {run.pk}: cancelled."


@pytest.mark.parametrize(
    ("operation", "enabled"), [(operations.enable, True), (operations.disable, False)]
)
def test_a_policy_is_enabled_and_disabled(backup: Backup, operation: Any, enabled: bool) -> None:
    Policy.objects.update(enabled=not enabled)

    (result,) = operation([backup.policy], by=alice(backup))

    backup.policy.refresh_from_db()
    assert backup.policy.enabled is enabled
    assert result.sentence == f"alice/policy1: {'enabled' if enabled else 'disabled'}."


def test_the_only_result_that_is_a_refusal_is_raised(backup: Backup) -> None:
    with pytest.raises(RefusedError, match="there is nothing to confirm"):
        operations.only(operations.confirm_thaw([backup.policy], by=COMMAND_LINE))


def test_what_fails_unexpectedly_is_told_and_what_was_done_before_too(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.PolicyFactory.create(owner=backup.policy.owner, name="other")
    switch = entered.switch

    def locked(policy: Policy, *, on: bool) -> None:
        if policy == other:
            raise OperationalError("database is locked")
        switch(policy, on=on)

    monkeypatch.setattr(entered, "switch", locked)

    done, failed = operations.disable([backup.policy, other], by=alice(backup))

    assert done.done == "disabled"
    assert "alice/other: this failed (OperationalError) and may be half done" in failed.refusal


@pytest.mark.django_db(transaction=True)  # SQLite looks at foreign keys on commit
@pytest.mark.parametrize("operation", [operations.back_up, operations.enable, operations.disable])
def test_a_policy_that_was_deleted_meanwhile_is_said_to_be(
    backup: Backup, operation: Operation
) -> None:
    policy = Policy.objects.get()
    Policy.objects.all().delete()

    (result,) = operation([policy], by=alice(backup))

    assert "was deleted at the same moment" in result.refusal
    assert not Run.objects.exists()


def test_a_thaw_is_not_confirmed_of_a_mark_that_changed_meanwhile(backup: Backup) -> None:
    factories.RunFactory.create(policy=backup.policy, state=State.FAILED, ended_at=clock.now())
    Policy.objects.update(may_be_frozen_since=clock.now())
    policy = Policy.objects.get()
    newer = clock.now() + timedelta(seconds=5)
    Policy.objects.update(may_be_frozen_since=newer)

    (result,) = operations.confirm_thaw([policy], by=alice(backup))

    assert "alice/policy1 changed at the same moment" in result.refusal
    assert Policy.objects.get().may_be_frozen_since == newer
    assert not RunEvent.objects.exists()


def test_a_run_that_somebody_else_cancelled_is_not_cancelled_twice(backup: Backup) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.FROZEN, cancelled_by="boss",
        cancel_requested_at=clock.now(),
    )  # fmt: skip

    (result,) = operations.cancel([run], by=COMMAND_LINE)

    assert result.refusal == f"Run {run.pk} was already cancelled by boss."
