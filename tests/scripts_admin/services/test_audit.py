"""The audit: who, from where, once for each thing, harmless and of a limited size."""

from threading import Thread

import pytest
from django.db import transaction

from scripts_admin.domain.audit import Action, Change, Kind, Source
from scripts_admin.models import AuditEntry
from scripts_admin.services import audit
from scripts_admin.services.audit import Edge, Subject
from tests import factories

pytestmark = pytest.mark.django_db
SHOP = Subject(Kind.POLICY, "alice/shop", "1")


def entry() -> AuditEntry:
    return AuditEntry.objects.get()


def test_without_an_edge_it_is_the_server() -> None:
    audit.record(Action.CHANGED, SHOP)

    assert (entry().name, entry().source, entry().person) == ("the server", "server", None)


def test_a_person_at_an_edge_is_copied_by_name() -> None:
    alice = factories.alice()
    with audit.coming_from(Edge(Source.PAGE, address="192.0.2.7", person=lambda: alice)):
        audit.record(Action.CHANGED, SHOP)

    found = entry()
    assert (found.name, found.person, found.source) == ("alice", alice, "page")
    assert found.address == "192.0.2.7"


def test_an_operation_knows_its_actor_better_than_the_edge() -> None:
    alice, charlie = factories.alice(), factories.charlie()
    with (
        audit.coming_from(Edge(Source.ADMIN, address="192.0.2.7", person=lambda: charlie)),
        audit.done_by(alice),
    ):
        audit.record(Action.CHANGED, SHOP)

    assert (entry().person, entry().source, entry().address) == (alice, "admin", "192.0.2.7")


def test_the_edge_of_one_thread_is_not_anothers() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(audit.edge().source)

    with audit.coming_from(Edge(Source.COMMAND, name="root")):
        thread = Thread(target=look)
        thread.start()
        thread.join()

    assert seen == [Source.SERVER]
    assert audit.edge().source == Source.SERVER


def test_an_edge_ends_also_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), audit.coming_from(Edge(Source.PAGE)):
        _ = 1 / 0

    assert audit.edge().source == Source.SERVER


def test_evil_text_is_stored_harmless_and_short() -> None:
    evil = "a\x00b\x1b[31m\u202e\ud800" + "x" * 10_000
    with audit.coming_from(Edge(Source.PAGE, address="9" * 100, name=evil)):
        audit.record(
            Action.CHANGED,
            Subject(Kind.POLICY, evil, evil),
            [Change(evil, evil, evil)],
            reason=evil,
        )

    found = entry()
    texts = [found.name, found.label, found.key, found.reason, *found.changes[0]]
    assert all("\x1b" not in text and "\u202e" not in text for text in texts)
    assert max(map(len, texts)) <= 500
    assert len(found.address) == 45


def test_one_thing_that_several_services_change_is_told_once() -> None:
    with audit.together():
        audit.record(Action.CREATED, SHOP, [Change("a", "", "1")])
        audit.record(Action.CHANGED, SHOP, [Change("b", "", "2")])
        audit.record(Action.CREATED, Subject(Kind.SCHEDULE, "alice/shop", "1"))

    told = AuditEntry.objects.order_by("pk").values_list("action", "kind", "changes")
    assert list(told) == [
        ("created", "policy", [["a", "", "1"], ["b", "", "2"]]),
        ("created", "schedule", []),
    ]


def test_an_error_within_takes_everything_back() -> None:
    def fail() -> None:
        with transaction.atomic(), audit.together():
            audit.record(Action.CREATED, SHOP)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not AuditEntry.objects.exists()
