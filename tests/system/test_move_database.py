"""Everything in one database moves into another one, in both directions, and the server goes on there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2wbackup.processes import serve_lock
from tests.ground import components, empty, postgresql

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(40)]

ROOT = Path(__file__).parents[2]
RUNS = 2_500  # more than two portions of what is read at once
FILL = """
from tests import factories
from n2wbackup.lib import clock
from policies.models import Policy, Run, RunTarget, RunSnapshot, RunEvent, PhaseResult, OutputChunk
policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
now = clock.now()
of = dict(policy=policy, owner=policy.owner, account=policy.account, policy_name="policy1",
    owner_name="alice", created_at=now, ended_at=now, state="succeeded", trigger="schedule")
runs = Run.objects.bulk_create([Run(attempt=n, **of) for n in range(1, {runs} + 1)])
targets = RunTarget.objects.bulk_create(
    [RunTarget(run=r, instance_id="i-1", region="us-east-1", expected_volume_ids=["vol-1"]) for r in runs])
RunSnapshot.objects.bulk_create([RunSnapshot(target=t, snapshot_id=f"snap-{{n}}", created_at=now)
    for n, t in enumerate(targets)])
RunEvent.objects.bulk_create([RunEvent(run=r, at=now, state="queued", text="\\u00e9 \\U0001f600") for r in runs])
results = PhaseResult.objects.bulk_create(
    [PhaseResult(run=r, phase="before", outcome="succeeded", script="x\\x00y" * 20) for r in runs])
OutputChunk.objects.bulk_create([OutputChunk(result=r, stream="stdout", start=0, line=0, data=b"x\\x00\\xffy" * 20)
    for r in results])
Policy.objects.filter(pk=policy.pk).update(last_run=runs[-1])
"""
# Each table's rows, decrypted and in order, as one hash.
READ = """
import hashlib, json
from n2wbackup.lib import moving
from django.db import models
told = {}
for model in moving._models():
    names = [f.attname for f in model._meta.local_concrete_fields]
    found = models.QuerySet(model).order_by("pk").values_list(*names)
    plain = [[bytes(v) if isinstance(v, memoryview) else v for v in r] for r in found]
    rows = [repr(r).replace("\\\\x00", "\\ufffd") for r in plain]
    told[model._meta.db_table] = [len(rows), hashlib.sha256("\\n".join(rows).encode()).hexdigest()]
print(json.dumps(told))
"""
NEW_ROW = """
from tests import factories
print(factories.PolicyFactory.create(owner=factories.alice(), name="policy2").pk)
"""

AUDIT = "scripts_admin_auditentry"


@dataclass
class Home:
    """A home without a server; its commands run on the database at `url`, SQLite by default."""

    folder: Path
    url: str = ""

    def manage(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("N2W_", "DATABASE_URL", "DJANGO_"))
        }
        own = {"N2W_HOME": str(self.folder), "N2W_RUN_SCRIPTS_AS": "self"}
        if self.url:
            own["DATABASE_URL"] = self.url
        return subprocess.run(
            [sys.executable, ROOT / "manage.py", *words],
            env=kept | own, input=given, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300,
        )  # fmt: skip

    def succeed(self, *words: str, given: str = "") -> str:
        done = self.manage(*words, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_code(self, code: str) -> str:
        return self.succeed("shell", "--no-imports", "-c", code)

    def rows(self) -> dict[str, list[object]]:
        read: dict[str, list[object]] = json.loads(self.run_code(READ))
        return read


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    empty.furnish(made.folder)
    return made


@pytest.fixture
def cluster() -> Iterator[postgresql.Cluster]:
    components.program("postgres")
    with postgresql.running() as made:
        yield made


def without_audit(rows: dict[str, list[object]]) -> dict[str, list[object]]:
    return {table: row for table, row in rows.items() if table != AUDIT}


def entries(rows: dict[str, list[object]]) -> int:
    return int(str(rows[AUDIT][0]))


def test_thousands_of_runs_move_to_postgresql_and_back(
    home: Home, cluster: postgresql.Cluster
) -> None:
    home.run_code(FILL.format(runs=RUNS))
    before = home.rows()

    moved = json.loads(home.succeed("move_database", "--to", "-", "--json", given=cluster.url()))

    assert moved["moved"] == {table: count for table, (count, _) in before.items()}
    assert home.rows() == before
    there = Home(home.folder, cluster.url())
    assert without_audit(there.rows()) == without_audit(before)
    assert entries(there.rows()) == entries(before) + 1  # the move itself
    assert int(there.run_code(NEW_ROW)) > 1  # the sequences go on behind the rows
    assert len(json.loads(there.succeed("list_runs", "--json", "--limit", "3"))["runs"]) == 3

    back = f"sqlite:///{home.folder}/back.sqlite3"
    there.succeed("move_database", "--to", back)
    assert without_audit(Home(home.folder, back).rows()) == without_audit(there.rows())
    assert entries(Home(home.folder, back).rows()) == entries(before) + 2
    assert (home.folder / "back.sqlite3").stat().st_mode & 0o777 == 0o600


def test_what_the_other_database_does_not_take_leaves_nothing_there(
    home: Home, cluster: postgresql.Cluster
) -> None:
    home.run_code(FILL.format(runs=3))
    home.run_code("from policies.models import Run; Run.objects.update(cancelled_by='x' * 65)")

    done = home.manage("move_database", "--to", cluster.url())

    assert done.returncode == 1
    assert "value too long" in done.stderr
    assert "Nothing was changed." in done.stderr
    home.run_code("from policies.models import Run; Run.objects.update(cancelled_by='')")
    home.succeed("move_database", "--to", cluster.url())  # it is empty, as it was
    done = home.manage("move_database", "--to", cluster.url())
    assert "The other database is not empty" in done.stderr


def test_nothing_moves_while_a_server_runs(home: Home) -> None:
    target = home.folder / "new.sqlite3"
    held = serve_lock.acquire(home.folder / "serve.lock")
    assert held is not None
    done = home.manage("move_database", "--to", f"sqlite:///{target}")
    os.close(held)
    assert done.returncode == 1
    assert "The server is running: stop it" in done.stderr
    assert not target.exists()


def test_nothing_moves_while_an_application_may_be_frozen(home: Home) -> None:
    target = home.folder / "new.sqlite3"
    home.run_code(FILL.format(runs=1))
    home.run_code(
        "from policies.models import Run; Run.objects.update(state='thawing', ended_at=None)"
    )
    done = home.manage("move_database", "--to", f"sqlite:///{target}")
    assert done.returncode == 1
    assert "thaw it first" in done.stderr
    assert not target.exists()
