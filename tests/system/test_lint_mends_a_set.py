"""A faulty set of scripts, mended by lint's advice, freezes and thaws a real MariaDB behind a real sshd."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts_admin.folders import linting
from tests.ground import components, faulty_mysql, ledger, mariadb, processes, sshd

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [
    pytest.mark.real,
    pytest.mark.django_db,
    pytest.mark.timeout(300),
    pytest.mark.lasts(15),
]
WAITS = (
    "SELECT count(*) FROM information_schema.processlist WHERE db = 'shop' AND state LIKE '%lock%'"
)


def test_the_mended_set_holds_the_database_and_lets_it_go(
    ground_folder: Path,
    database: mariadb.Server,
    ground_sshd: sshd.Sshd,
    writer: ledger.Writer,
) -> None:
    folder = ground_folder / "faulty"
    folder.mkdir()
    places = {
        "@KEY@": str(ground_sshd.key),
        "@OPTIONS@": f"-p {ground_sshd.port} -o UserKnownHostsFile={ground_sshd.known_hosts} -o IdentitiesOnly=yes",
        "@HOST@": f"{ground_sshd.user}@127.0.0.1",
        "@FOLDER@": str(folder),
        "@CLIENT@": str(components.program("mariadb")),
        "@OPTION_FILE@": str(database.option_file(folder / "backup.cnf")),
        "@WHEN@": str(folder / "when"),
        "@HELD@": str(folder / "held"),
    }
    told = faulty_mysql.mended(linting.of_text, places)
    for name, text in told.texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    writer.wait_for(5)
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()

    _run(folder / faulty_mysql.BEFORE)
    processes.wait_until(
        lambda: database.sql(WAITS) != [["0"]], seconds=60, what="the writer waits for the lock"
    )
    assert len(database.sessions_of_backup_user()) == 1
    _run(folder / faulty_mysql.AFTER, "1")
    writer.wait_for(20)
    _run(folder / faulty_mysql.AFTER, "1")
    assert database.sessions_of_backup_user() == []

    _run(folder / faulty_mysql.COMPLETE, "0")
    assert database.binary_logs()[: len(logs)] == logs
    _run(folder / faulty_mysql.COMPLETE, "1")
    assert logs[0] not in database.binary_logs()


def _run(script: Path, *arguments: str) -> None:
    done = subprocess.run(
        [script, *arguments],
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(script.parent)},
    )
    assert done.returncode == 0, done.stderr
