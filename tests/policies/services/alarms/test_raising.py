"""The alarms that are raised, and those that are held back."""

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.trigger import Trigger
from policies.domain.schedules.reckoning import Span
from policies.models import Alarm, Policy, Run
from policies.services import claiming, runs
from policies.services.alarms import delivering, receivers
from policies.services.window import keeping
from scripts_admin.guard.keeper import Guard
from tests import factories
from tests.policies.services.backup import Backup
from tests.policies.services.losses import dying, kill_guard_and_die
from tests.policies.services.posting import freeze, thaw


def raised(*, spread: bool = True) -> list[str]:
    """Return the kinds in the order in which they were raised; with `spread`, create due deliveries first."""
    if spread:
        delivering.spread()
    return [str(kind) for kind in Alarm.objects.order_by("pk").values_list("kind", flat=True)]


def end(backup: Backup, state: State, reason: str = "") -> Run:
    """End a run of the policy in this state, as far as alarms need it."""
    run = factories.RunFactory.create(policy=backup.policy, state=State.COMPLETING)
    assert runs.apply(run, Event.COMPLETED, "ended", end=state, reason=reason)
    return run


def test_a_run_that_succeeds_raises_nothing(backup: Backup) -> None:
    backup.scripts()

    assert backup.to_end().state == State.SUCCEEDED

    assert raised() == []


def test_an_after_that_fails_is_told_at_once_with_what_to_do(backup: Backup) -> None:
    backup.scripts(after="exit 1")

    run = backup.window()

    (alarm,) = Alarm.objects.all()
    backup.policy.refresh_from_db()
    since = f"{backup.policy.may_be_frozen_since:%Y-%m-%d %H:%M:%S} UTC"
    assert alarm.title == f"alice/policy1 MAY BE FROZEN since {since}"
    for words in (
        since,
        f"show_run {run.pk}",
        "by hand",
        "confirm_thaw alice/policy1",
        "docs/troubleshooting.md",
    ):
        assert words in alarm.text
    assert alarm.not_before <= clock.now()
    assert (alarm.run, alarm.policy, alarm.owner) == (run, backup.policy, backup.policy.owner)


def test_the_alarm_goes_with_the_change_that_it_tells_of(backup: Backup) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)

    with transaction.atomic():
        assert runs.apply(run, Event.THAW_FAILED, "after failed")
        assert raised(spread=False) == ["may_be_frozen"]
        transaction.set_rollback(True)

    assert raised(spread=False) == []
    assert Run.objects.get(pk=run.pk).state == State.FROZEN


def test_whoever_loses_the_row_raises_nothing(backup: Backup) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)
    same = Run.objects.get(pk=run.pk)
    assert runs.apply(same, Event.THAW_FAILED, "after failed")

    assert not runs.apply(run, Event.THAW_FAILED, "after failed")

    assert raised() == ["may_be_frozen"]


def test_repetitions_of_after_are_held_back_and_a_thaw_takes_them_away(backup: Backup) -> None:
    backup.scripts(after='[ "$N2W_ATTEMPT" = 4 ]')
    run = backup.window()
    assert raised() == ["may_be_frozen"]

    while run.state == State.THAWING:
        backup.thaw(run)

    first, recovered = Alarm.objects.order_by("pk")
    assert (first.kind, first.count) == (AlarmKind.MAY_BE_FROZEN, 1)
    assert recovered.kind == AlarmKind.RECOVERED
    assert recovered.not_before <= clock.now()
    assert (
        "alice/policy1 is thawed. There were 2 more failures that no alarm reported."
        in recovered.text
    )


def test_while_it_stays_frozen_an_hourly_message_counts_the_repetitions(backup: Backup) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)
    now = clock.now()
    for minutes in range(0, 70, 10):
        with time_machine.travel(now + timedelta(minutes=minutes)):
            runs.apply(run, Event.THAW_FAILED, "after failed")
            delivering.spread()

    first, second = Alarm.objects.order_by("pk")
    assert (first.count, second.count) == (1, 6)
    assert second.not_before == first.not_before + timedelta(hours=1)
    assert second.spread_at is not None


