"""Scripts run as the account that the settings name, and reach nothing of the server's."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import journal, keeper, linux, spool
from scripts_admin.guard.spool import Record, RunAs, ScriptCommand
from tests.ground import components, processes

pytestmark = pytest.mark.real

REPORT = """#!/bin/bash
id -un
cat "$SPOOL_RECORD" || echo unreadable
ls "$SPOOL" || echo unlisted
touch "$SPOOL/mine" || echo closed
"""


@pytest.fixture
def home() -> Iterator[Path]:
    components.needs_root("becoming another account")
    with processes.folder() as folder:
        yield folder


@pytest.mark.parametrize("folder_is_gone", [False, True])
def test_a_script_runs_as_its_account_even_from_the_spool(home: Path, folder_is_gone: bool) -> None:
    nobody = pwd.getpwnam("nobody")
    identity = RunAs(nobody.pw_name, nobody.pw_uid, nobody.pw_gid, (nobody.pw_gid,))
    scripts = home / "scripts"
    scripts.mkdir(mode=0o755)
    script = scripts / "after_p.sh"
    script.write_text(REPORT)
    script.chmod(0o755)
    place = home / "spool"
    place.mkdir(mode=0o711)
    folder = spool.create(place, "run")
    copy = folder / "after"
    copy.write_text(REPORT)
    copy.chmod(0o500)
    os.chown(copy, identity.uid, identity.gid)
    runtime = home / "runtime"
    journal.create(runtime)
    environment = {
        "PATH": "/usr/bin:/bin",
        "SPOOL": str(folder),
        "SPOOL_RECORD": str(folder / spool.RECORD),
    }
    after = ScriptCommand(Phase.AFTER, (str(script), str(copy)), 10)
    spool.write(
        folder,
        Record("run", linux.boot_id(), str(scripts), environment, 60, 60, after=after, identity=identity),
    )  # fmt: skip
    if folder_is_gone:
        script.unlink()
        scripts.rmdir()
    lock = spool.try_lock(folder)
    assert lock is not None

    guard = keeper.Guard(folder, runtime, lock)
    guard.wait_until_ready()
    guard.go()
    guard.before(10)
    guard.thaw(10)
    guard.wait_until_over(20)

    told = journal.read(runtime).afters[0]
    assert told.outcome == "succeeded" or told.exit_code == 0, told
    assert told.stdout.split() == ["nobody", "unreadable", "unlisted", "closed"], told
