"""The test ground's guarantees: what it starts answers, and nothing of it is left in the end."""

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.ground import components, filesystems, postgresql, processes, scripts, valkey

pytestmark = pytest.mark.real


def test_a_postgresql_cluster_answers_and_ends_with_its_folder() -> None:
    with postgresql.running() as cluster:
        cluster.sql("CREATE DATABASE shop")
        assert cluster.sql("SELECT current_database()", database="shop") == "shop"

    assert cluster.process.returncode == 0
    assert not cluster.folder.exists()


def test_a_valkey_answers_on_its_socket_alone_and_ends_on_term() -> None:
    with processes.folder() as folder, valkey.running(folder / "valkey") as server:
        assert server.socket.stat().st_mode & 0o777 == 0o700
        assert server.url == f"unix://{server.socket}"

    assert server.process.returncode == 0


@pytest.mark.parametrize("make", [filesystems.xfs, filesystems.ext4], ids=["xfs", "ext4"])
def test_a_file_system_left_frozen_is_thawed_and_unmounted(
    make: Callable[[Path], AbstractContextManager[filesystems.Volume]],
) -> None:
    with processes.folder() as folder:
        with make(folder) as volume:
            subprocess.run([components.program("fsfreeze"), "--freeze", volume.mount], check=True)

        assert str(volume.mount) not in Path("/proc/mounts").read_text()
        assert not volume.image.exists()


def test_a_disk_is_copied_as_it_is_at_that_moment() -> None:
    with processes.folder() as folder, filesystems.xfs(folder, megabytes=300) as disks:
        original, copy = disks.mount / "original", disks.mount / "copy"
        original.write_bytes(b"before")
        filesystems.clone(original, copy)
        original.write_bytes(b"later!")

        assert copy.read_bytes() == b"before"


def test_a_script_is_waited_for_alone_and_runs_in_a_clean_environment(tmp_path: Path) -> None:
    script = tmp_path / "before_policy.sh"
    script.write_text("#!/bin/bash\nsleep 20 &\nenv; echo to stderr >&2; exit 7\n")
    script.chmod(0o755)

    started = time.monotonic()
    result = scripts.run(script, environment={"N2W_PHASE": "before"})

    assert time.monotonic() - started < 40
    names = {line.split("=")[0] for line in result.stdout.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "HOME", "LANG", "USER", "N2W_PHASE"}
    assert (result.exit_code, result.stderr) == (7, "to stderr\n")


def test_what_is_missing_skips_a_test_and_where_ci_runs_fails_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not on this machine"):
        components.program("no-such-program")

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"tools/system-packages\.sh"):
        components.program("no-such-program")
