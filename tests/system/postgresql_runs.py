"""Shared by the tests of the PostgreSQL recipe: the README's way to restore, and the way with the label."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from tests.ground import filesystems, ledger, postgresql, processes

METHODS = ["checkpoint", "backup"]
TO_THE_END = {"recovery_target": "immediate", "recovery_target_action": "promote"}
# The files that `after` prints between two marks.
PRINTED = re.compile(r"^--- (\w+)\n(.*?)^--- end$", re.MULTILINE | re.DOTALL)


def is_free(cluster: postgresql.Cluster) -> bool:
    return cluster.sessions_of_backup_role() == []


def wait_until_free(cluster: postgresql.Cluster, *, seconds: float) -> None:
    processes.wait_until(lambda: is_free(cluster), seconds=seconds, what="the session is gone")


def printed_files(stdout_of_after: str) -> dict[str, str]:
    return dict(PRINTED.findall(stdout_of_after))


@contextlib.contextmanager
def restored(image: Path, at: Path, folder: str = "postgresql") -> Iterator[Path]:
    """Mount the copy of a disk, and give the data folder on it, ready to be started."""
    with filesystems.mounted(image, at, options=["nouuid"]) as volume:
        data = volume.mount / folder
        (data / "postmaster.pid").unlink()  # it names the original's process, which is alive
        yield data
    image.unlink()


@contextlib.contextmanager
def started(data: Path, **settings: str) -> Iterator[postgresql.Cluster]:
    """Run the copy; it must not write into the original's archive."""
    quick = {"recovery_init_sync_method": "syncfs"}
    with postgresql.running(
        data=data, settings={"archive_mode": "off", **quick, **settings}
    ) as copy:
        yield copy


def recover_from(archive: Path, data: Path, label: Mapping[str, str] | None = None) -> str:
    """Put the label and the signal into the copy; return the restore_command."""
    put(data, {"recovery.signal": "", **(label or {})})
    return f"cp {archive}/%f %p"


def put(data: Path, texts: Mapping[str, str]) -> None:
    """Put files into the copy that belong to its server's account."""
    for name, text in texts.items():
        (data / name).write_text(text)
        postgresql.own(data / name)


def assert_whole(copy: postgresql.Cluster, writer: ledger.Writer, *, until: datetime) -> int:
    """The copy has no gap, and every commit that was acknowledged by then; return the last."""
    found = copy.ledger()
    assert found.whole
    assert found.last >= [commit.number for commit in writer.commits if commit.at <= until][-1]
    return found.last
