"""Shared by the tests of the recipes: a run's environment, and MariaDB queries."""

import re
import uuid

from tests.ground import mariadb, processes, scripts


def a_run(**more: str) -> dict[str, str]:
    """The environment of a new run."""
    return {
        "N2W_RUN_ID": str(uuid.uuid4()),
        "N2W_POLICY": "MyPolicy",
        "N2W_ATTEMPT": "1",
        "N2W_TIMEOUT_SECONDS": "30",
        "N2W_SECONDS_LEFT": "60",
        **more,
    }


def position_told(before: scripts.Result) -> tuple[str, int]:
    match = re.search(r"binary log position: (\S+) (\d+) ", before.stdout)
    assert match, before
    return match[1], int(match[2])


def is_free(server: mariadb.Server) -> bool:
    return server.sessions_of_backup_user() == []


def wait_until_free(server: mariadb.Server, *, seconds: float) -> None:
    processes.wait_until(lambda: is_free(server), seconds=seconds, what="the lock is released")
