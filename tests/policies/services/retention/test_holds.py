"""A person holds a restore point, and releases it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.retention.points import HoldKind
from policies.domain.runs.sequence import State
from policies.models import Hold, Policy, Removal, Run
from policies.services import operations
from policies.services.retention import holds, planning
from scripts_admin.models import AuditEntry
from tests.factories import PolicyFactory, RunFactory, alice, bob, charlie
from tests.policies.services.retention.rows import nightly

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
END = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def old() -> Run:
    policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=1)
    return nightly(policy, 3)[2]


def _goes(run: Run) -> bool:
    verdict = planning.of_runs([run]).get(run.pk)
    assert verdict is not None
    return not verdict.keep


def test_a_held_one_stays_until_it_is_released(old: Run) -> None:
    assert _goes(old)
    holds.hold(old, reason="audit of 2026", until=None, by="alice")
    verdict = planning.of_runs([old]).get(old.pk)
    assert verdict is not None
    assert verdict.reasons == ("held by alice (freezer): audit of 2026",)

    holds.release(old, by="bob")

    assert _goes(old)
    (row,) = Hold.objects.all()
    assert (row.kind, row.released_by) == (HoldKind.FREEZER, "bob")
    audit = (
        AuditEntry.objects.filter(kind="run")
        .order_by("pk")
        .values_list("action", "label", "reason")
    )
    assert list(audit) == [
        ("held", "alice/policy1", "audit of 2026"),
        ("released", "alice/policy1", "audit of 2026"),
    ]


def test_a_second_hold_changes_the_first(old: Run) -> None:
    holds.hold(old, reason="first", until=None, by="alice")
    holds.hold(old, reason="second", until=END, by="bob")

    (row,) = Hold.objects.all()
    assert (row.reason, row.until, row.by) == ("second", END, "bob")


def test_a_hold_ends_by_itself(old: Run) -> None:
    holds.hold(old, reason="for now", until=clock.now() + timedelta(hours=1), by="alice")
    assert not _goes(old)
    Hold.objects.update(until=clock.now() - timedelta(seconds=1))

    assert _goes(old)


@pytest.mark.parametrize(
    ("reason", "until", "field"),
    [
        ("", None, "reason"),
        ("two\nlines", None, "reason"),
        ("x" * 201, None, "reason"),
        ("why", datetime(2020, 1, 1, tzinfo=UTC), "until"),
        ("why", datetime(2300, 1, 1, tzinfo=UTC), "until"),
    ],
)
def test_a_hold_says_why_and_may_have_an_end(
    old: Run, reason: str, until: datetime | None, field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        holds.hold(old, reason=reason, until=until, by="alice")

    assert list(caught.value.message_dict) == [field]
    assert not Hold.objects.exists()
    assert not AuditEntry.objects.filter(kind="run").exists()


def test_what_is_no_restore_point_is_not_held(old: Run) -> None:
    failed = RunFactory.create(policy=old.policy, state=State.FAILED, ended_at=clock.now())

    with pytest.raises(RefusedError, match="is no restore point"):
        holds.hold(failed, reason="why", until=None, by="alice")
    with pytest.raises(RefusedError, match="Nobody holds run"):
        holds.release(old, by="alice")

    assert not Hold.objects.exists()


def test_only_who_may_change_the_policy_holds_and_releases(old: Run) -> None:
    for person in (bob(), charlie()):
        by = operations.person(person)
        (held,) = operations.hold([old], reason="why", until=None, by=by)
        (released,) = operations.release([old], by=by)
        assert "is not allowed to do this" in held.refusal
        assert "is not allowed to do this" in released.refusal
    assert not Hold.objects.exists()

    (done,) = operations.hold([old], reason="why", until=END, by=operations.person(alice()))

    assert done.sentence == f"Run {old.pk}: held until 2100-01-01 00:00 UTC."
    assert Policy.objects.get().name == "policy1"


@pytest.mark.parametrize("kind", [each for each in HoldKind if each != HoldKind.FREEZER])
def test_work_of_the_server_holds_by_its_key(old: Run, kind: HoldKind) -> None:
    for reason in ("first", "again"):
        holds.take(old.pk, kind, key="one", reason=reason, until=None)
    holds.take(old.pk, kind, key="two", reason="other", until=END)
    assert list(Hold.objects.values_list("kind", "key", "reason")) == [
        (kind, "one", "again"),
        (kind, "two", "other"),
    ]

    holds.drop(old.pk, kind, key="one")
    holds.drop(old.pk, kind, key="one")
    assert not _goes(old)
    holds.drop(old.pk, kind, key="two")
    assert _goes(old)


@pytest.mark.parametrize("ended", [False, True])
def test_what_is_being_deleted_cannot_be_held(old: Run, *, ended: bool) -> None:
    now = clock.now()
    Removal.objects.create(
        run=old,
        why="old",
        announced_at=now,
        goes_after=now,
        begun_at=now,
        ended_at=now if ended else None,
    )
    with pytest.raises(RefusedError, match="are deleted" if ended else "are being deleted"):
        holds.take(old.pk, HoldKind.RECOVERY, key="one", reason="why", until=None)
    with pytest.raises(RefusedError, match="choose another restore point"):
        holds.hold(old, reason="why", until=None, by="alice")
    assert not Hold.objects.exists()


def test_what_is_only_announced_can_be_held(old: Run) -> None:
    now = clock.now()
    Removal.objects.create(run=old, why="old", announced_at=now, goes_after=now)
    holds.take(old.pk, HoldKind.PROOF, key="one", reason="why", until=None)
    assert not _goes(old)


def test_a_run_that_is_gone_cannot_be_held() -> None:
    with pytest.raises(RefusedError, match="does not exist"):
        holds.take(uuid4(), HoldKind.COPY, key="one", reason="why", until=None)
