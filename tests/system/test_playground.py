"""The playground: a simulated AWS by itself, for a server, policies and scripts of one's own."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import processes
from tests.system import demo_traces
from tests.system.test_demo import ROOT, _demo, _environment, _played

pytestmark = pytest.mark.lasts(60)
ASIDE = "manage.py apply"


@pytest.fixture
def home() -> Iterator[Path]:
    with processes.folder(
        "n2wbackup playground-"
    ) as made:  # with a blank, as folders of people have
        yield made


@contextlib.contextmanager
def standing(home: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Give a playground that is ready, and what it has printed."""
    told = home / "told"
    with told.open("w") as output:
        demo = _demo(home, "--playground", output=output.fileno())
    try:
        processes.wait_until(
            lambda: ASIDE in told.read_text() or demo.poll() is not None,
            seconds=60,
            what="the playground",
        )
        assert demo.poll() is None, told.read_text()
        yield demo, told
    finally:
        processes.stop(demo, politely=signal.SIGINT, seconds=60)  # type: ignore[arg-type]


def shell(home: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Do in a terminal what a person would type there."""
    return subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        cwd=ROOT,
        env=_environment(home, {"N2W_RUN_SCRIPTS_AS": "self"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_what_it_prints_leads_to_a_backup_of_ones_own_and_it_leaves_only_that(home: Path) -> None:
    manage = ".venv/bin/python manage.py"
    with standing(home) as (demo, told):
        printed = [line.strip() for line in told.read_text().splitlines() if line.startswith("  ")]
        script = home / "scripts" / "alice" / "before_shop.sh"

        done = shell(
            home,
            f"{manage} migrate -v0",
            *printed,
            f"printf '#!/bin/sh\\necho held\\n' > {shlex.quote(str(script))}",
            f"chmod +x {shlex.quote(str(script))}",
            f"cp {shlex.quote(str(script))} {shlex.quote(str(script.with_name('after_shop.sh')))}",
            f"{manage} run_policy alice/shop --here --json",
        )

        assert done.returncode == 0, done.stdout + done.stderr
        run = json.loads(done.stdout[done.stdout.index("\n{") :])
        assert (run["state"], run["consistency"]) == ("succeeded", "application")
        assert [one["state"] for one in run["snapshots"]] == ["completed"] * len(run["snapshots"])
        assert (home / "playground" / "environment").stat().st_mode & 0o777 == 0o600
        # To the whole group, as a terminal does, and a person who presses it twice.
        os.killpg(demo.pid, signal.SIGINT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(60) == 0, told.read_text()

    assert "Traceback" not in told.read_text()
    assert told.read_text().splitlines()[-1] == "The simulated AWS has ended."
    assert not (home / "playground").exists()
    assert (home / "db.sqlite3").exists()
    assert demo_traces.of(home) == []


def test_a_second_one_is_refused_and_harms_nothing(home: Path) -> None:
    with standing(home):
        kept = (home / "playground" / "environment").read_text()

        code, _, stderr = _played(home, "--playground")

        assert code == 1
        assert "A demo already runs in" in stderr
        assert (home / "playground" / "environment").read_text() == kept


def test_a_folder_that_it_did_not_make_is_left_alone(home: Path) -> None:
    (home / "playground").mkdir()
    (home / "playground" / "mine").write_text("of a person")

    code, _, stderr = _played(home, "--playground")

    assert code == 1
    assert "has files that the demo did not create" in stderr
    assert (home / "playground" / "mine").read_text() == "of a person"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_after_any_end_nothing_runs_on_and_the_next_one_stands(home: Path, number: int) -> None:
    with standing(home) as (demo, _):
        demo.send_signal(number)
        demo.wait(60)
        processes.wait_until(
            lambda: demo_traces.of(home) == [], seconds=60, what="the end of every process"
        )

    with standing(home):
        pass

    assert not (home / "playground").exists()
