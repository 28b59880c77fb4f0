"""Accounts with a role or the server's own role: the stored values, the permission, and the use in a run."""

import uuid

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies.domain.errors import CredentialsError, ThrottledError
from policies.domain.runs.sequence import State
from policies.models import Account, RunTarget, WindowLease
from policies.ports import Credentials
from policies.services.document import applying, exporting
from policies.services.entry import accounts as enrolling
from policies.services.entry import policies
from policies.services.window import credentials
from scripts_admin import permissions
from scripts_admin.models import AuditEntry, User
from tests import factories
from tests.policies.services.backup import Backup, is_one_sentence

pytestmark = pytest.mark.django_db
ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def alice() -> User:
    return factories.alice()


def a_role(owner: User, name: str = "theirs", **values: str) -> Account:
    account = Account(owner=owner, name=name, auth="role", **({"role_arn": ROLE} | values))
    enrolling.save(account)
    return Account.objects.get(pk=account.pk)


def an_own(owner: User) -> Account:
    account = Account(owner=owner, name="own", auth="instance")
    enrolling.save(account)
    return account


def test_a_role_gets_an_external_id_of_the_servers_making(alice: User) -> None:
    stored = a_role(alice, external_id="i-would-like-this-one")

    assert uuid.UUID(stored.external_id).version == 4
    assert credentials.of(stored) == Credentials("", "", ROLE, stored.external_id)


def test_two_owners_of_one_role_have_two_external_ids(alice: User) -> None:
    assert a_role(alice).external_id != a_role(factories.charlie()).external_id


def test_an_external_id_is_never_changed(alice: User) -> None:
    account = a_role(alice)
    kept = account.external_id

    account.external_id = a_role(factories.charlie()).external_id
    account.role_arn = f"{ROLE}2"
    enrolling.save(account)
    account.auth, account.role_arn = "keys", ""
    account.access_key_id, account.secret_access_key = "AKIA", "s"
    enrolling.save(account)
    account.auth, account.role_arn, account.access_key_id = "role", ROLE, ""
    enrolling.save(account)

    stored = Account.objects.get(pk=account.pk)
    assert (stored.external_id, stored.secret_access_key) == (kept, "")


@pytest.mark.parametrize(
    "values",
    [
        {"auth": "role", "role_arn": ROLE, "external_id": ""},
        {"auth": "role", "external_id": "x"},
        {"auth": "role", "role_arn": ROLE, "external_id": "x", "access_key_id": "A"},
        {"auth": "instance", "role_arn": ROLE},
        {"auth": "keys", "role_arn": ROLE, "access_key_id": "A"},
    ],
)
def test_the_database_holds_what_each_kind_needs(alice: User, values: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.create(owner=alice, name="x", **values)
    assert not Account.objects.exists()


@pytest.mark.parametrize("arn", ["", "backup", "arn:aws:iam::12:role/x", f"{ROLE} ", "*"])
def test_what_is_no_role_is_refused(alice: User, arn: str) -> None:
    with pytest.raises(ValidationError, match="is not the ARN of a role"):
        a_role(alice, role_arn=arn)
    assert not Account.objects.exists()


def test_only_whom_a_superuser_allowed_it_uses_the_servers_own_role(alice: User) -> None:
    with pytest.raises(ValidationError, match="alice is not allowed to use the server's own role"):
        an_own(alice)
    assert not Account.objects.exists()

    permissions.set_server_role(alice, given=True)
    an_own(alice)
    assert permissions.has_server_role(alice)


def test_a_group_may_be_allowed_it_too(alice: User) -> None:
    group = Group.objects.create(name="operators")
    group.permissions.add(Permission.objects.get(codename="use_server_role"))
    alice.groups.add(group)

    an_own(alice)

    assert not permissions.has_server_role(alice)  # that is about the direct grant


def test_who_is_inactive_may_not(alice: User) -> None:
    permissions.set_server_role(alice, given=True)
    User.objects.update(is_active=False, is_superuser=True)

    assert not permissions.may_use_server_role(alice)


def on_the_servers_role(backup: Backup) -> None:
    permissions.set_server_role(backup.policy.owner, given=True)
    backup.policy.account = an_own(backup.policy.owner)
    policies.save(backup.policy)


def test_a_policy_may_use_it_only_while_its_owner_may(backup: Backup) -> None:
    on_the_servers_role(backup)
    permissions.set_server_role(backup.policy.owner, given=False)

    with pytest.raises(ValidationError, match="own role, but alice is not allowed to"):
        policies.save(backup.policy)
    backup.policy.enabled = False
    policies.save(backup.policy)  # disabling it stays possible

    backup.policy.refresh_from_db()
    assert not backup.policy.enabled


def test_a_right_that_was_withdrawn_fails_the_run_before_anything_is_frozen(
    backup: Backup,
) -> None:
    backup.scripts()
    on_the_servers_role(backup)
    run = backup.start()
    permissions.set_server_role(backup.policy.owner, given=False)

    backup.to_end(run)

    assert run.state == State.FAILED
    assert "uses the server's own role, but alice is not (or no longer) allowed to" in run.reason
    assert is_one_sentence(run.reason)
    assert backup.marks == ["complete 0"]
    assert backup.cloud.calls == []
    assert not RunTarget.objects.filter(run=run).exists()


def test_snapshots_that_are_there_are_followed_to_their_end_without_the_right(
    backup: Backup,
) -> None:
    on_the_servers_role(backup)
    run = backup.window()
    permissions.set_server_role(backup.policy.owner, given=False)
    backup.cloud.advance()

    backup.complete(backup.settle(run))

    assert run.state == State.SUCCEEDED


def test_credentials_are_renewed_for_the_window_before_anything_is_reserved(
    backup: Backup,
) -> None:
    backup.policy.max_freeze_seconds = 300
    backup.policy.save()

    backup.window()

    methods = [call.method for call in backup.cloud.calls]
    assert methods.index("renew") < methods.index("warm") < methods.index("fire")
    assert backup.calls("renew")[0].ids == ("420",)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (CredentialsError("The role is gone."), State.COMPLETING),
        (ThrottledError("They end too soon."), State.QUEUED),
    ],
)
def test_without_credentials_for_the_window_nothing_is_frozen(
    backup: Backup, error: Exception, state: State
) -> None:
    backup.scripts()
    backup.cloud.fail_next("renew", error)  # type: ignore[arg-type]

    run = backup.window()

    assert run.state == state
    assert run.events.filter(text=str(error)).exists()
    assert backup.marks == []
    assert backup.calls("fire") == []
    assert not WindowLease.objects.exists()


