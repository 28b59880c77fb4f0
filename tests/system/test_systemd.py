"""The units of deploy/systemd under a real systemd: whatever it stops, restarts or kills, the window is closed."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import empty, launcher, processes, simulated, systemd
from tests.ground.launcher import SHARED, Place
from tests.ground.systemd import Systemd
from tests.system import launched
from tests.system.product import ENDS, ROOT, Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(120)]

UNITS = ROOT / "deploy" / "systemd"
AT = Path("/opt/n2wbackup")
TARGET, ALONE = "n2wbackup.target", "n2wbackup.service"
PARTS = ("valkey", "watchdog", "freeze", "work", "tick", "beat", "web")
CODE = ("manage.py", "n2wbackup", "policies", "scripts_admin", "static", "templates", ".venv")
TITLES = {
    *("n2wbackup web", "n2wbackup beat", "n2wbackup watchdog"),
    *("n2wbackup worker freeze", "n2wbackup worker tick", "n2wbackup worker work"),
}
THAW_SECONDS = 20.0  # promised is 1 s; a machine with much other work takes its time
MEMORY = "400M"  # more than a worker takes, and soon eaten
EATER = "ulimit -v 1500000; tail /dev/zero"  # a limit of its own spares a machine whose cgroups do not hold
KILLED = 137
ONLY_HERE = """[Service]
EnvironmentFile=
EnvironmentFile={environment}
Environment=N2W_FREEZE_PROCESSES=1
StandardOutput=append:{log}
StandardError=append:{log}
"""


@dataclass
class Installed:
    """A checkout, the product on it, and the systemd that runs it."""

    product: Product
    systemd: Systemd
    checkout: Path
    place: Place

    def until_it_serves(self) -> None:
        def serves() -> bool:
            return set(self.product.titles().values()) >= TITLES

        processes.wait_until(serves, seconds=180, what=f"all parts; {self.product.titles()}")

    def until_nothing_runs(self) -> None:
        def is_quiet() -> bool:
            return not any(t.startswith("n2wbackup") for t in self.product.titles().values())

        processes.wait_until(is_quiet, seconds=180, what=f"nothing; {self.product.titles()}")

    def worker(self) -> int:
        """Return the pid of the worker that opens windows."""
        return min(self.product.pids("n2wbackup worker freeze"))

    def fresh(self) -> None:
        """Forget the marks, and back up an instance of which nothing was fired yet: the next one would have to wait."""
        self.product.marks_file.write_text("")
        self.product.marks_file.chmod(0o666)
        self.product.aws.clear_faults()
        self.product.aws.configure(pending_seconds=1)
        made = self.product.aws.add_instance(volumes=[VolumeSpec(), VolumeSpec()])
        self.product.apply([made.instance_id])

    def until_all_have_ended(self) -> None:
        """Wait for the run that another test has left waiting when it stopped the server."""
        ends = ", ".join(f"'{state}'" for state in sorted(ENDS))
        unfinished = f"SELECT id FROM policies_run WHERE state NOT IN ({ends})"  # noqa: S608
        processes.wait_until(
            lambda: not self.product.query(unfinished), seconds=180, what="no run is unfinished"
        )

    @property
    def scratch(self) -> Path:
        """Return a folder in which scripts may leave what they like."""
        return self.product.marks_file.parent / "scratch"

    def freeze(self, before: str = "", *, slow_seconds: float = 2) -> str:
        """Start a run, and return its id when it is frozen and AWS takes its time.

        As a client would that holds a lock, a process of before stays; after fails where it is gone.
        """
        client = f"id -un; sleep 300 >/dev/null 2>&1 & echo $! >{self.scratch}/client; {before}"
        self.product.scripts(before=client, after=f"kill $(cat {self.scratch}/client) || exit 8")
        self.product.aws.fault("CreateSnapshots", "slow", seconds=slow_seconds)
        run = self.product.start_run()
        self.product.wait_for_mark("before", "end")
        return run

    def arguments(self, phase: str) -> list[str]:
        """Return the argument of each start of a phase."""
        return [mark.argument for mark in self.product.marks(phase, "start")]


def _units(folder: Path, product: Product) -> Path:
    """Install the units in a folder, with the environment of this test and a limit of memory."""
    file = folder / "n2wbackup.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in product.environment.items()))
    units = folder / "units"
    shutil.copytree(UNITS, units)
    for unit in units.glob("n2wbackup*.service"):
        # An operator changes paths in copies; and the files of a test are where the sandbox shows nothing.
        text = unit.read_text().replace("/cpmdata", str(product.home))
        text = text.replace("PrivateTmp=yes", "").replace("ProtectHome=yes", "")
        unit.write_text(text)
    (units / f"{ALONE}.d").mkdir()
    for name in ("n2wbackup-.service.d", f"{ALONE}.d"):
        text = ONLY_HERE.format(environment=file, log=product.log)
        (units / name / "only-here.conf").write_text(text)
    (units / "n2wbackup-freeze.service.d").mkdir()
    limit = f"[Service]\nMemoryMax={MEMORY}\nMemorySwapMax=0\n"
    (units / "n2wbackup-freeze.service.d" / "memory.conf").write_text(limit)
    return units


def _checkout(folder: Path) -> Path:
    """Copy the code, so that a new version can be brought while the old one runs."""
    folder.mkdir()
    for name in CODE:
        if (ROOT / name).is_symlink() or name == ".venv":
            (folder / name).symlink_to((ROOT / name).resolve())
        elif (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def machine() -> Iterator[Installed]:
    """Give a machine on which the units are installed; the tests of this module share it."""
    with (
        launcher.installed(SHARED) as place,
        processes.folder("n2wbackup-systemd-") as folder,
        simulated.aws() as aws,
    ):
        instance = aws.add_instance(volumes=[VolumeSpec()])
        marks = folder / "marks"
        product = Product(
            folder / "home", aws, processes.free_port(), marks, "", instance.instance_id
        )
        product.more |= {"N2W_RUN_SCRIPTS_AS": "cpmuser", "N2W_SCRIPT_USER": SHARED}
        folder.chmod(0o755)
        empty.furnish(product.home)
        launched.settle(place)(product)
        product.apply([instance.instance_id])
        product.folder.chmod(0o755)
        (folder / "scratch").mkdir()
        (folder / "scratch").chmod(0o777)
        product.log.touch()
        checkout, units = _checkout(folder / "checkout"), _units(folder, product)
        with systemd.booted(
            units, TARGET, checkout=checkout, at=AT, log=folder / "boot.log", around=place.within()
        ) as running:
            product.process = running.process
            yield Installed(product, running, checkout, place)
        shutil.rmtree(product.memory, ignore_errors=True)


@pytest.fixture
def installed(machine: Installed) -> Installed:
    """Give the machine with every part of the server running, and no mark of another test."""
    machine.systemd.succeed("start", TARGET)
    machine.until_it_serves()
    machine.until_all_have_ended()
    machine.fresh()
    return machine


def test_the_target_runs_every_part_and_keeps_a_second_server_away(machine: Installed) -> None:
    machine.until_it_serves()
    product = machine.product
    shown = {part: machine.systemd.show(f"n2wbackup-{part}", "ActiveState") for part in PARTS}
    assert shown == dict.fromkeys(PARTS, "active")

    refused, drained = product.manage("serve"), product.manage("drain")

    for done in (refused, drained):
        assert done.returncode == 1
        assert "one by one" in done.stderr
        assert "`systemctl stop n2wbackup.target`" in done.stderr
    assert set(product.titles().values()) >= TITLES
    assert _status(product.pids("n2wbackup web")[0], "NoNewPrivs") == "1"
    assert _status(machine.worker(), "NoNewPrivs") == "0"


def test_no_part_is_root_and_the_pages_reach_nothing_that_a_thaw_believes(
    machine: Installed,
) -> None:
    machine.until_it_serves()
    product, pid = machine.product, machine.product.pids("n2wbackup web")[0]

    parts = [product.pids(title)[0] for title in TITLES]
    assert {_status(each, "Uid") for each in parts} == {str(machine.place.server.pw_uid)}
    ready = f"http://127.0.0.1:{product.port}/health/ready"
    with urllib.request.urlopen(ready, timeout=30) as answer:
        assert json.load(answer) == {"status": "ok", "database": "ok", "broker": "ok"}
    assert _reaches(pid, product.home / "scripts")
    assert not _reaches(pid, product.home / "spool")
    assert not _reaches(pid, product.home / "secrets")


def _reaches(pid: int, folder: Path) -> bool:
    """Tell whether a file that is made there, in the process's view of the system, is really there."""
    made = folder / "of-the-pages"
    subprocess.run(["nsenter", f"--target={pid}", "--mount", "touch", made], check=False)
    found = made.exists()
    made.unlink(missing_ok=True)
    return found


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def test_a_deploy_while_frozen_lets_the_old_version_finish_its_window(
    installed: Installed,
) -> None:
    product, old = installed.product, installed.worker()
    run = installed.freeze()
    _bring_a_version_that_writes_its_records_otherwise(installed.checkout)

    installed.systemd.succeed("restart", TARGET)

    after = product.wait_for_mark("after", "end")
    assert after.argument == "1"
    installed.until_it_serves()
    assert installed.worker() != old
    ended = product.wait_for_end(run)
    assert (ended["state"], ended["consistency"]) == ("succeeded", "application"), ended
    assert ended["phases"]["before"]["stdout"] == f"{SHARED}\n"
    started = [installed.arguments(phase) for phase in ("before", "after", "complete")]
    assert started == [[""], ["1"], ["1"]]


