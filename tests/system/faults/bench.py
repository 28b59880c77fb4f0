"""Many cells at a time, each kind of server used for as long as it is sound."""

import os
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.system.faults import cells, every, judge
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Fault

Cell = tuple[Fault, str]
ENOUGH = 3  # cells that wait for each bed of a kind, before another is made


def strike(wanted: Iterable[Cell], jobs: int) -> list[Finding]:
    """Run every cell, `jobs` at a time, and report each as it ends; return the findings."""
    bench = _Bench(wanted)
    with ThreadPoolExecutor(jobs) as pool:
        working = [pool.submit(bench.work) for _ in range(jobs)]
    for each in working:
        each.result()
    return bench.findings


class _Bench:
    """The cells that wait, by the bed they need, and the findings."""

    def __init__(self, wanted: Iterable[Cell]) -> None:
        self.findings: list[Finding] = []
        self._taking = threading.Lock()
        # Starting is work for the processor; what comes after it is mostly waiting.
        self._starting = threading.Semaphore(os.cpu_count() or 1)
        self._waiting: dict[str, deque[Cell]] = defaultdict(deque)
        self._at: Counter[str] = Counter()  # who works on which kind
        for fault, moment in wanted:
            self._waiting[fault.bed].append((fault, moment))

    def work(self) -> None:
        """Take cells until none is left that is worth a bed of one's own."""
        while kind := self._join():
            try:
                with ExitStack() as stack:
                    self._in_one_bed(kind, stack)
            finally:
                with self._taking:
                    self._at[kind] -= 1

    def _join(self) -> str:
        """Return the kind of bed to make next; "" if none.

        One that nobody has yet comes first: a bed costs as much as a cell, so a second of a kind is made only where
        many cells wait.
        """
        with self._taking:
            waiting = [kind for kind, cells in self._waiting.items() if cells]
            free = sorted((kind for kind in waiting if not self._at[kind]), key=self._turn)
            worth = [kind for kind in waiting if len(self._waiting[kind]) > ENOUGH * self._at[kind]]
            worth.sort(key=lambda kind: -len(self._waiting[kind]) / (self._at[kind] + 1))
            found = next(iter([*free, *worth]), "")
            if found:
                self._at[found] += 1
            return found

    def _turn(self, kind: str) -> tuple[float, int]:
        waiting = self._waiting[kind]
        return -max((fault.lasts for fault, _ in waiting), default=0.0), -len(waiting)

    def _take(self, kind: str) -> Cell | None:
        with self._taking:
            return self._waiting[kind].popleft() if self._waiting[kind] else None

    def _made(self, kind: str, stack: ExitStack) -> Bed:
        with self._starting:
            return stack.enter_context(every.BEDS[kind]())

    def _in_one_bed(self, kind: str, stack: ExitStack) -> None:
        bed: Bed | None = None
        while cell := self._take(kind):
            fault, moment = cell
            began = time.monotonic()
            try:
                bed = bed or self._made(kind, stack)
                finding = cells.strike(bed, fault, moment)
            except pytest.skip.Exception as reason:
                finding = Finding(fault.name, moment, left_out=str(reason))
            except Exception as error:  # noqa: BLE001 - one cell that breaks must not end the table
                finding = Finding(fault.name, moment, wrong=[f"{type(error).__name__}: {error}"])
                if bed is not None and bed.frozen.exists():
                    finding.wrong.append(judge.FROZEN)
                sys.stderr.write(traceback.format_exc())
            self.findings.append(finding)
            _tell(finding, time.monotonic() - began)
            if finding.wrong or finding.left_out or not fault.spares_server:
                return


def _tell(finding: Finding, seconds: float) -> None:
    thawed = "" if finding.thawed_seconds is None else f"thawed {finding.thawed_seconds:.2f} s, "
    how = "; ".join(finding.wrong) or finding.left_out or "as demanded"
    sys.stdout.write(
        f"{finding.fault} / {finding.moment}: {thawed}after {finding.argument or '-'}, "
        f"{finding.state}, {finding.consistency} [{seconds:.0f} s] {how[:1000]}\n"
    )
    sys.stdout.flush()
