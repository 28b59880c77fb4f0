import json
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from n2wbackup.lib import encrypted
from policies.models import Account, AlarmDelivery, AlarmReceivers
from scripts_admin.models import SshKey, User

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRET = "wJalrXUtnFEMI/K7MDENG"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def old_key(settings: Settings) -> None:
    settings.N2W_ENCRYPTION_KEYS = [OLD]


@pytest.fixture
def owner() -> User:
    return User.objects.create(username="alice")


@pytest.fixture
def account(owner: User) -> Account:
    return _account(owner, "lab")


def _account(owner: User, name: str, secret: str = SECRET) -> Account:
    return Account.objects.create(
        owner=owner, name=name, access_key_id="AKIA", secret_access_key=secret
    )


def _columns() -> list[str]:
    """Return what is really in the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret_access_key FROM policies_account ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def test_the_column_holds_a_token_and_the_model_the_text(account: Account) -> None:
    (token,) = _columns()

    assert SECRET not in token
    assert Fernet(OLD).decrypt(token).decode() == SECRET
    assert Account.objects.get().secret_access_key == SECRET


def test_every_way_of_writing_encrypts(owner: User, account: Account) -> None:
    Account.objects.update(secret_access_key="by update")
    account.secret_access_key = "by bulk_update"
    second = Account(owner=owner, name="two", access_key_id="A", secret_access_key="by bulk_create")
    Account.objects.bulk_create([second])
    Account.objects.bulk_update([account], ["secret_access_key"])

    assert [Fernet(OLD).decrypt(token).decode() for token in _columns()] == [
        "by bulk_update",
        "by bulk_create",
    ]


def test_the_wrong_key_is_an_error_that_shows_neither_token_nor_text(
    account: Account, settings: Settings
) -> None:
    settings.N2W_ENCRYPTION_KEYS = [NEW]

    with pytest.raises(encrypted.DecryptionError) as caught:
        Account.objects.get()

    message = str(caught.value)
    assert "policies.Account.secret_access_key cannot be decrypted" in message
    assert _columns()[0] not in message
    assert SECRET not in message


def test_a_second_key_still_reads(account: Account, settings: Settings) -> None:
    settings.N2W_ENCRYPTION_KEYS = [NEW, OLD]

    assert Account.objects.get().secret_access_key == SECRET


def test_a_column_of_tokens_cannot_be_searched(account: Account) -> None:
    with pytest.raises(FieldError, match="it can be compared with NULL, not with exact"):
        Account.objects.filter(secret_access_key=SECRET)

    assert Account.objects.filter(secret_access_key__isnull=False).count() == 1


def test_a_dump_of_rows_is_refused(account: Account) -> None:
    with pytest.raises(TypeError, match="back up the database itself"):
        serializers.serialize("json", [account])


def test_every_encrypted_field_is_known() -> None:
    assert [(field.model, field.name) for field in encrypted.fields()] == [
        (SshKey, "private"),
        (Account, "secret_access_key"),
        (AlarmReceivers, "urls"),
        (AlarmReceivers, "ping_url"),
        (AlarmDelivery, "url"),
    ]


def test_rekey_brings_every_value_under_the_first_key(
    owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypted, "_BATCH", 2)
    for number in range(5):
        _account(owner, f"account-{number}", f"secret-{number}")
    settings.N2W_ENCRYPTION_KEYS = [NEW, OLD]

    count = encrypted.rekey(Account, "secret_access_key")

    assert count == 5
    assert [Fernet(NEW).decrypt(token).decode() for token in _columns()] == [
        f"secret-{number}" for number in range(5)
    ]


def test_rekey_changes_nothing_when_one_value_cannot_be_read(
    owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypted, "_BATCH", 1)
    _account(owner, "readable")
    settings.N2W_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    _account(owner, "lost")
    before = _columns()
    settings.N2W_ENCRYPTION_KEYS = [NEW, OLD]

    with pytest.raises(encrypted.DecryptionError):
        encrypted.rekey(Account, "secret_access_key")

    assert _columns() == before


def test_rekey_of_a_plain_field_is_a_mistake() -> None:
    with pytest.raises(TypeError, match=r"policies\.Account\.name is not an encrypted field"):
        encrypted.rekey(Account, "name")


def test_the_command_says_how_many_and_never_what(account: Account, settings: Settings) -> None:
    settings.N2W_ENCRYPTION_KEYS = [NEW, OLD]
    plain, as_json = StringIO(), StringIO()

    call_command("rekey", stdout=plain)
    call_command("rekey", "--json", stdout=as_json)

    assert "policies.Account.secret_access_key: 1 rekeyed.\n" in plain.getvalue()
    assert json.loads(as_json.getvalue())["rekeyed"] == {
        "scripts_admin.SshKey.private": 0,
        "policies.Account.secret_access_key": 1,
        "policies.AlarmReceivers.urls": 0,
        "policies.AlarmReceivers.ping_url": 0,
        "policies.AlarmDelivery.url": 0,
        "second factors": 0,
    }
    assert Fernet(NEW).decrypt(_columns()[0]).decode() == SECRET


def test_the_command_fails_with_a_sentence_and_changes_nothing(
    account: Account, settings: Settings
) -> None:
    before = _columns()
    settings.N2W_ENCRYPTION_KEYS = [NEW]

    with pytest.raises(CommandError, match=r"append the key .* Nothing was changed\."):
        call_command("rekey", stdout=StringIO())

    assert _columns() == before


def test_a_sealed_text_may_lie_on_disk_and_is_opened_with_our_keys_only(settings: Settings) -> None:
    token = encrypted.seal(SECRET)

    assert SECRET not in token
    settings.N2W_ENCRYPTION_KEYS = [NEW, OLD]
    assert encrypted.unseal(token) == SECRET

    settings.N2W_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(encrypted.DecryptionError, match="cannot be decrypted") as caught:
        encrypted.unseal(token)
    assert token not in str(caught.value)
