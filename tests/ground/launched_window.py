"""A window of a server that is not root, kept by real guards: `python -m tests.ground.launched_window`.

It takes words from its standard input, and answers each with a line of JSON. Its folder has `folder` with the
scripts; spool and journal come beside it.
"""

import json
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import keeper, launching, linux, spool
from scripts_admin.guard.spool import Record, RunAs
from tests.scripts_admin.guard.stage import SECONDS, Stage, until


class Window:
    """The run's folders and the guard that keeps it."""

    def __init__(self, place: Path, account: str, spans: dict[str, Any]) -> None:
        entry = pwd.getpwnam(account)
        groups = tuple(os.getgrouplist(account, entry.pw_gid))
        identity = RunAs(account, entry.pw_uid, entry.pw_gid, groups)
        self.stage = Stage(
            place / "folder", spool.create(place / "spool", "run"), place / "runtime" / "run"
        )
        self.record: Record = replace(self.stage.record(**spans), identity=identity)
        self.guard: keeper.Guard | None = None

    def start(self) -> str:
        """Start the guard; "" once both scripts stand at their gates, else why not."""
        self.stage.spool(self.record)
        self.guard = self.stage.guard()
        try:
            self.guard.wait_until_ready()
        except keeper.RefusedError as error:
            return str(error)
        return ""

    def go(self) -> None:
        self._kept.go()

    def before(self) -> str:
        return self._kept.before(SECONDS)

    def thaw(self) -> str:
        return self._kept.thaw(SECONDS)

    def over(self) -> None:
        self._kept.wait_until_over(SECONDS)

    def release(self) -> None:
        self._kept.release()
        self.settled()

    def settled(self) -> None:
        """Return once no process keeps the run."""
        until(lambda: not spool.is_held(self.stage.spooled), 2 * SECONDS)

    def kill_guard(self) -> None:
        os.kill(self._kept.pid, signal.SIGKILL)
        self.settled()

    def guards(self) -> int:
        return self._kept.pid

    def again(self) -> str:
        """Run the attempt of after that is due, as the watchdog does."""
        return self.stage.thaw().outcome

    def complete(self) -> str:
        """Run complete outside the window."""
        self.guard = self.stage.guard((Phase.COMPLETE, "1", 1))
        self.guard.wait_until_done(SECONDS)
        self.settled()
        return self.stage.attempt(Phase.COMPLETE).outcome

    def leftovers(self) -> Any:
        return launching.leftovers("run")

    def end_leftovers(self) -> Any:
        """End what the run's scripts have left behind; return what is left then."""
        return launching.end_leftovers("run")

    def told(self) -> dict[str, Any]:
        """Return what the journal says of each attempt."""
        return {
            f"{phase} {number}": {
                "pid": a.process.pid if a.process else 0,
                "outcome": a.settled,
                "argument": a.argument,
                "exit_code": a.exit_code,
                "hold": (a.ordered_boot or 0.0, a.ended_boot or 0.0),
                "stdout": a.stdout,
                "stderr": a.stderr,
                "ran": a.ran and [a.ran.number, *a.ran.mark],
            }
            for (phase, number), a in self.stage.journal.attempts.items()
        }

    @property
    def _kept(self) -> keeper.Guard:
        assert self.guard is not None
        return self.guard


def main() -> None:
    place, account, spans = sys.argv[1:]
    window = Window(Path(place), account, json.loads(spans))
    for line in sys.stdin:
        deed: Callable[[], object] = getattr(window, line.strip())
        sys.stdout.write(json.dumps(deed()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    assert linux.boottime()
    main()
