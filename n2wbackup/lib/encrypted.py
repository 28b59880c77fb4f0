"""Secrets at rest: a text field whose column has a Fernet token, never the text."""

import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Cast

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField  # it is not generic at run time

_BATCH = 500


class DecryptionError(Exception):
    """None of our keys can decrypt a stored value; the text names the field."""


class EncryptedTextField(_TextField):
    """Text that is encrypted with the first of `N2W_ENCRYPTION_KEYS` and read with any of them.

    Reading with the wrong keys raises DecryptionError, and never returns the token. The same text gives
    another token each time, so the column can be compared with NULL and with nothing else. It is not
    serialised: a dump of rows would contain the secrets.
    """

    description = "Encrypted text"

    def get_db_prep_save(
        self,
        value: Any,  # noqa: ANN401 - a text, None, or an expression of the ORM
        connection: BaseDatabaseWrapper,  # noqa: ARG002 - Django passes it to every field
    ) -> Any:  # noqa: ANN401
        """Return the token for a value to be stored; None and expressions stay as they are."""
        if value is None or hasattr(value, "as_sql"):
            return value
        return _keys().encrypt(str(value).encode()).decode()

    def from_db_value(
        self, value: str | None, _expression: object, _connection: object
    ) -> str | None:
        """Return the text of a stored token, or raise DecryptionError."""
        if value is None:
            return None
        try:
            return _keys().decrypt(value).decode()
        except InvalidToken:
            _refuse_token(self)

    def get_lookup(self, lookup_name: str) -> Any:  # noqa: ANN401 - Django's own type is private
        """Return `isnull`; FieldError for every other comparison, which would always be false for a token."""
        if lookup_name != "isnull":
            raise FieldError(
                f"{_label(self)} is encrypted: it can be compared with NULL, not with {lookup_name}."
            )
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """Raise TypeError: a serialised row would contain the secret as plain text."""
        del obj
        raise TypeError(
            f"{_label(self)} is encrypted and is not serialised: back up the database itself."
        )


def seal(text: str) -> str:
    """Return the text as an encrypted token, which may be written to disk."""
    return _keys().encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """Return the text of a token from `seal`, or raise DecryptionError."""
    try:
        return _keys().decrypt(token).decode()
    except InvalidToken:
        raise DecryptionError(
            "A sealed text cannot be decrypted with the keys in N2W_ENCRYPTION_KEYS: "
            "append the key that encrypted it."
        ) from None


def fields() -> list[EncryptedTextField]:
    """Return every encrypted field that has a column, each one once."""
    return [
        field
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


def rekey(model: type[models.Model], field: str) -> int:
    """Encrypt every value of one encrypted field again, with the first key; return the count.

    All or nothing: if we do not have the key of one value, DecryptionError, and nothing is changed.
    """
    column = model._meta.get_field(field)
    if not isinstance(column, EncryptedTextField):
        raise TypeError(f"{model._meta.label}.{field} is not an encrypted field.")
    every: models.QuerySet[Any] = models.QuerySet(model)
    rows = every.filter(**{f"{field}__isnull": False}).order_by("pk")
    count = 0
    last: Any = None
    with transaction.atomic(using=rows.db):
        while True:
            page = rows if last is None else rows.filter(pk__gt=last)
            # The cast makes it a plain text column: we need the token itself, not the decrypted text.
            token = Cast(field, models.TextField())
            found = list(page.select_for_update().values_list("pk", token)[:_BATCH])
            for key, old in found:
                new = models.Value(_rotate(column, old), output_field=models.TextField())
                rows.filter(pk=key).update(**{field: new})
            count += len(found)
            if len(found) < _BATCH:
                return count
            last = found[-1][0]


def _rotate(field: EncryptedTextField, token: str) -> str:
    try:
        return _keys().rotate(token).decode()
    except InvalidToken:
        _refuse_token(field)


def _refuse_token(field: EncryptedTextField) -> NoReturn:
    raise DecryptionError(
        f"A value of {_label(field)} cannot be decrypted with the keys in N2W_ENCRYPTION_KEYS: "
        "append the key that encrypted it, or enter the value again."
    ) from None


def _label(field: EncryptedTextField) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _keys() -> MultiFernet:
    return _cipher(tuple(settings.N2W_ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def fingerprints() -> list[str]:
    """Return a fingerprint of each key, the encrypting one first; they tell whether two servers have the same."""
    return [_fingerprint(key) for key in settings.N2W_ENCRYPTION_KEYS]


def _fingerprint(key: str) -> str:
    return hmac.new(key.encode(), b"n2wbackup key", hashlib.sha256).hexdigest()[:16]
