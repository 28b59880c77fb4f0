"""What services enter in the audit: once for each change, with the change, and never a secret."""

import json
from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.adapters import post
from policies.domain.errors import RefusedError
from policies.domain.runs.trigger import Trigger
from policies.models import EnrolRule, Policy, PolicyTarget, Run, Schedule, Server
from policies.services import operations, runs
from policies.services.alarms import receivers
from policies.services.document import applying
from policies.services.entry import accounts, policies, schedules
from policies.services.servers import joining
from scripts_admin.domain.audit import Action, Kind, Source
from scripts_admin.models import AuditEntry, User
from scripts_admin.services import audit, users
from tests import factories

pytestmark = pytest.mark.django_db
DOCUMENT = """
users: [{name: carol, email: carol@example.org, password_env: CAROL}]
accounts: [{owner: carol, name: lab, auth: keys, access_key_id: AKIAIOSFODNN7EXAMPLE,
            secret_access_key_env: LAB, region: us-east-1}]
schedules: [{owner: carol, name: nightly, cron: "0 2 * * *"}]
policies: [{owner: carol, name: shop, account: lab, schedules: [nightly],
            targets: [{instance: i-0123456789abcdef0, region: us-east-1}]}]
"""
PASSWORD = "tr0ub4dor and 3 horses"
ENVIRONMENT = {"CAROL": PASSWORD, "LAB": factories.SECRET_ACCESS_KEY}


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("pk"))


def told() -> list[tuple[str, str, str]]:
    return [(entry.action, entry.kind, entry.label) for entry in entries()]


def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    AuditEntry.objects.all().delete()
    return made


def test_a_changed_field_is_told_as_before_and_after() -> None:
    row = policy()
    row.max_freeze_seconds = 90

    policies.save(row)

    (entry,) = entries()
    assert (entry.action, entry.kind, entry.label) == ("changed", "policy", "alice/policy1")
    assert entry.changes == [["max_freeze_seconds", "60", "90"]]
    assert (entry.owner, entry.key) == (row.owner, str(row.pk))
    assert (entry.name, entry.source) == ("the server", "server")


def test_nothing_changed_nothing_told() -> None:
    row = policy()

    policies.save(row)

    assert entries() == []


def test_a_refused_change_leaves_no_entry() -> None:
    row = policy()
    row.name = "not.a.name"

    with pytest.raises(ValidationError):
        policies.save(row)

    assert entries() == []


def test_a_change_that_is_rolled_back_takes_its_entry_with_it() -> None:
    row = policy()
    row.max_freeze_seconds = 90

    with transaction.atomic():
        policies.save(row)
        transaction.set_rollback(True)

    assert entries() == []


def test_targets_are_told_in_words() -> None:
    row = policy()

    policies.replace_targets(
        row, [PolicyTarget(instance_id="i-0123456789abcdef0", region="us-east-1")]
    )
    policies.replace_targets(
        row, [PolicyTarget(instance_id="i-0123456789abcdef0", region="us-east-1")]
    )

    (entry,) = entries()
    assert entry.changes == [["targets", "", "i-0123456789abcdef0 in us-east-1"]]


def test_a_secret_is_named_and_never_shown() -> None:
    account = factories.AccountFactory.create(owner=factories.alice())
    AuditEntry.objects.all().delete()
    account.secret_access_key = "other" * 8
    account.access_key_id = "AKIAI44QH8DHBEXAMPLE"

    accounts.save(account)
    accounts.save(account)

    (entry,) = entries()
    assert entry.changes == [
        ["access_key_id", "(set)", "(set)"],
        ["secret_access_key", "(set)", "(set)"],
    ]


def test_schedules_tell_their_rule() -> None:
    row = Schedule(owner=factories.alice(), name="nightly", cron="0 2 * * *", timezone="UTC")

    schedules.save(row)
    row.cron = "0 3 * * *"
    schedules.save(row)
    schedules.delete(row)

    assert [entry.action for entry in entries()] == ["created", "changed", "deleted"]
    assert entries()[1].changes == [["cron", "0 2 * * *", "0 3 * * *"]]


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        (operations.back_up, Action.BACKED_UP),
        (operations.disable, Action.DISABLED),
    ],
)
def test_operations_tell_their_actor(
    operation: Callable[..., list[operations.Result]], action: Action
) -> None:
    row = policy()

    operation([row], by=operations.person(row.owner))

    (entry,) = entries()
    assert (entry.action, entry.person, entry.name) == (action, row.owner, "alice")


def test_a_refused_operation_leaves_no_entry() -> None:
    row = policy()

    operations.confirm_thaw([row], by=operations.person(row.owner))
    operations.disable([row], by=operations.person(factories.charlie()))

    assert entries() == []


def test_a_confirmed_thaw_is_told_with_the_time_of_the_freeze() -> None:
    row = policy()
    since = clock.now()
    Policy.objects.filter(pk=row.pk).update(may_be_frozen_since=since)
    row.refresh_from_db()

    operations.confirm_thaw([row], by=operations.person(row.owner))

    (entry,) = entries()
    assert entry.action == Action.CONFIRMED_THAW
    assert entry.changes == [["may be frozen since", since.isoformat(), ""]]


