"""A value that no database can store is reported with its place; a secret in the wrong place is never repeated."""

from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from policies.services.document import applying
from policies.services.document.applying import MistakesError
from scripts_admin.models import User

ALICE = "users: [{name: alice, superuser: true}]\n"


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"


def mistakes(text: str) -> list[str]:
    with pytest.raises(MistakesError) as caught:
        applying.apply(text, {})
    return [f"{m.place.line} {m.place.field}: {m.sentence}" for m in caught.value.mistakes]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('users: [{name: "a\\0b"}]', "users[0].name"),
        ('users: [{name: "a\\ud800b"}]', "users[0].name"),
        (f'users: [{{name: alice, email: "{"a" * 300}@example.org"}}]', "users[0].email"),
        ('accounts: [{owner: "a\\0b", name: x}]', "accounts[0].owner"),
        (
            f"{ALICE}accounts: [{{owner: alice, name: x, auth: instance, region: aa-{'b' * 40}-1}}]",
            "accounts[0].region",
        ),
        (
            f'{ALICE}schedules: [{{owner: alice, name: "a\\0", cron: 0 2 * * *}}]',
            "schedules[0].name",
        ),
        (
            f'{ALICE}schedules: [{{owner: alice, name: x, cron: "{",".join("0" * 150)} 2 * * *"}}]',
            "schedules[0].cron",
        ),
        (
            f"{ALICE}schedules: [{{owner: alice, name: x, every: {{hours: {'9' * 5000}}}}}]",
            "schedules[0].every.hours",
        ),
    ],
    ids=["nul", "surrogate", "email", "owner", "region", "schedule", "cron", "number"],
)
def test_what_no_column_can_hold_is_told_at_its_place(text: str, field: str) -> None:
    (mistake,) = mistakes(text)

    assert f" {field}: " in mistake
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["!Hunter2x", "*Hunter2x"])
def test_a_secret_in_the_place_of_its_variable_is_not_repeated(value: str) -> None:
    told = mistakes(f"users: [{{name: alice, password_env: {value} }}]")

    assert "hunter2x" not in " ".join(told).lower()


@pytest.mark.django_db(transaction=True)
def test_a_password_is_hashed_before_the_others_have_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = []
    for name in ("set_password", "check_password"):
        real = getattr(User, name)

        def watched(user: User, raw: str, real: object = real) -> object:
            held.append(connection.in_atomic_block)
            return real(user, raw)  # type: ignore[operator]

        monkeypatch.setattr(User, name, watched)
    text = "users: [{name: alice, password_env: ALICE}]"
    for _ in range(2):
        applying.apply(text, {"ALICE": "correct horse battery"})

    assert held == [False, False]
