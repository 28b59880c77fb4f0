"""Keys: two are valid at a time, the private half never leaves and is gone when a key is retired."""

import pytest
from django.db import connection

from scripts_admin.domain.audit import Action, Kind
from scripts_admin.hosts import keypairs
from scripts_admin.hosts.keypairs import KeyRefusedError
from scripts_admin.models import AuditEntry, Folder, SshKey, User
from scripts_admin.services import folders, keys
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    return folders.of(alice)


def test_two_keys_are_valid_while_one_replaces_the_other(alice: User, folder: Folder) -> None:
    first, second = keys.make(folder, by=alice), keys.make(folder, by=alice)

    with pytest.raises(KeyRefusedError, match="Two keys are valid already"):
        keys.make(folder, by=alice)
    keys.retire(first, by=alice)
    third = keys.make(folder, by=alice)

    valid = set(SshKey.objects.filter(slot__isnull=False).values_list("pk", flat=True))
    assert valid == {second.pk, third.pk}


def test_a_retired_key_has_no_private_half_and_can_only_then_be_removed(
    alice: User, folder: Folder
) -> None:
    key = keys.make(folder, by=alice)
    with pytest.raises(KeyRefusedError, match="retire it first"):
        keys.remove(key, by=alice)

    keys.retire(key, by=alice)
    keys.retire(key, by=alice)

    stored = SshKey.objects.get(pk=key.pk)
    assert (stored.private, stored.is_valid) == ("", False)
    keys.remove(key, by=alice)
    assert not SshKey.objects.exists()
    done = AuditEntry.objects.filter(kind=Kind.SSH_KEY).order_by("pk")
    assert [each.action for each in done] == [Action.CREATED, Action.RETIRED, Action.REMOVED]


def test_the_private_half_is_encrypted_in_the_database_and_in_no_audit_entry(
    alice: User, folder: Folder
) -> None:
    key = keys.make(folder, by=alice)

    with connection.cursor() as cursor:
        cursor.execute("SELECT private FROM scripts_admin_sshkey")
        (stored,) = cursor.fetchone()
    assert stored.startswith("gAAAA")
    assert "PRIVATE" in SshKey.objects.get(pk=key.pk).private
    assert "PRIVATE" not in str(list(AuditEntry.objects.values_list()))
    assert key.fingerprint in str(AuditEntry.objects.get(kind=Kind.SSH_KEY).changes)


def test_a_key_is_kept_once(alice: User, folder: Folder) -> None:
    pair = keypairs.make()
    key = keys.bring(folder, pair.private, by=alice)

    with pytest.raises(KeyRefusedError, match="is here already"):
        keys.bring(folder, pair.private, by=alice)
    keys.retire(key, by=alice)
    with pytest.raises(KeyRefusedError, match="and was retired"):
        keys.bring(folder, pair.private, by=alice)
