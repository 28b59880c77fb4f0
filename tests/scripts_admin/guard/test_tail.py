"""What complete prints can be watched while it runs; what before and after print cannot, and no secret ever can."""

import pytest

from n2wbackup.lib import redaction
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import tail
from scripts_admin.guard.capture import Capture
from scripts_admin.guard.tail import Tail
from tests.scripts_admin.guard.stage import SECONDS, SECRET, Stage, keep, until


def test_complete_is_seen_while_it_runs(stage: Stage) -> None:
    held_back = redaction.masker((SECRET,)).reach
    more = f"head -c {held_back} /dev/zero | tr '\\0' ' '"
    wait = "until [ -e stop ]; do sleep 0.05; done"
    stage.script("complete", f"echo begun; {more}; {wait}; echo over")
    stage.spool()

    guard = stage.guard((Phase.COMPLETE, "1", 1))
    until(lambda: tail.read(stage.runtime, Phase.COMPLETE, "stdout").startswith(b"begun\n"))
    assert b"over" not in tail.read(stage.runtime, Phase.COMPLETE, "stdout")
    (stage.folder / "stop").touch()
    guard.wait_until_done(SECONDS)
    guard.release()

    assert stage.attempt(Phase.COMPLETE).stdout.endswith("over\n")


def test_within_a_window_nothing_is_written_for_a_watcher(stage: Stage) -> None:
    stage.script("before", "echo hello")
    stage.script("after", "echo hello; exit 4")

    keep(stage)
    stage.thaw()  # repeated: the application may be frozen all the same

    assert sorted(path.name for path in stage.runtime.iterdir()) == ["journal"]


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_divided_by_two_reads_is_never_there(stage: Stage, cut: int) -> None:
    stage.runtime.mkdir(parents=True, mode=0o700)
    capture = Capture((SECRET,))
    capture.tell = Tail(stage.runtime, Phase.COMPLETE, "stdout").write

    capture.feed(b"a" * 500 + SECRET[:cut])
    seen = tail.read(stage.runtime, Phase.COMPLETE, "stdout")
    capture.feed(SECRET[cut:] + b"z" * 500)
    later = tail.read(stage.runtime, Phase.COMPLETE, "stdout")

    assert set(seen) == {ord("a")}
    assert later.startswith(seen)
    assert b"a[masked]z" in later
    assert SECRET[:4] not in later


def test_what_is_seen_is_what_is_entered_later_byte_by_byte(stage: Stage) -> None:
    stage.runtime.mkdir(parents=True, mode=0o700)
    capture = Capture()
    capture.tell = Tail(stage.runtime, Phase.COMPLETE, "stderr").write
    for byte in "é\xff\0 ok\n".encode("latin-1") + "é".encode():
        capture.feed(bytes([byte]))

    seen = tail.read(stage.runtime, Phase.COMPLETE, "stderr").decode()

    assert seen == capture.text().replace("\0", "\N{REPLACEMENT CHARACTER}")


def test_the_file_is_bounded_and_a_missing_one_is_empty(stage: Stage) -> None:
    assert tail.read(stage.runtime, Phase.COMPLETE, "stdout") == b""
    Tail(stage.runtime, Phase.COMPLETE, "stdout").write(b"x")  # no folder: it says nothing
    stage.runtime.mkdir(parents=True, mode=0o700)
    written = Tail(stage.runtime, Phase.COMPLETE, "stdout")
    for _ in range(3):
        written.write(b"x" * (tail.LIMIT_BYTES // 2))

    assert len(tail.read(stage.runtime, Phase.COMPLETE, "stdout")) == tail.LIMIT_BYTES
