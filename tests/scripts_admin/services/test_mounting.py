"""Mounting is off for every owner until a superuser allows it."""

import pytest
from django.core.management import call_command
from django.test import Client

from scripts_admin.models import AuditEntry, Folder
from scripts_admin.services import folders, mounting
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/admin/scripts_admin/folder/"


def may_mount(folder: Folder) -> bool:
    return Folder.objects.get(pk=folder.pk).may_mount


def test_nobodys_snapshots_are_mounted_at_first() -> None:
    for owner in (factories.alice(), factories.UserFactory.create(is_superuser=True)):
        folder = folders.of(owner)
        assert f"allow_mounting {folder.name}" in mounting.why_not(folder)


def test_the_command_allows_and_forbids_and_the_audit_keeps_it() -> None:
    folder = folders.of(factories.alice())
    call_command("allow_mounting", "alice")
    call_command("allow_mounting", "alice")
    assert mounting.why_not(Folder.objects.get(pk=folder.pk)) == ""
    call_command("allow_mounting", "alice", "--off")
    assert not may_mount(folder)
    found = AuditEntry.objects.filter(label="alice", action="changed")
    assert found.count() == 2


@pytest.mark.parametrize("is_superuser", [True, False])
def test_only_a_superuser_allows_it_in_the_admin(client: Client, is_superuser: bool) -> None:
    folder = folders.of(factories.alice())
    person = factories.UserFactory.create(is_staff=True, is_superuser=is_superuser)
    client.force_login(person)
    client.post(URL, {"action": "allow_mounting", "_selected_action": [folder.pk]})
    assert may_mount(folder) == is_superuser