DOCUMENT = """\
users: [{name: alice, server_role: true}]
accounts:
  - {owner: alice, name: own, auth: instance}
  - {owner: alice, name: theirs, auth: role, role_arn: "arn:aws:iam::123456789012:role/backup"}
"""


def test_apply_enters_roles_and_rights_and_twice_is_once() -> None:
    first = applying.apply(DOCUMENT, {})
    kept = Account.objects.get(name="theirs").external_id

    again = applying.apply(DOCUMENT, {})

    assert [change.action for change in first] == ["created"] * 3
    assert first[0].fields["server_role"] == "true"
    assert {change.action for change in again} == {"unchanged"}
    assert permissions.has_server_role(User.objects.get())
    assert Account.objects.get(name="theirs").external_id == kept


def test_apply_takes_the_right_away_and_leaves_it_where_nothing_is_said() -> None:
    applying.apply(DOCUMENT, {})

    applying.apply("users: [{name: alice}]", {})
    assert permissions.has_server_role(User.objects.get())
    (change,) = applying.apply("users: [{name: alice, server_role: false}]", {})

    assert (change.action, change.fields) == ("changed", {"server_role": "false"})
    assert not permissions.has_server_role(User.objects.get())


def test_apply_lets_snapshots_be_opened_and_takes_it_back() -> None:
    applying.apply("users: [{name: alice}]", {})
    first = applying.apply("users: [{name: alice, open_snapshots: true}]", {})
    assert first[0].fields["open_snapshots"] == "true"
    assert permissions.may_open_snapshots(User.objects.get())
    (again,) = applying.apply("users: [{name: alice, open_snapshots: true}]", {})
    assert again.action == "unchanged"
    assert "open_snapshots: true" in exporting.export()

    applying.apply("users: [{name: alice}]", {})
    assert permissions.may_open_snapshots(User.objects.get())
    (change,) = applying.apply("users: [{name: alice, open_snapshots: false}]", {})
    assert (change.action, change.fields) == ("changed", {"open_snapshots": "false"})
    assert not permissions.may_open_snapshots(User.objects.get())
    assert "open_snapshots: false" in exporting.export()
    changes = AuditEntry.objects.filter(changes__0__0="snapshots may be mounted")
    assert [one.changes[0][1:] for one in changes.order_by("pk")] == [["no", "yes"], ["yes", "no"]]


def test_a_dry_run_gives_no_right() -> None:
    applying.apply(DOCUMENT, {}, dry_run=True)

    assert not User.objects.exists()


def test_an_external_id_is_not_entered() -> None:
    with pytest.raises(applying.MistakesError) as caught:
        applying.apply(DOCUMENT.replace("auth: role,", "auth: role, external_id: mine,"), {})

    (mistake,) = caught.value.mistakes
    assert (mistake.place.line, mistake.place.field) == (4, "accounts[1].external_id")
    assert mistake.sentence.startswith("The server makes the external id")
    assert not Account.objects.exists()


def test_an_account_that_becomes_a_role_forgets_its_keys(alice: User) -> None:
    applying.apply(
        "accounts: [{owner: alice, name: lab, access_key_id: A, secret_access_key_env: S}]",
        {"S": "s"},
    )

    applying.apply(f"accounts: [{{owner: alice, name: lab, auth: role, role_arn: '{ROLE}'}}]", {})

    stored = Account.objects.get()
    assert (stored.access_key_id, stored.secret_access_key) == ("", "")
    applying.apply(
        "accounts: [{owner: alice, name: lab, auth: keys, access_key_id: A, secret_access_key_env: S}]",
        {"S": "s"},
    )
    stored.refresh_from_db()
    assert (stored.auth, stored.role_arn) == ("keys", "")