def test_another_freeze_is_told_at_once_although_the_last_was_told_within_the_hour(
    backup: Backup,
) -> None:
    for _ in range(2):
        freeze(backup.policy)
        delivering.spread()
        thaw(backup.policy)
        delivering.spread()

    assert raised() == ["may_be_frozen", "recovered"] * 2
    assert not Alarm.objects.filter(spread_at=None).exists()


@pytest.mark.parametrize("state", [State.FAILED, State.PARTIAL])
def test_a_failure_is_told_once_an_hour_and_counted_after_that(
    backup: Backup, state: State
) -> None:
    now = clock.now()
    for minutes in (0, 5, 10, 55):
        with time_machine.travel(now + timedelta(minutes=minutes)):
            end(backup, state, f"reason {minutes}")
            delivering.spread()

    first, held = Alarm.objects.order_by("pk")
    assert (first.kind, first.count, held.count) == (state, 1, 3)
    assert first.title == f"alice/policy1: backup {state}"
    assert "reason 0" in first.text
    assert "reason 55" in held.text
    assert held.run == Run.objects.order_by("-ended_at").first()
    assert held.spread_at is None
    with time_machine.travel(now + timedelta(minutes=61)):
        assert delivering.spread() == 1


def test_one_policys_failures_hold_back_no_other_policys(backup: Backup) -> None:
    other = factories.PolicyFactory.create(owner=backup.policy.owner, name="policy2")
    end(backup, State.FAILED)
    end(Backup(other, backup.cloud, backup.instance, backup.folder), State.FAILED)

    assert raised() == ["failed", "failed"]
    assert not Alarm.objects.filter(spread_at=None).exists()


def test_a_success_after_trouble_is_a_recovery_and_the_next_is_not(backup: Backup) -> None:
    end(backup, State.FAILED)
    end(backup, State.SUCCEEDED)
    end(backup, State.SUCCEEDED)

    assert raised() == ["failed", "recovered"]


def test_a_success_is_no_recovery_while_the_application_may_be_frozen(backup: Backup) -> None:
    freeze(backup.policy)
    Run.objects.update(state=State.PARTIAL, ended_at=clock.now())
    end(backup, State.FAILED)
    end(backup, State.SUCCEEDED)
    assert raised() == ["may_be_frozen", "failed"]

    thaw(backup.policy)
    assert raised() == ["may_be_frozen", "failed", "recovered"]


def test_a_recovery_takes_along_what_was_held_back(backup: Backup) -> None:
    end(backup, State.FAILED)
    delivering.spread()
    for state in (State.FAILED, State.PARTIAL, State.FAILED):
        end(backup, state)
    delivering.spread()
    end(backup, State.SUCCEEDED)

    assert raised() == ["failed", "partial", "recovered"]
    assert "There were 2 more problems that no alarm reported." in Alarm.objects.latest("pk").text


def test_who_is_told_that_after_is_given_up_is_promised_no_more_attempts(backup: Backup) -> None:
    Policy.objects.update(thaw_retry_minutes=0)
    backup.policy.refresh_from_db()
    backup.scripts(after="exit 1")

    assert backup.window().state == State.WAITING

    assert "does not run after again" in Alarm.objects.get().text
    assert "runs after again for some time" not in Alarm.objects.get().text


def test_a_recovery_that_is_not_true_any_more_is_not_sent(backup: Backup) -> None:
    for state in (State.FAILED, State.SUCCEEDED, State.FAILED, State.SUCCEEDED, State.FAILED):
        end(backup, state)
        delivering.spread()

    assert raised() == ["failed", "recovered", "failed"]
    assert Alarm.objects.get(spread_at=None).count == 2


def test_a_thaw_is_told_although_its_run_ends_in_trouble_a_moment_later(backup: Backup) -> None:
    backup.scripts(after='[ "$N2W_ATTEMPT" = 2 ]')
    run = backup.window()
    assert raised() == ["may_be_frozen"]

    while run.state == State.THAWING:
        backup.thaw(run)
    backup.cloud.advance()
    assert backup.complete(backup.settle(run)).state == State.PARTIAL

    assert raised() == ["may_be_frozen", "recovered", "partial"]


