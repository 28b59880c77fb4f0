"""A statement that is built once does what the ORM does with the same values, in the same words."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext

from n2wbackup.lib import clock, compiled
from policies.domain.runs.sequence import State
from policies.models import Account, Run, RunEvent, RunSnapshot, RunTarget, Server
from tests.factories import (
    SECRET_ACCESS_KEY,
    AccountFactory,
    PolicyFactory,
    RunFactory,
    RunSnapshotFactory,
    RunTargetFactory,
)

pytestmark = pytest.mark.django_db


_BARE = str.maketrans("", "", "()")  # the ORM puts what is not a value itself in brackets


def texts(act: Callable[[], object]) -> list[str]:
    """Return the statements that something makes, with their values, and take back what they did."""
    with CaptureQueriesContext(connection) as found, transaction.atomic():
        act()
        transaction.set_rollback(True)
    nesting = ("SAVEPOINT", "RELEASE", "ROLLBACK")
    made = [one["sql"] for one in found if not one["sql"].startswith(nesting)]
    return [text.translate(_BARE) for text in made]


def listed(rows: Callable[[], models.QuerySet[Any, Any]]) -> list[Any]:
    return list(rows())


@compiled.Reading
def whole(run: UUID, state: str) -> models.QuerySet[Run]:
    return Run.objects.select_related("policy__owner", "account").filter(pk=run, state=state)


@compiled.Reading
def marked(server: str, since: datetime, tags_due: Any) -> models.QuerySet[Run, Any]:
    rows = Run.objects.filter(Q(not_before__lt=since) | Q(created_at__gte=since), server=server)
    return rows.filter(tags_due=tags_due).order_by("pk").values_list("pk", "created_at", "waits_on")


@compiled.Reading
def states(ids: list[str]) -> models.QuerySet[RunSnapshot, Any]:
    return RunSnapshot.objects.filter(snapshot_id__in=ids).values_list("state", flat=True)


def test_rows_are_those_of_the_orm_with_all_that_belongs_to_them() -> None:
    one, other = RunFactory.create(waits_on={"types": {"vol-1": "gp3"}}), RunFactory.create()

    for run in (one, other):
        (found,), (same,) = whole(run.pk, "queued"), whole.plain(run.pk, "queued")

        assert found == same
        for column in Run._meta.concrete_fields:
            assert getattr(found, column.attname) == getattr(same, column.attname)
        with CaptureQueriesContext(connection) as asked:
            assert found.policy is not None
            assert (found.policy.owner, found.account) == (run.owner, run.account)
            assert found.account is not None
            assert found.account.secret_access_key == SECRET_ACCESS_KEY
        assert not asked.captured_queries
    assert whole(one.pk, "waiting") == []
    assert whole.first(one.pk, "queued") == one
    assert whole.first(uuid4(), "queued") is None


def test_the_statement_is_the_orms_own_for_every_kind_of_value() -> None:
    now = clock.now()
    RunFactory.create(server="a", tags_due=True)

    for given in (("a", now, True), ("b'%s", now - timedelta(days=1), False), ("a", now, None)):
        kept = texts(partial(marked, *given))

        assert kept == texts(partial(listed, partial(marked.plain, *given)))
        assert marked(*given) == list(marked.plain(*given))
    assert len(marked("a", now - timedelta(days=1), True)) == 1


def test_lists_have_a_statement_for_each_length_and_an_empty_one_asks_nothing() -> None:
    ids = [RunSnapshotFactory.create().snapshot_id for _ in range(3)]

    for given in (ids, ids[:1], [*ids, "snap-' OR 1=1 --"]):
        assert sorted(states(given)) == sorted(states.plain(given))
        assert texts(partial(states, given)) == texts(partial(listed, partial(states.plain, given)))
    assert states([]) == []
    assert not texts(lambda: states([]))


def test_it_is_built_once() -> None:
    built = list[UUID]()

    @compiled.Reading
    def events(run: UUID) -> models.QuerySet[RunEvent]:
        built.append(run)
        return RunEvent.objects.filter(run=run)

    for _ in range(3):
        assert events(uuid4()) == []

    assert len(built) == 1
    assert isinstance(built[0], compiled.Mark)


def test_what_needs_more_than_one_statement_is_refused() -> None:
    @compiled.Reading
    def runs(run: UUID) -> models.QuerySet[Run]:
        return Run.objects.filter(pk=run).prefetch_related("targets")

    with pytest.raises(TypeError, match="prefetches nothing"):
        runs(uuid4())


Changed = tuple[type[models.Model], dict[str, Any], dict[str, Any]]


def changes() -> Iterator[Changed]:
    run = RunFactory.create(server="a", tags_due=True)
    now = clock.now()
    as_read = {"state": State.QUEUED, "server": "a", "started_at": None, "tags_due": True}
    yield Run, {"pk": run.pk} | as_read, {"state": State.PREPARING, "started_at": now}
    yield Run, {"id": run.pk}, {"waits_on": {"a": ["it's %s"]}, "not_before": None, "mark": "m"}
    yield Run, {"pk": run.pk, "created_at": run.created_at}, {"policy": run.policy, "owner": None}
    yield Run, {"policy": run.policy, "losses": 0}, {"losses": F("losses") + 1}
    yield Run, {"pk": run.pk, "not_before__isnull": True}, {"losses": 2}
    yield Run, {"pk": run.pk, "waits_on": {}}, {"losses": 3}
    yield Run, {"state": "no such' OR ''='"}, {"losses": 4}
    yield Account, {"owner": run.owner, "name": "lab"}, {"regions": ["x"], "name": "other"}


def test_a_change_is_the_orms_own() -> None:
    for model, expected, changed in changes():
        rows: models.QuerySet[Any] = models.QuerySet(model)

        kept = texts(partial(compiled.change, model, expected, changed))

        assert kept == texts(partial(rows.filter(**expected).update, **changed)), expected
        assert len(kept) == 1


def test_a_change_tells_how_many_rows_it_met_and_keeps_what_it_wrote() -> None:
    run, now = RunFactory.create(), clock.now()
    RunFactory.create()
    given = {"started_at": now, "waits_on": {"a": [1]}, "reason": "It's %s."}

    assert compiled.change(Run, {"pk": run.pk, "started_at": None}, given) == 1
    assert compiled.change(Run, {"pk": run.pk, "started_at": None}, {"reason": "No."}) == 0
    assert compiled.change(Run, {"losses": 0}, {"losses": 1}) == 2

    run.refresh_from_db()
    assert (run.started_at, run.waits_on, run.reason, run.losses) == (
        now,
        {"a": [1]},
        "It's %s.",
        1,
    )


def test_a_secret_is_stored_encrypted_and_never_compared() -> None:
    account = AccountFactory.create()

    compiled.change(Account, {"pk": account.pk}, {"secret_access_key": "n"})

    account.refresh_from_db()
    assert account.secret_access_key == "n"
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret_access_key FROM policies_account")
        assert cursor.fetchone()[0].startswith("gAAA")
    with pytest.raises(Exception, match="is encrypted"):
        compiled.change(Account, {"secret_access_key": "n"}, {"name": "x"})


def test_a_change_that_fails_takes_its_transaction_along() -> None:
    run = RunFactory.create()

    def fail() -> None:
        with transaction.atomic():
            with pytest.raises(IntegrityError):
                compiled.change(Run, {"pk": run.pk}, {"state": "no such state"})
            assert connection.needs_rollback

    fail()


def entered(number: int) -> list[RunSnapshot]:
    target, now = RunTargetFactory.create(), clock.now()
    return [
        RunSnapshot(target=target, snapshot_id=f"snap-{each}'", volume_id="vol-1", created_at=now)
        for each in range(number)
    ]


@pytest.mark.parametrize("number", [1, 2, 4, 50])
@pytest.mark.parametrize("ignore_conflicts", [False, True])
def test_rows_are_entered_as_bulk_create_does_it(number: int, ignore_conflicts: bool) -> None:
    rows = entered(number)
    same: models.QuerySet[Any] = models.QuerySet(RunSnapshot)

    def by_orm() -> None:
        same.bulk_create(rows, ignore_conflicts=ignore_conflicts)
        for row in rows:
            row.pk = None

    wanted = texts(by_orm)
    assert texts(lambda: compiled.enter(rows, ignore_conflicts=ignore_conflicts)) == wanted
    assert len(wanted) == 1


@pytest.mark.parametrize("number", [3, 150])
def test_the_keys_that_the_database_gives_are_set(number: int) -> None:
    rows = entered(number)

    assert compiled.enter(rows) == number

    assert list(RunSnapshot.objects.filter(pk__in=[row.pk for row in rows])) == rows
    assert not any(row._state.adding for row in rows)


def test_every_column_is_entered() -> None:
    run = Run(policy=PolicyFactory.create(), waits_on={"a": [1]}, created_at=clock.now(), mark="'")
    target = RunTarget(run=run, region="eu-west-1", expected_volume_ids=["vol-1"], remote={"by": 1})

    compiled.enter([run])
    compiled.enter([target])

    rows: list[Any] = [run, target]
    for row in rows:
        found = type(row)._base_manager.get(pk=row.pk)
        for column in row._meta.concrete_fields:
            assert getattr(found, column.attname) == getattr(row, column.attname), column
        assert row._state.adding is False


def test_of_rows_that_conflict_those_that_stand_stay() -> None:
    old, new = entered(2)
    compiled.enter([old])
    again = RunSnapshot(
        target=old.target, snapshot_id=old.snapshot_id, volume_id="vol-2", created_at=clock.now()
    )

    assert compiled.enter([again, new], ignore_conflicts=True) == 1

    assert sorted(RunSnapshot.objects.values_list("snapshot_id", "volume_id")) == [
        ("snap-0'", "vol-1"),
        ("snap-1'", "vol-1"),
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        compiled.enter([again])


def test_a_key_of_ours_is_entered_and_nothing_at_all_asks_nothing() -> None:
    now = clock.now()
    times = {"first_seen_at": now, "heartbeat_at": now, "stopped_at": now}

    compiled.enter([Server(pk="s", host="h", version="1", keys=[], **times)])

    assert Server.objects.get(pk="s").host == "h"
    assert not texts(lambda: compiled.enter([]))
