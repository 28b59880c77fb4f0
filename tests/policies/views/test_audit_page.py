"""The audit's page: everybody's own part of it, filters in the address, pages by key, CSV."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from policies.selectors import audit
from policies.selectors.audit import Asked
from policies.views.audit import ON_A_PAGE
from scripts_admin.models import AuditEntry, User
from tests import factories

pytestmark = pytest.mark.django_db
EVIL = '"><svg onload=alert(1)>'
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def person(name: str, **columns: Any) -> User:
    return factories.UserFactory.create(username=name, **columns)


def entry(**columns: Any) -> AuditEntry:
    said = {"at": NOON, "name": "alice", "source": "page", "action": "changed", "kind": "policy"}
    return AuditEntry.objects.create(**{**said, "label": "alice/shop", **columns})


def client(user: User) -> Client:
    made = Client()
    made.force_login(user)
    return made


def page(user: User, address: str = "/audit/", status: int = 200) -> str:
    answer = client(user).get(address)
    assert answer.status_code == status
    return answer.content.decode()


def labels(user: User, said: str = "") -> list[str]:
    """Return the labels in the CSV."""
    answer = client(user).get(f"/audit/csv/{said}")
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    return [row["name"] for row in csv.DictReader(lines)]


def test_without_a_login_there_is_nothing() -> None:
    for address in ("/audit/", "/audit/csv/"):
        assert Client().get(address)["Location"].startswith("/login/")


def test_a_person_sees_what_concerns_their_things_and_what_they_did() -> None:
    alice, boss = person("alice"), person("boss", is_superuser=True)
    entry(label="alice/hers", person=boss, name="boss", owner=alice)
    entry(label="somebody/elses", person=alice, owner=boss)
    entry(label="boss/only", person=boss, owner=boss)
    entry(label="both", person=alice, owner=alice)

    assert set(labels(alice)) == {"alice/hers", "somebody/elses", "both"}
    assert len(labels(alice)) == 3
    assert len(labels(boss)) == 4
    assert labels(person("charlie")) == []
    assert "boss/only" not in page(alice)
    assert "Nothing is here yet." in page(person("charlie"))


def test_only_superusers_see_where_somebody_else_works() -> None:
    alice, boss = person("alice"), person("boss", is_superuser=True)
    entry(person=boss, name="boss", owner=alice, address="192.0.2.1")
    entry(person=alice, owner=alice, address="192.0.2.2")
    entry(action="login refused", name="an unknown user", owner=alice, address="192.0.2.3")

    assert "192.0.2.1" not in page(alice)
    assert "192.0.2.2" in page(alice)
    assert "192.0.2.3" in page(alice)
    assert "192.0.2.1" in page(boss)


def test_every_text_is_escaped() -> None:
    boss = person("boss", is_superuser=True)
    entry(
        **dict.fromkeys(("name", "label", "key", "reason"), EVIL),
        source="page",
        changes=[[EVIL, EVIL, f"{EVIL}2"]],
    )

    for address in ("/audit/", f"/audit/?who={EVIL}", f"/audit/?action={EVIL}&since={EVIL}"):
        assert "<svg onload" not in page(boss, address)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("?who=alice", ["one", "two"]),
        ("?action=deleted", ["two"]),
        ("?kind=account", ["three"]),
        ("?subject=one", ["one"]),
        ("?since=2026-11-21", ["three"]),
        ("?until=2026-11-20", ["one", "two"]),
        ("?since=2026-11-20&until=2026-11-20&who=bob", []),
        ("?who=ali", []),
        ("?since=nonsense", []),
        ("?until=9999-12-31&since=0001-01-01", ["one", "three", "two"]),
    ],
)
def test_the_address_narrows_the_list(said: str, found: list[str]) -> None:
    boss = person("boss", is_superuser=True)
    entry(label="one")
    entry(label="two", action="deleted")
    entry(label="three", kind="account", name="bob", at=NOON + timedelta(days=1))

    assert sorted(labels(boss, said)) == found
    shown = page(boss, f"/audit/{said}")
    assert all(f"{label}\n" in shown for label in found)


def test_a_mistake_in_the_filter_is_told() -> None:
    shown = page(person("boss", is_superuser=True), "/audit/?since=nonsense")

    assert "Enter a valid date." in shown
    assert "No entry is like that." in shown


def test_a_list_is_walked_forth_and_back_and_no_entry_comes_twice() -> None:
    alice = person("alice")
    for number in range(ON_A_PAGE * 2 + 5):  # a third is both: hers, and done by her
        own = {"owner": alice} if number % 3 else {"person": alice}
        both = {"owner": alice, "person": alice} if number % 5 == 0 else own
        entry(label=f"n{number}", at=NOON + timedelta(seconds=number // 7), **both)
    asked, seen, tokens = Asked(), [], [""]

    while True:
        found = audit.page(alice, asked, ON_A_PAGE, after=tokens[-1])
        seen += [row.label for row in found.rows]
        if not found.after:
            break
        tokens.append(found.after)

    assert len(seen) == len(set(seen)) == ON_A_PAGE * 2 + 5
    assert len(tokens) == 3
    back = audit.page(alice, asked, ON_A_PAGE, before=found.before)
    assert [row.label for row in back.rows] == seen[ON_A_PAGE : ON_A_PAGE * 2]
    first = audit.page(alice, asked, ON_A_PAGE, before=back.before)
    assert [row.label for row in first.rows] == seen[:ON_A_PAGE]
    assert not first.before


@pytest.mark.parametrize("token", ["x", "1", "-", "9" * 400 + "-1", "999999999999999999-1", "²-²"])
def test_a_token_that_is_none_shows_the_first_page(token: str) -> None:
    entry(label="one")
    boss = person("boss", is_superuser=True)

    assert "one" in page(boss, f"/audit/?after={token}") or token == "999999999999999999-1"
    assert "one" in page(boss, f"/audit/?before={token}")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(text: str) -> None:
    entry(label=text, name=text, reason=text, changes=[[text, text, text]])

    answer = client(person("boss", is_superuser=True)).get("/audit/csv/")

    cells = [
        cell
        for row in csv.reader(b"".join(answer.streaming_content).decode().splitlines())  # type: ignore[attr-defined]
        for cell in row
    ]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]


def test_the_csv_reads_in_parts_and_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "READ_TOGETHER", 10)
    alice = person("alice")
    for number in range(25):
        entry(label=f"n{number}", owner=alice if number % 2 else None, person=alice)

    with CaptureQueriesContext(connection) as queries:
        found = labels(alice)

    assert sorted(found) == sorted(f"n{number}" for number in range(25))
    read = [query["sql"] for query in queries if "auditentry" in query["sql"]]
    assert all("LIMIT 10" in query for query in read)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(),
        Asked(who="alice"),
        Asked(action="changed"),
        Asked(kind="policy"),
        Asked(subject="alice/shop"),
        Asked(since=NOON.date(), until=NOON.date()),
        Asked(who="alice", since=NOON.date()),
    ],
)
@pytest.mark.parametrize("is_superuser", [True, False])
def test_each_list_is_a_search_in_an_index(asked: Asked, *, is_superuser: bool) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole")
    someone = person("alice", is_superuser=is_superuser)

    for way in audit.ways(someone, asked):
        plan = audit.older(way, audit.Key(NOON, 1))[:50].explain()
        assert "USE TEMP B-TREE" not in plan
        assert "INDEX audit_" in plan


def test_the_page_asks_few_questions_however_many_entries_there_are() -> None:
    boss = person("boss", is_superuser=True)
    visitor = client(boss)
    entry()
    visitor.get("/audit/")
    with CaptureQueriesContext(connection) as few:
        visitor.get("/audit/")
    for _ in range(ON_A_PAGE):
        entry()

    with CaptureQueriesContext(connection) as many:
        visitor.get("/audit/")

    assert len(many) == len(few)