def test_a_thaw_that_was_not_told_before_the_next_freeze_is_not_told(backup: Backup) -> None:
    freeze(backup.policy)
    assert raised() == ["may_be_frozen"]
    thaw(backup.policy)
    freeze(backup.policy)

    assert raised() == ["may_be_frozen"] * 2


def test_a_thaw_is_told_although_the_clock_of_who_ends_its_run_is_behind(backup: Backup) -> None:
    freeze(backup.policy)
    delivering.spread()
    thaw(backup.policy)

    with time_machine.travel(clock.now() - timedelta(seconds=5)):
        end(backup, State.FAILED)

    assert raised() == ["may_be_frozen", "recovered", "failed"]


def test_a_success_is_told_besides_a_thaw_that_was_not_told_yet(backup: Backup) -> None:
    freeze(backup.policy)
    delivering.spread()
    thaw(backup.policy)
    end(backup, State.FAILED)
    end(backup, State.SUCCEEDED)

    assert raised(spread=False) == ["may_be_frozen", "recovered", "failed", "recovered"]
    assert "is thawed" in Alarm.objects.filter(kind=AlarmKind.RECOVERED).earliest("pk").text


def test_a_success_while_it_may_be_frozen_takes_along_what_was_held_back(backup: Backup) -> None:
    for _ in range(2):
        end(backup, State.FAILED)
        delivering.spread()
    freeze(backup.policy)
    Run.objects.update(state=State.PARTIAL, ended_at=clock.now())

    end(backup, State.SUCCEEDED)

    assert raised() == ["failed", "may_be_frozen"]


def test_what_was_missed_is_told_and_what_was_skipped_is_not(backup: Backup) -> None:
    span = Span(clock.now(), clock.now(), 1)
    runs.enter_due(backup.policy, State.MISSED, span, "Nobody was there.")
    runs.enter_due(backup.policy, State.SKIPPED, Span(span.first + timedelta(1), span.last, 1), "x")

    assert raised() == ["missed"]
    assert "Nobody was there." in Alarm.objects.get().text


def test_a_test_and_a_cancelled_run_are_not_told(backup: Backup) -> None:
    backup.script("before", "exit 1")
    run = backup.settle(backup.window(backup.start(Trigger.TEST)))
    assert backup.complete(run).state == State.FAILED
    end(backup, State.CANCELLED)

    assert raised() == []


def test_the_message_of_a_failure_tells_when_it_is_tried_again(backup: Backup) -> None:
    Policy.objects.update(retry_count=1, retry_minutes=10)
    end(backup, State.FAILED)

    assert "The server tries again at " in Alarm.objects.get().text


def test_an_automatic_thaw_is_told_once(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)

    backup.thaw(run)

    assert run.state == State.WAITING
    assert raised() == ["thawed_late"]
    assert "the process that kept the window was lost" in Alarm.objects.get().text


def test_a_lost_window_without_scripts_froze_nothing_and_is_not_told(backup: Backup) -> None:
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)

    backup.thaw(run)

    assert run.state == State.WAITING
    assert raised() == []


def test_pings_tell_start_and_end_of_a_policy_that_has_a_ping_url(backup: Backup) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"ping_url": "https://hc.example.org/x"})
    backup.scripts()

    backup.to_end()

    assert raised() == ["ping_start", "ping_success"]


@pytest.mark.parametrize("state", [State.FAILED, State.PARTIAL, State.CANCELLED])
def test_what_is_no_success_pings_fail(backup: Backup, state: State) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"ping_url": "https://hc.example.org/x"})

    end(backup, state)

    assert "ping_fail" in raised()
    assert "ping_success" not in raised()


def test_a_run_that_has_to_wait_pings_its_start_once(backup: Backup) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"ping_url": "https://hc.example.org/x"})
    run = backup.start()
    for _ in range(2):
        claimed = claiming.take(run.pk)
        assert claimed is not None
        runs.apply(claimed, Event.DEFERRED, "waits", not_before=None)

    assert raised() == ["ping_start"]
