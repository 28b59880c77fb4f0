"""The clock is set back by an hour, so earlier rows have times in the future: nothing waits for these."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import AnswerLostError
from policies.domain.runs.sequence import State
from policies.models import Alarm, Run, RunTarget
from policies.services import claiming
from policies.services.alarms import delivering, raising, receivers
from policies.services.due import hints, retrying
from policies.services.entry import policies
from policies.services.following import polling
from policies.services.window import permits
from tests.policies.services.backup import Backup, snapshots_of, target

HOUR = timedelta(hours=1)


@pytest.fixture
def ahead() -> Iterator[time_machine.Traveller]:
    """Start with a clock that is an hour ahead; `shift(-HOUR)` corrects it."""
    with time_machine.travel(clock.now() + HOUR, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    found: list[object] = []
    monkeypatch.setattr(
        "policies.adapters.broker.send", lambda _task, run_id, _server="": found.append(run_id)
    )
    return found


def test_a_hint_of_the_future_counts_as_lost(
    ahead: time_machine.Traveller, backup: Backup, sent: list[object]
) -> None:
    run = backup.start()
    assert hints.resend() == 0

    ahead.shift(-HOUR)

    assert hints.resend() == 1
    assert hints.resend() == 0
    assert sent == [run.pk]


def test_a_run_that_was_put_off_is_taken(
    ahead: time_machine.Traveller, backup: Backup, sent: list[object]
) -> None:
    run = backup.start()
    Run.objects.update(not_before=clock.now() + timedelta(seconds=30))
    assert (hints.resend(), claiming.take(run.pk)) == (0, None)

    ahead.shift(-HOUR)

    assert hints.resend() == 1
    claimed = claiming.take(run.pk)
    assert claimed is not None
    assert (sent, claimed.state, claimed.not_before) == ([run.pk], State.PREPARING, None)


def test_a_volume_that_was_fired_at_is_free(ahead: time_machine.Traveller, db: None) -> None:
    assert permits.take("a:r", 1, ["r:vol-1"]) is None
    ahead.shift(1)
    assert permits.take("a:r", 1, ["r:vol-1"]) == clock.now() + timedelta(seconds=14)

    ahead.shift(-HOUR)

    assert permits.take("a:r", 1, ["r:vol-1"]) is None
    assert permits.take("a:r", 1, ["r:vol-1"]) == clock.now() + permits.VOLUME_PAUSE


def test_another_machine_whose_clock_is_a_little_ahead_is_believed(
    ahead: time_machine.Traveller, backup: Backup, sent: list[object]
) -> None:
    backup.start()
    assert permits.take("a:r", 1, ["r:vol-1"]) is None

    ahead.shift(-0.9)

    assert hints.resend() == 0
    assert permits.take("a:r", 1, ["r:vol-1"]) is not None


def raise_alarm(backup: Backup, settings: Settings) -> None:
    """Raise one for a receiver that takes nothing."""
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]
    receivers.save(receivers.of(policy=backup.policy), {"urls": "json://127.0.0.1:9/hook"})
    run = backup.start()
    raising.may_be_frozen(run, clock.now(), clock.now(), is_new=True)


def test_an_alarm_is_sent_at_once(
    ahead: time_machine.Traveller, backup: Backup, settings: Settings
) -> None:
    raise_alarm(backup, settings)

    ahead.shift(-HOUR)

    assert delivering.spread() == 1
    batch = delivering.claim()
    assert batch is not None
    assert Alarm.objects.get().spread_at == clock.now()


def test_an_alarm_that_was_not_taken_is_sent_again_after_its_pause(
    ahead: time_machine.Traveller, backup: Backup, settings: Settings
) -> None:
    raise_alarm(backup, settings)
    assert delivering.send_all() == 1
    assert delivering.claim() is None

    ahead.shift(-HOUR)

    assert delivering.claim() is not None


def test_an_empty_bucket_is_filled_again(ahead: time_machine.Traveller, db: None) -> None:
    assert permits.take("a:r", int(permits.BURST), ["r:vol-1"]) is None
    assert permits.take("a:r", 4, ["r:vol-2"]) == clock.now() + timedelta(seconds=1)

    ahead.shift(-HOUR)

    assert permits.take("a:r", 4, ["r:vol-2"]) is None
    assert permits.take("a:r", 50, ["r:vol-3"]) == clock.now() + timedelta(seconds=1)


def test_a_retry_of_the_future_is_made(ahead: time_machine.Traveller, backup: Backup) -> None:
    backup.policy.retry_count = 1
    policies.save(backup.policy)
    backup.cloud.terminate(backup.instance.instance_id)
    run = backup.complete(backup.window())
    assert (run.state, retrying.tick()) == (State.FAILED, 0)

    ahead.shift(-HOUR)

    assert (retrying.tick(), retrying.tick()) == (1, 0)
    assert Run.objects.filter(attempt=2).count() == 1


def test_a_lost_answer_is_given_up_five_minutes_later(
    ahead: time_machine.Traveller, backup: Backup
) -> None:
    backup.scripts()
    backup.cloud.fail_next("fire", AnswerLostError("No answer came."), done=False)
    run = backup.window()

    ahead.shift(-HOUR)
    backup.settle(run)
    assert target(run).state == RunTarget.State.UNKNOWN
    ahead.shift(polling.LOST_ANSWER)
    backup.settle(run)

    assert target(run).state == RunTarget.State.REFUSED
    assert "none was created" in target(run).reason


def test_a_permission_that_was_proved_in_the_future_is_proved_anew(
    ahead: time_machine.Traveller, backup: Backup
) -> None:
    backup.scripts()
    backup.to_end()
    proofs = len(backup.calls("prove"))

    ahead.shift(-HOUR)
    backup.to_end()

    assert len(backup.calls("prove")) == 2 * proofs


def test_a_snapshot_that_was_missed_in_the_future_is_given_up_five_minutes_later(
    ahead: time_machine.Traveller, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.window()
    monkeypatch.setattr(backup.cloud, "describe", lambda *_: {})
    for _ in range(polling.ABSENT_POLLS):
        backup.settle(run)

    ahead.shift(-HOUR)
    backup.settle(run)
    assert {s.state for s in snapshots_of(run)} == {"pending"}
    ahead.shift(polling.ABSENT_FOR)
    backup.settle(run)

    assert {s.state for s in snapshots_of(run)} == {"missing"}