def _bring_a_version_that_writes_its_records_otherwise(checkout: Path) -> None:
    path = checkout / "scripts_admin" / "guard" / "spool.py"
    text = path.read_text()
    assert text.count("\nFORMAT = 2\n") == 1
    new = path.with_suffix(".new")
    new.write_text(text.replace("\nFORMAT = 2\n", "\nFORMAT = 3\n"))
    new.replace(path)


def test_a_worker_that_systemd_kills_while_frozen_is_followed_by_its_guard(
    installed: Installed,
) -> None:
    product = installed.product
    product.aws.configure(pending_seconds=600)  # so that there is a run to cancel
    run = installed.freeze(slow_seconds=6)
    # It outlives its server, and must not prevent the next one.
    assert product.home / "serve.lock" not in _open_files(product.pids("n2wbackup guard")[0])
    assert product.home / "serve.lock" in _open_files(installed.worker())

    killed_at = time.time()
    installed.systemd.succeed("kill", "--kill-who=main", "--signal=KILL", "n2wbackup-freeze")

    after = product.wait_for_mark("after", "start")
    assert after.at - killed_at < THAW_SECONDS
    _is_told_as_thawed_by_its_guard(installed, run)


def _open_files(pid: int) -> set[Path]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(descriptor.readlink())
    return found


