"""(g) and (h): what ticks, turns and pages cost when there have been a million runs; one history serves both."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.contestants import PROJECT
from tests.bench.history.sizes import Size

SQLITE = "SQLite"
DATABASES = {SQLITE: (), "PostgreSQL": ("tools/with-postgresql.sh",)}
Seconds = Mapping[str, list[float]]  # by the name of a turn or page


@dataclass(frozen=True, slots=True)
class Looked:
    """How long each whole tick, each turn and each page took on one database, in seconds."""

    ticks: list[float]
    turns: Seconds
    pages: Seconds


@dataclass(frozen=True, slots=True)
class Measured:
    size: Size
    by_database: Mapping[str, Looked]


def measure(size: Size, ticks: int, looks: int) -> Measured:
    """Make a history in an empty database of each kind; let it tick, and look at everything so often.

    Without looks SQLite alone is measured: a history takes minutes.
    """
    wanted = DATABASES if looks else {SQLITE: DATABASES[SQLITE]}
    times = (f"--ticks={ticks}", f"--look={looks}")
    return Measured(size, {name: _look(tool, size, times) for name, tool in wanted.items()})


def _look(tool: tuple[str, ...], size: Size, times: tuple[str, ...]) -> Looked:
    options = [f"--{name}={value}" for name, value in size._asdict().items()]
    command = [*tool, sys.executable, "-m", "tests.bench.history", *options, *times]
    with tempfile.TemporaryDirectory(prefix="n2wbackup-bench-") as home:
        kept = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        own = {"N2W_HOME": home, "N2W_RUN_SCRIPTS_AS": "self", "ALLOWED_HOSTS": "localhost"}
        own["DJANGO_SETTINGS_MODULE"] = "n2wbackup.settings.main"
        done = subprocess.run(
            command, cwd=PROJECT, env=kept | own, check=True, stdout=subprocess.PIPE, text=True
        )
    return Looked(**json.loads(done.stdout.splitlines()[-1]))
