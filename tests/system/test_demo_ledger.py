"""The guarantees of the demo's application and scripts, also when a process dies."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from n2wbackup.demo import ledger, stage
from tests.ground import processes, scripts

ROOT = Path(__file__).resolve().parents[2]
RUN = {"N2W_RUN_ID": "run-1", "N2W_ATTEMPT": "1", "N2W_TIMEOUT_SECONDS": "30"}


@dataclass(frozen=True)
class Application:
    """A ledger with a writer, and its scripts."""

    books: Path
    folder: Path

    def run(self, name: str, *arguments: str, **environment: str) -> scripts.Result:
        return scripts.run(self.folder / name, *arguments, environment={**RUN, **environment})

    def before(self, **environment: str) -> int:
        """Run before; return the transaction at which the ledger has stopped."""
        done = self.run("before_ledger.sh", **environment)
        found = re.fullmatch(r"The ledger stands still at transaction (\d+)\.\n", done.stdout)
        assert done.exit_code == 0, done
        assert found, done
        return int(found[1])

    def last(self) -> int:
        with contextlib.closing(sqlite3.connect(self.books)) as database:
            return int(database.execute("SELECT max(number) FROM transactions").fetchone()[0])

    def wait_until_it_goes_on(self) -> None:
        last = self.last()
        processes.wait_until(lambda: self.last() > last, seconds=60, what="a new transaction")

    def holder(self) -> int:
        """Return the process that before has left behind."""
        (found,) = (
            int(entry.parent.name)
            for entry in Path("/proc").glob("[0-9]*/cmdline")
            if _runs_holder_in(entry.parent, self.folder)
        )
        return found


def _runs_holder_in(process: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        if b"hold_ledger.py" in (process / "cmdline").read_bytes():
            return (process / "cwd").readlink() == folder
    return False


@contextlib.contextmanager
def _application(folder: Path, *, hold_seconds: float = 60) -> Iterator[Application]:
    books = ledger.create(folder / "volume")
    (folder / "scripts").mkdir()
    app = Application(books, stage.install(folder / "scripts", books, hold_seconds))
    writer = subprocess.Popen([sys.executable, "-m", "n2wbackup.demo.ledger", str(books)], cwd=ROOT)
    try:
        processes.wait_until(
            lambda: ledger.audit(books).last > 20, seconds=60, what="the writer writes"
        )
        yield app
    finally:
        app.run("after_ledger.py", "0")
        writer.kill()
        writer.wait()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    with _application(tmp_path / "it's a place") as made:
        yield made


def test_between_before_and_after_nothing_is_written_and_then_it_goes_on(app: Application) -> None:
    stood = app.before()
    time.sleep(0.5)
    assert app.last() == stood

    after = app.run("after_ledger.py", "1")

    assert after.exit_code == 0, after
    assert "held all the time, and nothing was written" in after.stdout
    app.wait_until_it_goes_on()
    assert ledger.audit(app.books).problems == ()


def test_what_was_committed_is_in_the_main_file_once_it_stands_still(app: Application) -> None:
    stood = app.before()

    # Without SQLite's log: a disk that has only the file has it all.
    alone = app.books.with_name("alone.sqlite3")
    alone.write_bytes(app.books.read_bytes())

    found = ledger.audit(alone)
    assert (found.last, found.problems) == (stood, ())


def test_the_ledger_of_a_snapshot_agrees_with_its_own_run_alone(app: Application) -> None:
    stood = app.before(N2W_MARK="of this run")
    copy = app.books.parent.with_name("copy")
    shutil.copytree(app.books.parent, copy)
    app.run("after_ledger.py", "1")

    def verify(mark: str, fired: datetime) -> scripts.Result:
        given = {"N2W_MARK": mark, "N2W_FIRED_AT": fired.isoformat(), "N2W_PROOF_DATA": str(copy)}
        return app.run("verify_ledger.py", **given)

    now = datetime.now(tz=UTC)
    agrees = verify("of this run", now)
    assert agrees.exit_code == 0, agrees
    assert f"balances up to transaction {stood}." in agrees.stdout
    other, younger = verify("of another", now), verify("of this run", now - timedelta(hours=1))
    assert (other.exit_code, younger.exit_code) == (1, 1)
    assert "The mark of this run is not in the ledger." in other.stderr
    assert "younger than the snapshot" in younger.stderr
    with contextlib.closing(sqlite3.connect(copy / ledger.FILE)) as database, database:
        database.execute("UPDATE accounts SET balance = balance + 1 WHERE account = 7")
    assert "1 accounts do not agree" in verify("of this run", now).stderr


def test_an_after_whose_lock_died_meanwhile_fails_once_and_the_ledger_goes_on(
    app: Application,
) -> None:
    app.before()
    os.kill(app.holder(), signal.SIGKILL)
    app.wait_until_it_goes_on()

    first = app.run("after_ledger.py", "1")
    again = app.run("after_ledger.py", "1", N2W_ATTEMPT="2")

    assert (first.exit_code, again.exit_code) == (1, 0)
    assert "The ledger was no longer held" in first.stderr


def test_a_ledger_that_nobody_releases_goes_on_at_the_deadline(tmp_path: Path) -> None:
    with _application(tmp_path / "app", hold_seconds=1) as app:
        app.before()

        app.wait_until_it_goes_on()

        assert app.run("after_ledger.py", "1").exit_code == 1


def test_after_0_releases_and_asks_for_no_proof(app: Application) -> None:
    app.before()

    assert app.run("after_ledger.py", "0").exit_code == 0
    app.wait_until_it_goes_on()
    assert app.run("after_ledger.py", "0").exit_code == 0, "nothing is held any more"


def test_a_lock_that_does_not_lock_is_found_out_by_after(app: Application) -> None:
    holder = app.folder / "hold_ledger.py"
    text = holder.read_text()
    assert "    print(f" in text
    holder.write_text(text.replace("    print(f", "    database.rollback()\n    print(f"))
    app.before()
    app.wait_until_it_goes_on()

    after = app.run("after_ledger.py", "1")

    assert after.exit_code == 1
    assert "were written despite the lock" in after.stderr


def test_a_second_before_is_refused_and_the_first_goes_on_holding(app: Application) -> None:
    stood = app.before()

    second = app.run("before_ledger.sh", N2W_RUN_ID="run-2")

    assert second.exit_code == 1
    assert "is already held" in second.stderr
    assert app.last() == stood
    assert app.run("after_ledger.py", "1").exit_code == 0


def test_the_lock_survives_the_end_of_befores_group(app: Application) -> None:
    with scripts.started(app.folder / "before_ledger.sh", environment=RUN) as before:
        assert before.result(30).exit_code == 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(before.process.pid, signal.SIGKILL)

    assert app.run("after_ledger.py", "1").exit_code == 0


def test_after_runs_from_a_copy_elsewhere(app: Application, tmp_path: Path) -> None:
    app.before()
    copy = tmp_path / "after"
    copy.write_bytes((app.folder / "after_ledger.py").read_bytes())
    copy.chmod(0o500)

    after = subprocess.run(
        [copy, "1"], cwd=app.folder, env={**scripts.CLEAN, **RUN}, check=False, timeout=30
    )

    assert after.returncode == 0


def test_complete_1_trims_up_to_where_it_stood_and_the_books_still_balance(
    app: Application,
) -> None:
    stood = app.before()
    app.run("after_ledger.py", "1")
    app.wait_until_it_goes_on()

    complete = app.run("complete_ledger.py", "1")

    assert complete.exit_code == 0, complete
    found = ledger.audit(app.books)
    assert (found.closed, found.problems) == (stood, ())
    assert found.last > stood


@pytest.mark.parametrize(
    ("argument", "run", "exit_code"), [("0", "run-1", 0), ("1", "run-2", 1), ("", "run-1", 1)]
)
def test_complete_trims_nothing_without_1_or_for_another_run(
    app: Application, argument: str, run: str, exit_code: int
) -> None:
    app.before()
    app.run("after_ledger.py", "1")

    complete = app.run("complete_ledger.py", *([argument] if argument else []), N2W_RUN_ID=run)

    assert complete.exit_code == exit_code
    assert ledger.audit(app.books).closed == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE postings SET cents = cents + 1 WHERE number = 5 AND cents > 0",
        "DELETE FROM postings WHERE number = 5",
        "DELETE FROM transactions WHERE number = 5",
        "UPDATE accounts SET balance = balance + 1 WHERE account = 1",
    ],
)
def test_books_that_are_wrong_are_found_out(tmp_path: Path, damage: str) -> None:
    books = ledger.create(tmp_path / "volume")
    with contextlib.closing(sqlite3.connect(books, isolation_level=None)) as database:
        for number in range(10):
            ledger.post(database, number, number + 1, 100)
        assert ledger.audit(books).problems == ()

        database.execute(damage)

    assert ledger.audit(books).problems != ()


def test_a_file_that_is_no_ledger_is_told_as_one_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / ledger.FILE
    broken.write_bytes(b"SQLite format 3\0" + bytes(5000))

    assert "cannot be read" in ledger.audit(broken).problems[0]
    assert "cannot be read" in ledger.audit(tmp_path / "missing").problems[0]
