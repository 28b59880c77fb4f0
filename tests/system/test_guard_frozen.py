"""A guard whose worker cannot die, because one of its threads waits for the frozen disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import linux, spool
from tests.ground import components, filesystems, processes
from tests.scripts_admin.guard.stage import Stage, until

pytestmark = pytest.mark.real

SECONDS = 3.0  # what is promised is one
_WORKER = """
import sys, threading, time
from pathlib import Path
from scripts_admin.guard import keeper, spool
folder, runtime, disk = map(Path, sys.argv[2:])
guard = keeper.Guard(folder, runtime, spool.try_lock(folder), as_itself=True)
guard.wait_until_ready()
guard.go()
guard.before(10)
writing = threading.Thread(target=(disk / "written").write_text, args=("now",))
writing.run() if sys.argv[1] == "leader" else writing.start()
time.sleep(60)
"""


def _waits_for_a_disk(pid: int) -> bool:
    states = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return any(state.rpartition(")")[2].split()[0] == "D" for state in states)


@pytest.mark.parametrize("who", ["leader", "thread"])
def test_a_worker_that_is_killed_while_it_writes_to_the_frozen_disk_is_followed_by_after(
    tmp_path: Path, who: str
) -> None:
    components.needs_root("fsfreeze")
    stage = Stage.under(tmp_path)
    with processes.folder() as folder, filesystems.ext4(folder) as volume:
        stage.script("before", f"fsfreeze -f {volume.mount}")
        stage.script("after", f"fsfreeze -u {volume.mount}; echo $1 >after.mark")
        stage.spool()
        places = [str(place) for place in (stage.spooled, stage.runtime, volume.mount)]
        worker = subprocess.Popen([sys.executable, "-c", _WORKER, who, *places])
        until(lambda: stage.outcomes().get("before") == Outcome.SUCCEEDED)
        until(lambda: _waits_for_a_disk(worker.pid))

        killed = linux.boottime()
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: stage.mark("after.mark"))
        worker.wait()

    assert stage.mark("after.mark") == "1\n"
    assert (stage.attempt(Phase.AFTER).ordered_boot or 0.0) - killed < SECONDS
    until(lambda: not spool.is_held(stage.spooled))
    assert stage.journal.thaw_by == "lost"
