"""One poller tells a loop of news by a descriptor; a thaw waits for no other call."""

import select
import threading
from collections.abc import Sequence

from scripts_admin.runners.ssm import Event, Fleet, Invocation, Lost, NotSentError, Said, Step
from scripts_admin.runners.ssm_line import Line
from scripts_admin.runners.words import Before, By, Thawing
from tests.scripts_admin.runners.fake_ssm import FakeSsm

PATIENCE = 60


def news(line: Line) -> list[Event]:
    assert select.select([line], [], [], PATIENCE)[0]
    return line.take()


def test_news_make_the_descriptor_readable_until_they_are_taken() -> None:
    client = FakeSsm(refusals=[NotSentError("denied")])
    line = Line(Fleet(client, "f00d", "n2wbackup"))
    try:
        assert line.take() == []
        line.arm({"i-1": "a"})
        assert news(line) == [Lost("i-1", Step.BEFORE, "denied")]
        assert not select.select([line], [], [], 0)[0]
        line.arm({"i-2": "a"})
        while not client.sent:
            pass
        client.end("c1", "i-2", "n2w1 f00di-2 before 0 1.00\n")
        assert news(line) == [Said("i-2", Step.BEFORE, Before(0, 1.0))]
    finally:
        line.close()


class Hanging(FakeSsm):
    """Its questions hang."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.free = threading.Event(), threading.Event()

    def look(self, command_ids: Sequence[str]) -> list[Invocation]:
        self.asked.set()
        assert self.free.wait(PATIENCE)
        return super().look(command_ids)


def test_a_thaw_is_sent_while_a_question_hangs() -> None:
    client = Hanging()
    line = Line(Fleet(client, "f00d", "n2wbackup"))
    try:
        line.arm({"i-1": "a"})
        assert client.asked.wait(PATIENCE)
        line.thaw({"i-1": "b"})
        while len(client.sent) < 2:
            pass
        client.end("c2", "i-1", "n2w1 f00di-1 thawing worker 1 2.00\n")
        client.free.set()
        assert Said("i-1", Step.AFTER, Thawing(By.WORKER, "1", 2.0)) in news(line)
    finally:
        client.free.set()
        line.close()
