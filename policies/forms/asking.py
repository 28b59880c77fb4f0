"""How forms use the saving rules of the services."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model


def fill(row: Model, cleaned: dict[str, Any]) -> None:
    """Copy the entered values to the row now; Django does it only after `clean`."""
    for name, value in cleaned.items():
        if name in {field.name for field in row._meta.concrete_fields}:
            setattr(row, name, value)


def ask(
    form: forms.BaseForm,
    check: Callable[[], None],
    columns: dict[str, str],
) -> None:
    """Show each mistake at the field of its column, or above all fields if the form has none."""
    names = {column: name for name, column in columns.items()}
    try:
        check()
    except ValidationError as error:
        for column, sentences in error.message_dict.items():
            name = names.get(column, column)
            form.add_error(name if name in form.fields else None, ValidationError(sentences))
