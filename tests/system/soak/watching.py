"""What is looked at all the while: how long everybody is frozen, and what each process holds."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.processes import memory_bytes
from tests.ground.leeway import LEEWAY
from tests.system.soak import estate as estates
from tests.system.soak.estate import AFTER, MAX_FREEZE_SECONDS, Estate

OF_A_RUN = (estates.GUARD, "n2wbackup carrier", "n2wbackup visitor")
LOOK_SECONDS = 0.25
SAMPLE_SECONDS = 5.0
VISIT_SECONDS = 1.0
# From the start of before: the budget until after starts, and what after itself takes. A keeper that dies at
# the very end of it leaves its window to the watchdog, which is promised to thaw within 10 s. A server that
# was dead as a whole thaws within 5 s of its next start, which is less; until that start nobody is there to
# thaw, so that time is not counted. A busy machine may take three times what is promised.
BUDGET_SECONDS = MAX_FREEZE_SECONDS + AFTER[1]
WATCHDOG_SECONDS = 10.0
LIMIT_SECONDS = BUDGET_SECONDS + LEEWAY * WATCHDOG_SECONDS


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a moment: memory of its own in bytes, and open descriptors."""

    at: float
    memory: int
    descriptors: int


@dataclass(slots=True)
class Stretch:
    """One process for as long as it lived."""

    kind: str
    pid: int
    born: str
    samples: list[Sample] = field(default_factory=list)


@dataclass
class Watch:
    """A thread that looks; use as a context manager. What is wrong is told at once, and stands in `wrong`."""

    estate: Estate
    tell: Callable[[str], None]
    wrong: list[str] = field(default_factory=list)
    frozen_seconds: dict[str, float] = field(default_factory=dict)  # by policy.run, as far as seen
    stretches: dict[tuple[int, str], Stretch] = field(default_factory=dict)
    seen: dict[tuple[int, str], str] = field(default_factory=dict)  # every process, and its title
    most_frozen: int = 0  # at one time
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to look."""
        for each in (self._look, self._visit):
            thread = threading.Thread(target=each, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        """Be somebody who looks at the web; whether it answers counts only in the end."""
        while not self._over.wait(VISIT_SECONDS):
            self.estate.visit()

    def _look(self) -> None:
        sampled = 0.0
        try:
            while not self._over.wait(LOOK_SECONDS):
                self._look_at_frozen(time.time())
                if time.monotonic() - sampled >= SAMPLE_SECONDS:
                    sampled = time.monotonic()
                    self._sample()
        except Exception as error:
            self._complain(f"the watch itself ended: {type(error).__name__}: {error}")
            raise

    def _look_at_frozen(self, now: float) -> None:
        since = {}
        for path in self.estate.frozen.iterdir():
            try:
                since[path.name] = path.stat().st_mtime
            except FileNotFoundError:
                continue  # thawed just now
        self.most_frozen = max(self.most_frozen, len(since))
        policies = [name.partition(".")[0] for name in since]
        for policy in {one for one in policies if policies.count(one) > 1}:
            self._complain(f"{policy} is frozen by two runs at a time: {sorted(since)}")
        for name, at in since.items():
            seconds = counted(at, now, self.estate.down)
            if seconds > LIMIT_SECONDS >= self.frozen_seconds.get(name, 0.0):
                self._complain(f"{name} is frozen for {seconds:.1f} s, more than {LIMIT_SECONDS} s")
            self.frozen_seconds[name] = seconds

    def _complain(self, sentence: str) -> None:
        if sentence not in self.wrong:
            self.wrong.append(sentence)
            self.tell(f"WRONG: {sentence}")

    def _sample(self) -> None:
        for pid in self.estate.supervised():
            born, kind = estates.born(pid), _kind(pid)
            if not born:
                continue
            self.seen[pid, born] = kind or estates.title(pid)
            memory = own_memory(pid) if kind else 0
            if not memory:
                continue
            stretch = self.stretches.setdefault((pid, born), Stretch(kind, pid, born))
            stretch.kind = kind  # what it shows until it is ready is another's
            stretch.samples.append(Sample(time.time(), memory, _descriptors(pid)))


def own_memory(pid: int) -> int:
    """Return a process's memory that belongs to no file, in bytes; 0 of one that is gone.

    Whether it shares that with children is left out: who has just forked would seem to hold almost nothing.
    """
    return memory_bytes(pid).get("Anonymous", 0)


def _kind(pid: int) -> str:
    """Return what a process is that lives as long as its server; "" for guards, carriers, scripts and couriers."""
    words = estates.words(pid)
    shown = words[0].rstrip() if words else ""
    if "forkserver" in " ".join(words):
        return "parent of guards"
    if shown.startswith("n2wbackup ") and not shown.startswith(OF_A_RUN):
        return shown.removeprefix("n2wbackup ").split("  ")[0]  # Valkey pads its title
    return ""


def counted(since: float, now: float, down: list[tuple[float, float | None]]) -> float:
    """Return the seconds from `since` to `now` in which the server was not dead as a whole."""
    dead = 0.0
    for began, ended in down:
        dead += max(0.0, min(now, ended or now) - max(since, began))
    return now - since - dead


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0
