"""Mounting is off for every owner until a superuser allows it."""

import pytest
from django.core.management import CommandError, call_command

from scripts_admin import permissions
from scripts_admin.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_command_allows_and_forbids_and_the_audit_keeps_it() -> None:
    alice = factories.alice()
    assert not permissions.may_open_snapshots(alice)
    call_command("allow_mounting", "alice")
    call_command("allow_mounting", "alice")
    assert permissions.may_open_snapshots(alice)
    call_command("allow_mounting", "alice", "--off")
    assert not permissions.may_open_snapshots(alice)
    assert not permissions.may_open_snapshots(factories.bob())
    assert AuditEntry.objects.filter(label="alice", action="changed").count() == 2


def test_it_is_not_said_to_be_forbidden_where_it_is_not() -> None:
    factories.UserFactory.create(username="chief", is_superuser=True)
    with pytest.raises(CommandError, match="chief is a superuser"):
        call_command("allow_mounting", "chief", "--off")


def test_nobody_is_allowed_by_a_wrong_name() -> None:
    with pytest.raises(CommandError):
        call_command("allow_mounting", "nobody")
    assert not AuditEntry.objects.filter(action="changed").exists()