def test_a_worker_that_runs_out_of_memory_while_frozen_is_followed_by_its_guard(
    installed: Installed,
) -> None:
    _need_a_limit(installed)
    product, old = installed.product, installed.worker()
    product.aws.configure(pending_seconds=600)  # so that there is a run to cancel
    go = installed.scratch / "eat"
    eater = f"(until [ -e {go} ]; do sleep 0.05; done; {EATER}) >/dev/null 2>&1 &"
    run = installed.freeze(eater, slow_seconds=6)
    Path(f"/proc/{old}/oom_score_adj").write_text("1000")  # the kernel ends this one first

    go.touch()

    processes.wait_until(lambda: not _lives(old), seconds=60, what="the worker ran out of memory")
    killed_at = time.time()
    go.unlink()
    after = product.wait_for_mark("after", "start")
    assert after.at - killed_at < THAW_SECONDS
    _is_told_as_thawed_by_its_guard(installed, run)
    assert installed.worker() != old


def _is_told_as_thawed_by_its_guard(installed: Installed, run: str) -> None:
    """Assert that a thaw without a worker had before's argument, and that the run claims no better result."""
    product = installed.product
    product.wait_for_mark("after", "end")
    product.wait_for_state(run, lambda state: state not in {"queued", "preparing", "frozen"})
    product.succeed("cancel_run", run)
    ended = product.wait_for_end(run)
    assert ended["state"] == "cancelled"
    assert ended["consistency"] in {"crash", "none"}
    started = [installed.arguments(phase) for phase in ("before", "after", "complete")]
    assert started == [[""], ["1"], ["0"]]
    assert any("thawed" in event["text"] for event in ended["events"]), ended["events"]
    installed.until_it_serves()
    assert installed.systemd.show("n2wbackup-freeze", "ActiveState") == "active"


