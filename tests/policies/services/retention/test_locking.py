"""Restore points are locked in AWS no longer than their rules keep them."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import AwsError, NotPermittedError, RefusedError, ThrottledError
from policies.domain.retention.points import HoldKind
from policies.models import Account, Hold, Policy, Run
from policies.services.retention import cleaning, locking, planning
from tests.factories import PolicyFactory, alice
from tests.policies.services.killed import KilledError
from tests.policies.services.retention.rows import in_cloud, nightly, snapshot_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
DAY = timedelta(days=1)


@pytest.fixture
def made(cloud: MemoryCloud, removing: MemoryRemoving, settings: Settings) -> list[Run]:
    """Give four restore points; the rules keep three, the newest for about three days."""
    settings.N2W_LOCK_SNAPSHOTS = True
    policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=3)
    found = nightly(policy, 4)
    in_cloud(cloud, found)
    return found


def test_a_new_one_is_locked_until_its_rules_let_it_go(
    made: list[Run], removing: MemoryRemoving
) -> None:
    verdict = planning.of_runs([made[0]])[made[0].pk]
    assert locking.tick() == 2  # the third goes in less than a day
    assert locking.tick() == 0

    mode, until, fixed_at = removing.locks[snapshot_of(made[0]).snapshot_id]
    assert (mode, fixed_at) == ("governance", None)
    assert verdict.until is not None
    assert abs(until - verdict.until) < timedelta(minutes=1)
    hold = Hold.objects.get(run=made[0])
    assert (hold.kind, hold.until) == (HoldKind.LOCK, until)
    assert any("locked in AWS" in why for why in planning.of_runs([made[0]])[made[0].pk].reasons)


def test_nothing_is_locked_unless_the_server_is_set_so(
    made: list[Run], removing: MemoryRemoving, settings: Settings
) -> None:
    settings.N2W_LOCK_SNAPSHOTS = False
    assert locking.tick() == 0
    assert removing.locks == {}


def test_a_locked_one_stays_when_the_rules_are_made_shorter(
    made: list[Run], cloud: MemoryCloud
) -> None:
    locking.tick()
    Policy.objects.update(keep_last=1)
    cleaning.prune(Policy.objects.get(), by="alice")
    left = {snapshot_of(run).snapshot_id for run in made[:2]}
    assert cloud.snapshot_ids == left


@pytest.mark.parametrize(
    ("error", "again"), [(NotPermittedError("No."), 0), (ThrottledError("Later."), 1)]
)
def test_a_lock_that_fails_leaves_a_good_backup(
    made: list[Run], removing: MemoryRemoving, error: AwsError, again: int
) -> None:
    removing.fail_next("lock", error)
    assert locking.tick() == 1
    made[0].refresh_from_db()
    assert made[0].restore_point
    assert not Hold.objects.filter(run=made[0], released_at=None).exists()
    assert made[0].events.filter(text__contains="could not be locked").count() == 1 - again
    assert locking.tick() == again


def test_a_person_locks_and_unlocks(made: list[Run], removing: MemoryRemoving) -> None:
    call_command("lock", str(made[1].pk), "--until", "2100-01-01T00:00")
    assert removing.locks[snapshot_of(made[1]).snapshot_id][0] == "governance"
    call_command("lock", str(made[1].pk), "--remove")
    assert removing.locks == {}
    with pytest.raises(CommandError, match="there is nothing to unlock"):
        call_command("lock", str(made[1].pk), "--remove")


def test_compliance_has_to_be_said_twice(made: list[Run], removing: MemoryRemoving) -> None:
    run = str(made[1].pk)
    words = ["lock", run, "--until", "2100-01-01T00:00", "--compliance"]
    for more in ([], ["--confirm", str(made[0].pk)]):
        with pytest.raises(CommandError, match="add --confirm"):
            call_command(*words, *more)
    assert removing.locks == {}
    call_command(*words, "--confirm", run)
    mode, _, fixed_at = removing.locks[snapshot_of(made[1]).snapshot_id]
    assert mode == "compliance"
    assert fixed_at is not None
    assert fixed_at > clock.now() + timedelta(hours=23)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--until", "2100-01-01T00:00", "--compliance", "--cool-off", "0"], "from 1 to 72"),
        (["--until", "2100-01-01T00:00", "--compliance", "--cool-off", "99"], "of 1 to 72 hours"),
        (["--until", "2100-01-01T00:00", "--cool-off", "5"], "goes with --compliance"),
        (["--until", "tomorrow"], "is not a time"),
        (["--until", "2020-01-01T00:00"], "from one day to a hundred years"),
        (["--remove", "--compliance"], "does not go with --remove"),
        (["--remove", "--until", "2100-01-01T00:00"], "either --until TIME or --remove"),
        ([], "either --until TIME or --remove"),
    ],
)
def test_what_makes_no_sense_locks_nothing(
    made: list[Run], removing: MemoryRemoving, words: list[str], sentence: str
) -> None:
    run = str(made[1].pk)

    with pytest.raises(CommandError, match=sentence):
        call_command("lock", run, *words, "--confirm", run)

    assert removing.locks == {}
    assert not Hold.objects.filter(kind=HoldKind.LOCK, released_at=None).exists()


@pytest.mark.parametrize(("span", "hours"), [(timedelta(hours=2), 0), (3 * DAY, 73), (3 * DAY, 0)])
def test_what_cannot_be_locked_is_refused(
    made: list[Run], removing: MemoryRemoving, span: timedelta, hours: int
) -> None:
    with pytest.raises(RefusedError):
        locking.lock(
            made[1],
            mode=locking.COMPLIANCE,
            until=clock.now() + span,
            cool_off_hours=hours,
            by="alice",
        )
    assert removing.locks == {}
    assert not Hold.objects.exists()


def test_a_process_that_dies_while_locking_says_nothing_untrue_and_is_followed_by_another(
    made: list[Run], removing: MemoryRemoving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as killed:
        killed.setattr(removing, "lock", dies)
        with pytest.raises(KilledError):
            locking.tick()
    (half,) = Hold.objects.filter(kind=HoldKind.LOCK)
    assert half.reason.startswith("being locked in AWS")
    assert half.run_id not in {
        run.pk for run in made if snapshot_of(run).snapshot_id in removing.locks
    }

    locking.tick()  # whoever asked may still be at it
    assert snapshot_of(half.run).snapshot_id not in removing.locks
    Hold.objects.filter(pk=half.pk).update(created_at=clock.now() - locking.LOST)
    locking.tick()
    assert snapshot_of(half.run).snapshot_id in removing.locks
    (hold,) = Hold.objects.filter(run=half.run, kind=HoldKind.LOCK)
    assert hold.reason.startswith("locked in AWS")


def test_a_lock_that_cannot_be_made_longer_is_still_known(
    made: list[Run], removing: MemoryRemoving
) -> None:
    locking.tick()
    before = Hold.objects.get(run=made[0], released_at=None)
    removing.fail_next("lock", NotPermittedError("No."))
    with pytest.raises(NotPermittedError):
        locking.lock(
            made[0],
            mode=locking.GOVERNANCE,
            until=clock.now() + 30 * DAY,
            cool_off_hours=0,
            by="alice",
        )
    left = Hold.objects.get(run=made[0], released_at=None)
    assert (left.pk, left.until) == (before.pk, before.until)


def test_the_server_s_own_role_locks_for_nobody_who_may_not_use_it(
    made: list[Run], removing: MemoryRemoving
) -> None:
    Account.objects.update(auth=Account.Auth.INSTANCE, access_key_id="", secret_access_key="")
    locking.tick()
    assert locking.tick() == 0
    assert made[0].events.filter(text__contains="allowed to use it").count() == 1
    until = clock.now() + 3 * DAY
    with pytest.raises(RefusedError, match="allowed to use it"):
        locking.lock(
            Run.objects.get(pk=made[1].pk),
            mode=locking.GOVERNANCE,
            until=until,
            cool_off_hours=0,
            by="alice",
        )
    assert removing.calls == []
    assert not Hold.objects.filter(released_at=None).exists()
