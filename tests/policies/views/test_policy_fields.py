"""Each field of the table reaches the row, the document, the form, the page and the JSON."""

import json
from typing import Any

import pytest
from django.db import models
from django.test import Client

from policies.api import as_json
from policies.domain.document import fields, keys
from policies.domain.document.fields import Setting
from policies.domain.document.kinds import Kind
from policies.models import Policy, PolicyTarget
from policies.selectors import policies as selectors
from policies.services.document import applying, columns, exporting
from policies.services.due import outlook
from scripts_admin.models import User
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
TABLE = [pytest.param(field, id=field.key) for field in fields.POLICY]
NUMBERS = [
    pytest.param(field, id=field.key) for field in fields.POLICY if field.kind == Kind.NUMBER
]
CHOICES = [
    pytest.param(field, id=field.key) for field in fields.POLICY if field.kind == Kind.CHOICE
]
PAGE = "/policies/alice/policy1/"


def other(field: Setting) -> int | str:
    if field.kind == Kind.TEXT:
        return "Europe/Berlin"
    if field.kind == Kind.CHOICE:
        return next(choice for choice, _ in field.choices if choice != field.default)
    if field.key == "proof.level":
        return field.low  # a higher one needs to know which application starts
    return int(field.default) + 1 if field.kind == Kind.NUMBER else not field.default


def document(field: Setting, value: int | str) -> str:
    said = fields.nested([field], lambda _: value)
    return json.dumps({"policies": [{"owner": "alice", "name": "policy1", **said}]})


def held(tree: dict[str, Any], key: str) -> Any:
    for step in key.split("."):
        tree = tree[step]
    return tree


def test_the_table_has_every_setting_that_people_enter_and_the_models_defaults() -> None:
    found = {
        column.name: (type(column), column.default)
        for column in Policy._meta.concrete_fields
        if column.editable
        and (
            isinstance(column, models.BooleanField | models.PositiveIntegerField)
            or getattr(column, "choices", None)
            or column.name == "retention_timezone"
        )
    }
    kinds = {
        Kind.NUMBER: models.PositiveIntegerField,
        Kind.TRUTH: models.BooleanField,
        Kind.CHOICE: models.CharField,
        Kind.TEXT: models.CharField,
    }

    assert found == {each.column: (kinds[each.kind], each.default) for each in fields.POLICY}


def test_the_table_of_targets_has_every_column_that_people_enter() -> None:
    kept = {"id", "policy"}

    found = {column.name for column in PolicyTarget._meta.concrete_fields if column.editable} - kept
    assert found == {each.column for each in fields.TARGET}


@pytest.mark.parametrize("field", NUMBERS)
def test_a_default_is_within_its_range(field: Setting) -> None:
    assert field.low <= int(field.default) <= field.high


@pytest.mark.parametrize("field", TABLE)
def test_a_field_has_one_key_and_one_column(field: Setting) -> None:
    assert columns.key_of(field.column) == field.key
    assert [each.key for each in fields.POLICY].count(field.key) == 1


@pytest.mark.parametrize("field", TABLE)
def test_a_field_is_applied_and_exported_and_shown_as_json(policy: Policy, field: Setting) -> None:
    (change,) = applying.apply(document(field, other(field)), {})

    assert list(change.fields) == [field.key]
    found = selectors.whole().get()
    assert getattr(found, field.column) == other(field)
    read, mistakes = keys.read(exporting.export())
    assert (read.policies[0].get(field.key), mistakes) == (other(field), [])
    assert held(as_json.policy(found, outlook.of_policy(found)), field.key) == other(field)


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_beyond_its_range_is_told_at_its_key(policy: Policy, field: Setting) -> None:
    for value in (field.low - 1, field.high + 1):
        with pytest.raises(applying.MistakesError) as caught:
            applying.apply(document(field, value), {})

        ((place, sentence),) = caught.value.mistakes
        assert place.field == f"policies[0].{field.key}"
        assert f"This is {value} but must be from {field.low} to {field.high}" in sentence


@pytest.mark.parametrize("field", CHOICES)
def test_a_choice_that_is_none_is_told_at_its_key(policy: Policy, field: Setting) -> None:
    with pytest.raises(applying.MistakesError) as caught:
        applying.apply(document(field, "perfect"), {})

    ((place, sentence),) = caught.value.mistakes
    assert place.field == f"policies[0].{field.key}"
    choices = ", ".join(choice for choice, _ in field.choices)
    assert f"This is 'perfect' but must be one of {choices}: correct it." in sentence


@pytest.mark.parametrize("field", TABLE)
def test_a_field_stands_in_the_form_with_its_label_help_and_default(
    client: Client, boss: User, field: Setting
) -> None:
    form = client.get("/admin/policies/policy/add/").context["adminform"].form
    shown = form.fields[field.column]

    assert (shown.label, shown.help_text) == (field.label, field.hint)
    assert form[field.column].initial == field.default
    if field.kind == Kind.NUMBER:
        assert shown.help_text.startswith(f"{field.help} From {field.low} to {field.high}")


@pytest.mark.parametrize("field", TABLE)
def test_a_field_is_shown_on_the_page_in_words(policy: Policy, field: Setting) -> None:
    Policy.objects.update(**{"retry_count": 1, field.column: other(field)})
    found = selectors.whole().get()
    (row,) = [row for row in selectors.settings(found) if row.key == field.key]

    seen = " ".join(page.read(page.client_of(policy.owner), PAGE).text.split())

    told = f"{row.label} {row.words}"
    if field.key == "retries.minutes":
        told = f"1, {row.words} apart"
    elif field.column.startswith("keep_"):
        told = f"Retention {found.rules.in_words.capitalize()}."
    assert told in seen


def test_words_name_the_unit_or_what_is_done(policy: Policy) -> None:
    Policy.objects.update(collect_output=False, max_freeze_seconds=77)

    rows = {row.key: row.words for row in selectors.settings(selectors.whole().get())}

    assert rows["max_freeze_seconds"] == "77 s"
    assert rows["scripts.collect_output"] == "not kept"
    assert rows["scripts.enabled"] == "run, from the folder alice"
    assert rows["retries.count"] == "2"
