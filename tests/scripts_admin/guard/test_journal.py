"""The journal, line by line; a line is left out if its writer died while writing it."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import journal, linux


def test_a_journal_that_was_never_begun_is_known_from_one_that_is_empty(tmp_path: Path) -> None:
    assert journal.read_if_there(tmp_path) is None
    assert journal.read(tmp_path).opened is False

    journal.create(tmp_path)

    assert journal.read_if_there(tmp_path) is not None


def whole(folder: Path) -> journal.Writer:
    writer = journal.Writer(folder)
    writer.write("spawned", phase="before", attempt=1, pid=11, start_ticks=22)
    writer.write("opened")
    writer.write("ordered", phase="before", attempt=1, argument=None, script="before_p.sh")
    writer.write("ended", phase="before", attempt=1, outcome="failed", exit_code=3)
    writer.write("thaw", by="worker")
    writer.write("ordered", phase="after", attempt=1, argument="0", script="after_p.sh")
    return writer


def test_what_was_written_is_read(tmp_path: Path) -> None:
    started = linux.boottime()
    writer = whole(tmp_path / "run")
    writer.write("output", phase="before", attempt=1, stdout="out", stderr="err")

    found = journal.read(tmp_path / "run")

    before = found.before
    assert before is not None
    assert before.process == linux.Process(11, 22)
    assert (before.outcome, before.exit_code, before.settled) == ("failed", 3, "failed")
    assert (before.stdout, before.stderr, before.script) == ("out", "err", "before_p.sh")
    assert started <= (before.ordered_boot or 0) <= (before.ended_boot or 0) <= linux.boottime()
    assert (found.opened, found.thaw_by) == (True, "worker")
    after = found.afters[0]
    assert (after.argument, after.settled) == ("0", Outcome.INTERRUPTED)


def test_it_lies_in_a_folder_that_nobody_else_may_enter(tmp_path: Path) -> None:
    whole(tmp_path / "run")

    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "run" / journal.NAME).stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    whole(tmp_path)
    path = tmp_path / journal.NAME
    text = path.read_bytes()
    kept = text.rstrip(b"\n").rsplit(b"\n", 1)[0]

    for end in range(len(kept) + 1, len(text) - 1):
        path.write_bytes(text[:end])
        assert journal.read(tmp_path).afters == []
        assert journal.read(tmp_path).thaw_by == "worker"


def test_the_next_writer_is_not_glued_to_a_torn_line(tmp_path: Path) -> None:
    whole(tmp_path)
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes()[:-20])

    journal.Writer(tmp_path).write("ordered", phase="after", attempt=1, argument="0", script="s")

    assert len(journal.read(tmp_path).afters) == 1


def event(kind: str, **values: Any) -> dict[str, Any]:
    return {"event": kind, "at": 1.0, "boot": 2.0} | values


@pytest.mark.parametrize(
    ("events", "settled"),
    [
        ([], Outcome.NOT_RUN),
        (["spawned"], Outcome.NOT_RUN),
        (["spawned", "ordered"], Outcome.INTERRUPTED),
        (["spawned", "ordered", "ended"], Outcome.SUCCEEDED),
    ],
)
def test_the_end_of_a_script_is_known_or_it_was_interrupted(
    events: list[str], settled: str
) -> None:
    known = journal.Journal()
    for kind in events:
        known.take(
            event(
                kind,
                phase="before",
                attempt=1,
                pid=1,
                start_ticks=1,
                argument=None,
                script="s",
                outcome="succeeded",
                exit_code=0,
            )
        )

    assert (known.before or journal.Attempt(Phase.BEFORE, 1)).settled == settled


def test_afters_are_those_that_were_let_go_in_their_order() -> None:
    known = journal.Journal()
    for number in (3, 1, 2):
        known.take(event("spawned", phase="after", attempt=number, pid=1, start_ticks=1))
    for number in (3, 1):
        known.take(event("ordered", phase="after", attempt=number, argument="0", script="s"))

    assert [attempt.number for attempt in known.afters] == [1, 3]


def test_text_of_any_kind_survives(tmp_path: Path) -> None:
    text = 'ä\n\0"\\ � \ud83d'
    whole(tmp_path).write("output", phase="before", attempt=1, stdout=text, stderr="")

    before = journal.read(tmp_path).before

    assert before is not None
    assert before.stdout == text
    assert all(json.loads(line) for line in (tmp_path / journal.NAME).read_text().splitlines())


def test_a_process_of_a_phase_that_is_unknown_here_is_known_all_the_same(tmp_path: Path) -> None:
    journal.Writer(tmp_path).write("spawned", phase="before@i-1", attempt=1, pid=1, start_ticks=2)

    (attempt,) = journal.read(tmp_path).attempts.values()

    assert attempt.process == linux.Process(1, 2)
    assert journal.read(tmp_path).afters == []


def test_a_thaw_that_somebody_unknown_here_began_counts_as_automatic(tmp_path: Path) -> None:
    journal.Writer(tmp_path).write("thaw", by="somebody")

    known = journal.read(tmp_path)

    assert known.thaw_by is ThawBy.LOST
    assert known.thaw_boot is not None
