"""Secrets at rest: a text field whose column holds a Fernet token, never the text."""

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
    _TextField = models.TextField  # it takes no types at run time

_BATCH = 500


class DecryptionError(Exception):
    """A stored value was written under none of the keys we have; the text names the field."""


class EncryptedTextField(_TextField):
    """Text that is encrypted under the first of `N2W_ENCRYPTION_KEYS` and read with any of them.

    Reading with the wrong keys raises DecryptionError, and never gives the token. The same text
    gives another token each time, so the column can be asked for NULL and for nothing else. It is
    not serialised: whoever dumps rows would dump secrets.
    """

    description = "Encrypted text"

    def get_db_prep_save(
        self,
        value: Any,  # noqa: ANN401 - a text, None, or an expression of the ORM
        connection: BaseDatabaseWrapper,  # noqa: ARG002 - Django passes it to every field
    ) -> Any:  # noqa: ANN401
        """Return the token of a value to be stored; None and expressions pass as they are."""
        if value is None or hasattr(value, "as_sql"):
            return value
        return _keys().encrypt(str(value).encode()).decode()

    def from_db_value(
        self, value: str | None, _expression: object, _connection: object
    ) -> str | None:
        """Return the text behind a stored token, or raise DecryptionError."""
        if value is None:
            return None
        try:
            return _keys().decrypt(value).decode()
        except InvalidToken:
            _refuse_token(self)

    def get_lookup(self, lookup_name: str) -> Any:  # noqa: ANN401 - Django's own type is private
        """Return `isnull`; any other comparison with a token would be false: FieldError."""
        if lookup_name != "isnull":
            raise FieldError(
                f"{_label(self)} is encrypted: it can be asked for NULL, not for {lookup_name}."
            )
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """Refuse, with a TypeError: a serialised row would carry the secret in the clear."""
        del obj
        raise TypeError(
            f"{_label(self)} is encrypted and is not serialised: back up the database itself."
        )


def seal(text: str) -> str:
    """Return a token of the text that may lie on disk."""
    return _keys().encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """Return the text behind a token of `seal`, or raise DecryptionError."""
    try:
        return _keys().decrypt(token).decode()
    except InvalidToken:
        raise DecryptionError(
            "A sealed text cannot be opened with the keys in N2W_ENCRYPTION_KEYS: "
            "append the key it was written under."
        ) from None


def fields() -> list[EncryptedTextField]:
    """Return every encrypted field that has a column, each once."""
    return [
        field
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


def rekey(model: type[models.Model], field: str) -> int:
    """Write every value of one encrypted field again, under the first key; return the count.

    All or nothing: when one value was written under a key that we do not have, DecryptionError,
    and nothing is changed.
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
            # The cast makes it plain text again: the token itself is wanted, not what it hides.
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
        "append the key it was written under, or enter the value anew."
    ) from None


def _label(field: EncryptedTextField) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _keys() -> MultiFernet:
    return _cipher(tuple(settings.N2W_ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
