"""The words of the audit: before and after, and never a secret."""

import pytest

from scripts_admin.domain import audit
from scripts_admin.domain.audit import SECRET, Change
from tests.ground.properties import given, st


def test_only_what_differs_is_told_in_the_words_of_the_document() -> None:
    before = {"enabled": True, "name": "shop", "schedules": ["a", "b"], "gone": 1}
    after = {"enabled": False, "name": "shop", "schedules": ["b"], "new": None}

    assert audit.difference(before, after) == [
        Change("enabled", "true", "false"),
        Change("schedules", "a, b", "b"),
        Change("gone", "1", ""),
    ]


@pytest.mark.parametrize(
    "field",
    [
        *("password", "secret_access_key", "access_key_id", "urls", "ping_url", "API token"),
        *("alarm_urls_env", "key", "private half", "passphrase", "recovery_codes"),
    ],
)
def test_a_secret_is_only_named(field: str) -> None:
    assert audit.unsecret([Change(field, "", "hunter2")]) == [Change(field, "", SECRET)]
    assert audit.unsecret([Change(field, "hunter2", "")]) == [Change(field, SECRET, "")]


@given(st.text(), st.text())
def test_a_secret_stays_one_whatever_it_is(before: str, after: str) -> None:
    (change,) = audit.unsecret([Change("password", before, after)])

    assert {change.before, change.after} <= {"", SECRET}