def test_a_script_that_runs_out_of_memory_fails_alone(installed: Installed) -> None:
    _need_a_limit(installed)
    product, worker = installed.product, installed.worker()
    product.scripts(before=f"({EATER}); exit $?")

    run = product.wait_for_end(product.start_run())

    assert installed.worker() == worker
    assert (run["state"], run["consistency"]) == ("partial", "crash")
    before = run["phases"]["before"]
    assert (before["outcome"], before["exit_code"]) == ("failed", KILLED)
    assert [installed.arguments(phase) for phase in ("after", "complete")] == [["0"], ["0"]]


def _need_a_limit(installed: Installed) -> None:
    if not installed.systemd.limits_memory():
        pytest.skip("this machine gives no systemd in a name space a limit of memory")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _status(pid, "State") != "Z"


def test_a_stop_closes_the_window_before_watchdog_and_broker_go_and_the_next_start_goes_on(
    installed: Installed,
) -> None:
    product, run = installed.product, installed.freeze()

    installed.systemd.succeed("stop", TARGET)

    assert [mark.argument for mark in product.marks("after", "end")] == ["1"]
    installed.until_nothing_runs()
    gone = {part: _went_at(installed.systemd, part) for part in PARTS}
    workers = max(gone[part] for part in ("web", "beat", "tick", "work", "freeze"))
    assert workers <= gone["watchdog"] <= gone["valkey"], gone

    # The other way to run the server: as one unit, on the same home.
    installed.systemd.succeed("start", ALONE)
    installed.until_it_serves()
    ended = product.wait_for_end(run)
    assert (ended["state"], ended["consistency"]) == ("succeeded", "application")
    installed.fresh()
    run = installed.freeze()

    installed.systemd.succeed("stop", ALONE)

    assert [mark.argument for mark in product.marks("after", "end")] == ["1"]
    installed.until_nothing_runs()
    assert len(product.show(run)["snapshots"]) == 2
    assert installed.systemd.show(ALONE, "Result") == "success"


def _went_at(running: Systemd, part: str) -> int:
    return int(running.show(f"n2wbackup-{part}", "InactiveEnterTimestampMonotonic"))


def test_where_a_broker_is_named_the_embedded_one_is_left_out_and_that_is_no_failure() -> None:
    unit = "n2wbackup-valkey.service"
    with processes.folder("n2wbackup-systemd-") as folder:
        shutil.copytree(UNITS, folder / "units")
        (folder / "env").write_text("REDIS_URL=redis://127.0.0.1:1/0\n")
        text = ONLY_HERE.format(environment=folder / "env", log=folder / "log")
        (folder / "units" / "n2wbackup-.service.d" / "only-here.conf").write_text(text)
        (folder / "units" / TARGET).write_text(f"[Unit]\nWants={unit}\n")
        with systemd.booted(
            folder / "units", TARGET, checkout=folder, at=AT, log=folder / "boot.log"
        ) as running:
            processes.wait_until(
                lambda: running.show(unit, "Result") == "exec-condition", seconds=60, what="skipped"
            )
            assert running.show(unit, "ActiveState") == "inactive"
