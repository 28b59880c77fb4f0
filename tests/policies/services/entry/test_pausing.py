"""A pause: no due time in it starts a run, and it ends by itself."""

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Policy, Run, Schedule
from policies.services import operations
from policies.services.due import outlook, replanning, ticking
from policies.services.entry import pausing, policies, schedules
from policies.services.operations import COMMAND_LINE
from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.views import admin_forms

pytestmark = pytest.mark.django_db
NOW = datetime.fromisoformat("2026-12-01T12:00:00+00:00")


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, NOW)


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


@pytest.fixture
def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    policies.save(made, [admin_forms.schedule(made.owner, timezone="UTC")])
    made.refresh_from_db()
    return made


def test_nothing_is_due_in_a_pause_and_the_time_of_its_end_is(policy: Policy) -> None:
    until = NOW + timedelta(days=3, hours=14)  # two at night, when the schedule is due
    pausing.pause(policy, until=until, reason="the disks move", by="alice")

    policy.refresh_from_db()
    assert policy.next_run_at == until
    assert outlook.of_policy(policy).times[0] == until
    assert (policy.paused_at, policy.paused_reason, policy.paused_by) == (
        NOW,
        "the disks move",
        "alice",
    )


def test_a_pause_ends_by_itself_and_then_the_policy_runs(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = NOW + timedelta(days=2)
    pausing.pause(policy, until=until, reason="x", by="alice")

    at(monkeypatch, until - timedelta(seconds=1))
    ticking.tick()
    policy.refresh_from_db()
    assert policy.paused_until == until
    assert not Run.objects.exists()

    at(monkeypatch, until + timedelta(hours=14))
    ticking.tick()
    policy.refresh_from_db()
    assert [policy.paused_at, policy.paused_until, policy.paused_reason] == [None, None, ""]
    assert Run.objects.get().state == State.QUEUED


def test_planning_again_respects_the_pause(policy: Policy) -> None:
    until = NOW + timedelta(days=3)
    pausing.pause(policy, until=until, reason="x", by="alice")

    assert replanning.replan() == 0
    row = Schedule.objects.get()
    row.cron = "0 3 * * *"
    schedules.save(row)

    policy.refresh_from_db()
    assert policy.next_run_at == datetime.fromisoformat("2026-12-05T03:00:00+00:00")


def test_resuming_plans_from_now_and_makes_up_for_nothing(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing.pause(policy, until=NOW + timedelta(days=30), reason="x", by="alice")
    at(monkeypatch, NOW + timedelta(days=5))

    operations.resume([policy], by=COMMAND_LINE)

    policy.refresh_from_db()
    assert policy.paused_until is None
    assert policy.next_run_at == datetime.fromisoformat("2026-12-07T02:00:00+00:00")
    assert not Run.objects.exists()


def test_a_changed_pause_began_when_it_began(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing.pause(policy, until=NOW + timedelta(days=1), reason="x", by="alice")
    at(monkeypatch, NOW + timedelta(hours=1))

    pausing.pause(policy, until=NOW + timedelta(days=9), reason="y", by="bob")

    policy.refresh_from_db()
    assert (policy.paused_at, policy.paused_reason, policy.paused_by) == (NOW, "y", "bob")


@pytest.mark.parametrize(
    ("until", "reason", "field"),
    [
        (NOW, "x", "until"),
        (NOW + timedelta(days=367), "x", "until"),
        (NOW + timedelta(days=1), " ", "reason"),
        (NOW + timedelta(days=1), "x" * 201, "reason"),
        (NOW + timedelta(days=1), "two\nlines", "reason"),
    ],
)
def test_a_pause_without_end_or_reason_is_refused(
    policy: Policy, until: datetime, reason: str, field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        pausing.pause(policy, until=until, reason=reason, by="alice")

    assert list(refused.value.message_dict) == [field]
    policy.refresh_from_db()
    assert policy.paused_at is None


def test_a_stranger_pauses_resumes_tests_and_deletes_nothing(policy: Policy) -> None:
    stranger = operations.person(factories.charlie())
    until = NOW + timedelta(days=1)

    results = [
        *operations.pause([policy], until=until, reason="x", by=stranger),
        *operations.resume([policy], by=stranger),
        *operations.try_scripts([policy], by=stranger),
        *operations.delete([policy], by=stranger),
    ]

    assert all("is not allowed to do this" in each.refusal for each in results)
    policy.refresh_from_db()
    assert policy.paused_at is None
    assert not Run.objects.exists()


def test_the_audit_has_the_pause_with_its_reason_and_its_end(policy: Policy) -> None:
    until = NOW + timedelta(days=1)
    alice = operations.person(policy.owner)

    operations.resume([policy], by=alice)  # there is none: nothing was done
    operations.pause([policy], until=until, reason="the disks move", by=alice)
    operations.resume([policy], by=alice)

    entries = AuditEntry.objects.filter(action__in=["paused", "resumed"]).order_by("pk")
    found = [(each.action, each.name, each.reason) for each in entries]
    assert found == [("paused", "alice", "the disks move"), ("resumed", "alice", "")]