def test_only_the_first_of_two_who_cancel_is_told() -> None:
    row = policy()
    run = runs.start(policy=row, trigger=Trigger.MANUAL)
    boss = factories.UserFactory.create(username="boss", is_superuser=True)
    AuditEntry.objects.all().delete()
    Run.objects.filter(pk=run.pk).update(state="waiting")

    operations.cancel([run], by=operations.person(row.owner))
    operations.cancel([run], by=operations.person(boss))

    (entry,) = entries()
    assert (entry.action, entry.person, entry.kind) == (Action.CANCELLED, row.owner, Kind.RUN)


def test_apply_tells_each_thing_once_and_no_secret() -> None:
    with audit.coming_from(audit.Edge(Source.COMMAND, name="root")):
        applying.apply(DOCUMENT, ENVIRONMENT)

    assert told() == [
        ("created", "user", "carol"),
        ("created", "folder", "carol"),
        ("created", "account", "carol/lab"),
        ("created", "schedule", "carol/nightly"),
        ("created", "policy", "carol/shop"),
    ]
    text = json.dumps([[entry.changes, entry.reason] for entry in entries()])
    assert "targets" in text
    for secret in (PASSWORD, *factories.SECRET_ACCESS_KEY.split("/"), "AKIAI", "pbkdf2", "argon2"):
        assert secret not in text
    assert {(entry.source, entry.name) for entry in entries()} == {("command", "root")}


def test_a_dry_run_and_a_second_apply_tell_nothing() -> None:
    applying.apply(DOCUMENT, ENVIRONMENT, dry_run=True)
    assert entries() == []
    applying.apply(DOCUMENT, ENVIRONMENT)
    AuditEntry.objects.all().delete()

    applying.apply(DOCUMENT, ENVIRONMENT)

    assert entries() == []


def test_receivers_are_told_without_their_urls() -> None:
    alice = factories.alice()

    receivers.save(receivers.of(user=alice), {"urls": "json://user:geheim@example.org/x"})

    (entry,) = entries()
    assert (entry.kind, entry.label, entry.owner) == (Kind.RECEIVERS, "alice", alice)
    assert "geheim" not in json.dumps(entry.changes)
    assert "example.org" not in json.dumps(entry.changes)


def test_a_test_message_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = receivers.of(user=factories.alice())
    receivers.save(found, {"urls": "json://example.org/x"})
    AuditEntry.objects.all().delete()
    monkeypatch.setattr(post, "carry", lambda letters, _: {each.id: "" for each in letters})

    receivers.try_out("alice", [found])

    assert told() == [("tested", "alarm receivers", "alice")]


def test_only_an_exclusion_of_an_enrolled_target_is_told_too() -> None:
    row = policy()
    rule = EnrolRule.objects.create(
        account=row.account, policy=row, what="instances", tag="backup", value="shop"
    )
    place = {"instance_id": "i-0123456789abcdef0", "region": "us-east-1"}
    PolicyTarget.objects.create(policy=row, rule=rule, **place)

    policies.replace_targets(row, [PolicyTarget(exclude_boot_volume=True, **place)])

    (entry,) = entries()
    ((field, before, after),) = entry.changes
    assert field == "targets"
    assert "without boot" in after
    assert before != after


def test_a_run_that_is_wanted_again_is_told() -> None:
    row = policy()

    operations.back_up([row], by=operations.person(row.owner))

    assert told() == [("backed up", "policy", "alice/policy1")]


def test_a_removed_server_is_told() -> None:
    Server.objects.create(
        id="6f1c3c0e-0000-4000-8000-000000000001",
        host="one",
        version="1",
        first_seen_at=clock.now(),
        heartbeat_at=clock.now(),
        stopped_at=clock.now(),
        gone_at=clock.now(),
    )

    joining.remove("6f1c3c0e-0000-4000-8000-000000000001")

    assert told() == [("removed", "server", "one")]


def test_a_deleted_thing_keeps_its_entries_and_its_name() -> None:
    row = policy()

    policies.delete(row)

    assert told() == [("deleted", "policy", "alice/policy1")]


def test_a_refused_deletion_leaves_no_entry() -> None:
    row = policy()
    runs.start(policy=row, trigger=Trigger.MANUAL)
    AuditEntry.objects.all().delete()

    with pytest.raises(RefusedError):
        policies.delete(row)

    assert entries() == []


def test_who_gets_the_name_of_a_deleted_user_inherits_no_entry() -> None:
    alice = User(username="alfred")
    users.save(alice)
    users.delete(alice)

    assert {(entry.person, entry.owner) for entry in entries()} == {(None, None)}


def test_due_times_and_retries_are_nobodys_deed() -> None:
    row = policy()

    runs.start(policy=row, trigger=Trigger.SCHEDULE, scheduled_for=clock.now())

    assert entries() == []
