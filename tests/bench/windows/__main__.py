"""Open windows and measure their memory: `python -m tests.bench.windows FOLDER NUMBER`; answers in JSON.

A package, as the guards' forkserver would import a plain module into each guard.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import journal, linux, spool
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.spool import Record, ScriptCommand
from tests.bench import processes
from tests.ground.processes import wait_until

SECONDS = 30.0
SCRIPT = "#!/bin/bash\n:\n"
PRIVATE = ("Private_Clean", "Private_Dirty")


def main() -> None:
    """Open the windows, measure them at both gates and when before has ended, and let them end."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    script = folder / "script"
    script.write_text(SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    first = _open(folder, "first", script)  # from now on, the guards' parent exists
    first.release()
    wait_until(
        lambda: not linux.is_alive(linux.identify(first.pid)), seconds=SECONDS, what="its end"
    )
    alone = _all_memory()
    guards = [_open(folder, str(at), script) for at in range(number)]
    told: dict[str, object] = {
        "growth": (_all_memory() - alone) / number,
        "gates": _weigh(guards),
    }
    for guard in guards:
        guard.go()
        guard.before(SECONDS)
    told["held"] = _weigh(guards)
    for guard in guards:
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)
        guard.release()
    print(json.dumps(told), flush=True)


def _open(folder: Path, name: str, script: Path) -> Guard:
    """Start a guard whose scripts wait at their gates."""
    runtime = folder / "runtime" / name
    spooled = spool.create(folder / "spool", name)
    command = {phase: ScriptCommand(phase, (str(script),), SECONDS) for phase in Phase}
    journal.create(runtime)
    spool.write(
        spooled,
        Record(
            run=name,
            boot=linux.boot_id(),
            folder=str(folder),
            environment={"PATH": "/usr/bin:/bin"},
            max_freeze_seconds=2 * SECONDS,
            thaw_retry_seconds=SECONDS,
            before=command[Phase.BEFORE],
            after=command[Phase.AFTER],
        ),
    )
    lock = spool.try_lock(spooled)
    if lock is None:
        raise RuntimeError("Somebody else holds the lock of a window that was just made.")
    guard = Guard(spooled, runtime, lock, as_itself=True)
    if not guard.wait_until_ready():
        raise RuntimeError("The guard was not preloaded: it would weigh more than in the server.")
    return guard


def _all_memory() -> int:
    """Return the memory of this process and all its descendants together."""
    return sum(processes.memory_bytes(pid).get("Pss", 0) for pid in processes.tree(os.getpid()))


def _weigh(guards: Sequence[Guard]) -> list[int]:
    """Return the private bytes of each window: of its guard and of all processes that the guard has started."""
    return [
        sum(
            found.get(name, 0)
            for pid in processes.tree(guard.pid)
            for found in [processes.memory_bytes(pid)]
            for name in PRIVATE
        )
        for guard in guards
    ]


if __name__ == "__main__":
    main()
