"""What instances told, entered into the rows: once, and nothing of it is forgotten when a journal is lost."""

from typing import Any

import pytest

from policies.models import PhaseResult, RunTarget
from policies.services.window import heard
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record
from tests.factories import RunFactory, RunTargetFactory

pytestmark = pytest.mark.django_db
INSTANCE = "i-0123456789abcdef0"
RECORD = Record(
    run="run",
    boot="boot",
    folder="",
    environment={},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    instances=(OnInstance(INSTANCE, "ssh", before="before", after="after"),),
)


def told(*words: dict[str, Any], begun: float = 5.0) -> Journal:
    story = Journal(opened=True)
    story.take({"event": "go there", "at": begun, "boot": begun, "instances": [INSTANCE]})
    for number, word in enumerate(words):
        at = begun + number
        story.take({"event": "heard there", "at": at, "boot": at, "instance": INSTANCE, **word})
    return story


def thawed_by(by: str) -> list[dict[str, Any]]:
    return [
        {"word": "before", "code": "0"},
        {"word": "thawing", "by": by, "argument": "0"},
        {"word": "after", "attempt": 1, "code": "0", "by": by},
        {"word": "over", "by": by},
    ]


@pytest.fixture
def row() -> RunTarget:
    return RunTargetFactory.create(
        run=RunFactory.create(state="thawing"), instance_id=INSTANCE, remote={"by": "ssh"}
    )


def enter(row: RunTarget, journal: Journal, *owed: str) -> bool:
    return heard.enter(row.run, RECORD, journal, owed, with_texts=True)


def test_what_is_entered_is_no_news_and_outlives_the_journal(row: RunTarget) -> None:
    assert enter(row, told(*thawed_by("eof")))
    row.refresh_from_db()
    known = (row.thaw_by, row.thaw_began_at, row.thawed_at)
    assert all(known)
    assert not enter(row, told(*thawed_by("eof")))

    # This server was restarted, and its memory is empty.
    events = row.run.events.count()
    assert not enter(row, Journal(), INSTANCE)
    assert not enter(row, Journal(), INSTANCE)

    row.refresh_from_db()
    assert (row.thaw_by, row.thaw_began_at, row.thawed_at) == known
    assert row.run.events.count() == events
    found = PhaseResult.remote.filter(run=row.run).values_list("phase", "outcome")
    assert sorted(found) == [("after", "succeeded"), ("before", "succeeded")]


def test_an_instance_that_was_started_anew_changes_nothing_that_it_told_before(
    row: RunTarget,
) -> None:
    enter(row, told(*thawed_by("eof")))
    row.refresh_from_db()

    assert not enter(row, told(*thawed_by("orphan")[1:], begun=900.0))

    again = RunTarget.objects.get(pk=row.pk)
    assert (again.thaw_by, again.thawed_at) == (row.thaw_by, row.thawed_at)


def test_what_was_interrupted_gets_its_end(row: RunTarget) -> None:
    assert enter(row, Journal(), INSTANCE)
    assert PhaseResult.remote.get(run=row.run).outcome == "interrupted"

    assert enter(row, told(*thawed_by("silence")))

    before = PhaseResult.remote.get(run=row.run, phase="before")
    assert (before.outcome, before.exit_code) == ("succeeded", 0)
