"""The 'may be frozen' alarm without the database: from the spool alone."""

from typing import Any

import pytest
from pytest_django import Settings

from n2wbackup.lib import home
from policies.adapters import post
from policies.domain.runs.sequence import Event, State
from policies.models import Alarm, Policy, Run
from policies.services import runs
from policies.services.alarms import delivering, receivers, sealed_urls
from policies.services.watch import from_spool
from scripts_admin.guard import spool
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.services.backup import Backup
from tests.policies.services.posting import tell, thaw
from tests.policies.services.watch.spool_alarms import TOKEN, Clock, turns, watch

pytestmark = pytest.mark.usefixtures("loopback")


def test_a_failed_after_that_no_row_tells_of_is_told_from_the_spool(
    frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()

    turns(alarms, later, 6, 10)
    assert hook.requests == []  # first the rows get their time
    turns(alarms, later, 15, 1, 60)

    ((_, path, body),) = hook.requests
    assert path == f"/{TOKEN}"
    assert body["title"].startswith("alice/policy1 MAY BE FROZEN since ")
    assert f"confirm_thaw {frozen.label}" in body["message"]
    assert "database did not record this" in body["message"]


def test_what_the_rows_have_told_is_not_told_again(
    frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()
    delivering.send_all()
    alarms.told = frozenset(delivering.told())

    turns(alarms, later, 6, 60, 60)

    assert len(hook.requests) == 1


def test_what_was_told_from_the_spool_is_not_told_again_by_its_row(
    frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()
    turns(alarms, later, 6, 25)
    assert len(hook.requests) == 1

    delivering.spread(**alarms.known())
    delivering.send_all()

    assert len(hook.requests) == 1
    assert Alarm.objects.get().spread_at is not None


def test_a_window_that_is_overdue_is_told_whatever_holds_it_up(
    backup: Backup, hook: Webhook, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
    backup.scripts()
    alarms = watch()
    fire = backup.cloud.fire

    def look(*arguments: Any) -> Any:
        turns(alarms, later, 6, 80)
        assert hook.requests == []
        turns(alarms, later, 40)
        assert len(hook.requests) == 1
        return fire(*arguments)

    monkeypatch.setattr(backup.cloud, "fire", look)

    assert backup.window().state == State.WAITING
    assert "MAY BE FROZEN" in hook.titles[0]


def test_a_receiver_that_did_not_take_it_is_asked_again_and_the_others_are_not(
    backup: Backup, hook: Webhook, later: Clock
) -> None:
    with ground.webhook(status=500) as other:
        receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
        receivers.save(receivers.of(user=backup.policy.owner), {"urls": other.json_url})
        backup.scripts(after="exit 1")
        backup.window()
        alarms = watch()
        turns(alarms, later, 6, 25, 5)
        assert (len(hook.requests), len(other.requests)) == (1, 1)
        other.status = 200

        turns(alarms, later, 31, 31)

    assert (len(hook.requests), len(other.requests)) == (1, 2)


def test_while_it_stays_frozen_it_is_told_each_hour(
    frozen: Run, hook: Webhook, later: Clock
) -> None:
    turns(watch(), later, 6, 25, 1800, 1801)

    assert len(hook.requests) == 2


def test_a_thaw_is_told_to_whom_the_freeze_was(
    backup: Backup, frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()
    turns(alarms, later, 6, 25)
    (backup.folder / "fixed").touch()
    record = backup.spooled(frozen) / "record.json"
    kept = record.read_text()
    while backup.thaw(frozen).state == State.THAWING:
        pass
    record.write_text(kept)  # as if nobody could enter the thaw

    turns(alarms, later, 6, 6)

    assert [title.split()[1:3] for title in hook.titles] == [["MAY", "BE"], ["has", "recovered"]]


def test_nothing_is_told_of_windows_that_are_thawed(
    backup: Backup, hook: Webhook, later: Clock
) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
    backup.scripts()
    run = backup.window()
    record = backup.spooled(run) / "settled.json"
    record.rename(record.with_name("record.json"))  # thawed, and not entered yet

    turns(watch(), later, 6, 600)

    assert hook.requests == []


def test_the_urls_in_the_spool_are_sealed_and_go_with_the_run(backup: Backup, frozen: Run) -> None:
    path = backup.spooled(frozen) / sealed_urls.NAME

    assert path.stat().st_mode & 0o777 == 0o600
    assert TOKEN not in path.read_text()
    assert TOKEN not in (backup.spooled(frozen) / "record.json").read_text()


def test_a_window_opens_also_where_the_urls_cannot_be_read(
    backup: Backup, hook: Webhook, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
    new = "A" * 43 + "="
    settings.N2W_ENCRYPTION_KEYS = [new]
    backup.policy.account.secret_access_key = "enough"
    backup.policy.account.save()
    backup.scripts()

    run = backup.window()

    assert run.state == State.WAITING
    assert not (backup.spooled(run) / sealed_urls.NAME).exists()
    assert "alarms cannot be sent from the spool" in caplog.text


def test_urls_that_cannot_be_read_keep_nobody_else_from_being_told(
    backup: Backup, hook: Webhook, later: Clock, settings: Settings
) -> None:
    receivers.save(receivers.of(user=backup.policy.owner), {"urls": f"{hook.json_url}/lost"})
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]
    backup.policy.account.secret_access_key = "enough"
    backup.policy.account.save()
    receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
    backup.scripts(after="exit 1")
    backup.window()

    turns(watch(), later, 6, 25)

    assert hook.paths == [f"/{TOKEN}"]


def test_a_record_that_cannot_be_read_keeps_no_other_window_from_being_told(
    frozen: Run, hook: Webhook, later: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("00000000-0000-4000-8000-000000000000", "0-no-run"):
        folder = spool.create(home.spool(), name)
        (folder / spool.RECORD).write_text("rubbish")

    turns(watch(), later, 6, 25, 1, 1)

    assert hook.paths == [f"/{TOKEN}"]
    # Once, not in every turn. The other one is a window that may be frozen, and has no receiver.
    assert caplog.text.count("could not be checked for an alarm") == 1


def test_the_row_of_a_run_that_moves_on_is_the_rows_matter(backup: Backup) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)
    runs.apply(run, Event.THAW_FAILED, "after failed")

    delivering.spread(frozen={run.pk})

    alarm = Alarm.objects.get()
    assert alarm.spread_at is not None
    assert alarm.deliveries.count() == 0


def test_while_it_is_told_from_the_spool_its_row_waits(
    frozen: Run, hook: Webhook, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = watch()
    seen: list[int] = []
    carry = post.carry

    def look(*arguments: Any) -> Any:
        seen.append(delivering.spread(**alarms.known()))
        return carry(*arguments)

    turns(alarms, later, 6)
    later.ahead += 25
    with monkeypatch.context() as patch:
        patch.setattr(post, "carry", look)
        alarms.turn()
    delivering.spread(**alarms.known())
    delivering.send_all()

    assert seen == [0]
    assert len(hook.requests) == 1


def test_where_nobody_could_be_told_from_the_spool_the_row_is_sent(
    backup: Backup, hook: Webhook, later: Clock
) -> None:
    backup.scripts(after="exit 1")
    backup.window()
    alarms = watch()
    turns(alarms, later, 6, 25)
    tell(f"{hook.json_url}/x", policy=backup.policy)

    delivering.spread(**alarms.known())
    delivering.send_all()

    assert hook.paths == ["/x"]


def test_nobody_is_told_of_a_freeze_that_is_over_when_it_is_their_turn(
    backup: Backup,
    frozen: Run,
    hook: Webhook,
    later: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(f"{hook.json_url}/root", user=factories.UserFactory.create(is_superuser=True))
    carry, carried = from_spool._carry, list[bool]()

    def confirmed_meanwhile(*it: Any) -> bool:
        if not carried:
            thaw(backup.policy)
        carried.append(carry(*it))
        return carried[-1]

    sealed_urls.write(home.spool() / str(frozen.pk), backup.policy)
    monkeypatch.setattr(from_spool, "_carry", confirmed_meanwhile)
    alarms = watch()
    alarms.turn()
    for seconds in (6, 25, 60):
        later.ahead += seconds
        alarms.turn()

    assert ["MAY BE FROZEN" in title for title in hook.titles] == [True]


@pytest.mark.parametrize(("after", "told"), [("", [True, False]), ("exit 1", [True])])
def test_who_was_told_of_an_overdue_window_is_told_of_its_thaw_by_its_own_worker(
    backup: Backup,
    hook: Webhook,
    later: Clock,
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    told: list[bool],
) -> None:
    tell(f"{hook.json_url}/x", policy=backup.policy)
    Policy.objects.update(thaw_retry_minutes=0)
    backup.policy.refresh_from_db()
    backup.scripts(after=after)
    alarms, fire = watch(), backup.cloud.fire

    def late(*it: Any) -> Any:
        turns(alarms, later, 6, 80, 40)
        return fire(*it)

    monkeypatch.setattr(backup.cloud, "fire", late)
    assert backup.window().state == State.WAITING

    turns(alarms, later, 1, 60)

    assert ["MAY BE FROZEN" in title for title in hook.titles] == told
