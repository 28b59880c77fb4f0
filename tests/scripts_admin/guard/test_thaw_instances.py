"""Which instances may still be frozen, and for how long they are asked: from record and journal alone."""

from dataclasses import replace
from typing import Any

import pytest

from scripts_admin.domain.phases import Outcome
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record
from scripts_admin.guard.thaw import Standing, standing

BOOT = "boot"
RECORD = Record(
    run="run",
    boot=BOOT,
    folder="",
    environment={},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    instances=(OnInstance("a", "ssh"), OnInstance("b", "ssh"), OnInstance("c", "ssh", armed=False)),
)


class Story:
    """A journal of a window with instances."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.take("armed", 0.0)

    def take(self, event: str, boot: float = 1.0, **values: Any) -> "Story":
        self.journal.take({"event": event, "at": boot, "boot": boot} | values)
        return self

    def heard(self, instance: str, word: str, **values: Any) -> "Story":
        return self.take("heard there", 3.0, instance=instance, word=word, **values)

    def opened(self) -> "Story":
        return self.take("opened").take("go there", 2.0, instances=["a", "b"])

    def stands(self, now: float = 10.0, record: Record = RECORD, boot: str = BOOT) -> Standing:
        return standing(record, self.journal, boot, now)


def over(story: Story, instance: str, code: str = "0") -> Story:
    story.heard(instance, "thawing", by="worker", argument="1")
    story.heard(instance, "after", attempt=1, code=code, by="worker")
    return story.heard(instance, "over", by="worker")


def test_nobody_is_owed_before_the_first_go() -> None:
    assert Story().stands().is_thawed
    assert Story().take("opened").stands().is_thawed


def test_whoever_was_told_to_go_is_owed_until_it_is_over() -> None:
    story = Story().opened()
    assert story.stands().owed == ("a", "b")
    assert story.stands().failing
    over(story, "a")
    assert story.stands().owed == ("b",)
    over(story, "b")
    assert story.stands().is_thawed


def test_a_go_that_came_late_froze_nothing() -> None:
    story = over(Story().opened(), "a").heard("b", "refused", why="late-go")

    assert story.stands().is_thawed
    assert story.journal.of("b").outcome == Outcome.NOT_RUN


def test_a_lost_connection_is_no_end() -> None:
    story = over(Story().opened(), "a").heard("b", "gone", why="cut")

    assert story.stands().owed == ("b",)
    assert story.journal.of("b").outcome == Outcome.INTERRUPTED


@pytest.mark.parametrize("boot", [BOOT, "another"])
def test_all_that_were_armed_are_owed_where_the_journal_is_lost(boot: str) -> None:
    assert standing(RECORD, None, boot, 10.0).owed == ("a", "b")
    begun_again = Journal()  # by the process that runs the server's own after
    begun_again.take({"event": "opened", "at": 5.0, "boot": 5.0})
    assert standing(RECORD, begun_again, boot, 10.0).owed == ("a", "b")


def test_what_a_second_session_heard_counts_after_a_reboot() -> None:
    journal = Journal(opened=True)
    for instance in ("a", "b"):
        journal.take(
            {"event": "heard there", "at": 1, "boot": 1, "instance": instance}
            | {"word": "over", "by": "orphan"}
        )

    assert standing(RECORD, journal, "another", 10.0).owed == ()


def test_instances_are_asked_for_as_long_as_the_servers_after_is_repeated() -> None:
    story = Story().opened().take("visiting", 100.0)

    assert not story.stands(now=3699.0).given_up
    assert story.stands(now=3701.0).given_up


def test_an_after_that_failed_there_to_the_last_is_given_up_at_once() -> None:
    story = over(over(Story().opened(), "a"), "b", code="4")

    assert story.stands().given_up
    assert not story.stands().is_thawed


def test_a_second_session_tells_all_anew_and_changes_nothing() -> None:
    story = over(Story().opened().heard("a", "before", code="0"), "a")
    known = replace(story.journal.of("a"))
    story.take("heard there", 9.0, instance="a", word="before", code="0")
    story.take("heard there", 9.0, instance="a", word="over", by="orphan")

    assert story.journal.of("a") == known


def test_an_older_version_leaves_instances_to_themselves() -> None:
    assert standing(replace(RECORD, format=99), None, BOOT, 10.0).owed == ()


def test_where_the_journal_was_lost_what_a_second_session_heard_counts() -> None:
    story = Story()
    story.heard("a", "before", code="0")
    over(story, "a")

    assert story.journal.of("a").outcome == Outcome.SUCCEEDED
