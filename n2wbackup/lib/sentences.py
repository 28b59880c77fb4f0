"""Columns with text for people, in which words of AWS, of scripts and of users may stand."""

from typing import TYPE_CHECKING, Any

from django.db import models

from n2wbackup.lib import terminal

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField  # it is not generic at run time


class SentenceField(_TextField):
    """One line of text, harmless wherever it is shown: made so when stored, and when read again.

    So a byte that the database does not take (NUL, a lone surrogate) never keeps a row from being written.
    """

    def get_prep_value(self, value: Any) -> Any:  # noqa: ANN401 - a text, None, or an expression of the ORM
        """Return the harmless text."""
        value = super().get_prep_value(value)
        return self.harmless(value) if isinstance(value, str) else value

    def from_db_value(
        self, value: str | None, _expression: object, _connection: object
    ) -> str | None:
        """Return the harmless text; an older version may have stored another."""
        return None if value is None else self.harmless(value)

    def harmless(self, value: str) -> str:
        return terminal.line(value)

    def deconstruct(self) -> Any:  # noqa: ANN401 - Django's own type is a long tuple
        """Be a text field for the migrations: the column is one."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.TextField", arguments, options


class LinesField(SentenceField):
    """The same with several lines."""

    def harmless(self, value: str) -> str:
        return terminal.block(value)
