"""The units in deploy/systemd match the supervisor: the two ways to run one server must not drift apart."""

import configparser
import subprocess
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import home
from n2wbackup.processes import supervisor
from tests.ground import components

UNITS = Path(__file__).resolve().parents[3] / "deploy" / "systemd"
PARTS = ("watchdog", *supervisor.SINGLE)
WITH_GUARDS = ("watchdog", "freeze", "work")
PYTHON = "/opt/n2wbackup/.venv/bin/python manage.py"


def read(name: str) -> configparser.RawConfigParser:
    # A key may appear several times in a unit.
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # the documented way to set it
    parser.read_string((UNITS / name).read_text())
    return parser


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> None:
    settings.N2W_HOME = tmp_path
    settings.N2W_REDIS_URL = "redis://elsewhere"  # no broker's settings are written
    home.run()


def test_each_program_has_a_unit_and_the_target_wants_them_all() -> None:
    files = {path.name for path in UNITS.glob("n2wbackup-*.service")}
    assert files == {f"n2wbackup-{part}.service" for part in PARTS}

    wanted = [
        name
        for line in (UNITS / "n2wbackup.target").read_text().splitlines()
        if line.startswith("Wants=")
        for name in line.removeprefix("Wants=").split()
    ]
    assert sorted(wanted) == sorted(files)


@pytest.mark.parametrize("part", PARTS)
def test_a_unit_starts_its_program_and_stops_it_in_the_time_that_the_supervisor_gives(
    part: str,
) -> None:
    unit = read(f"n2wbackup-{part}.service")["Service"]

    words = "watchdog" if part == "watchdog" else f"serve --only {part}"
    assert unit["ExecStart"] == f"{PYTHON} {words}"
    stop_seconds = {program.name: program.stop_seconds for program in supervisor.programs()}
    assert int(unit["TimeoutStopSec"]) == stop_seconds.get(part, 10)


def test_whose_guards_thaw_is_ended_alone_and_whatever_dies_is_started_again() -> None:
    common = read("n2wbackup-.service.d/common.conf")
    whole = read("n2wbackup.service")

    for unit in (common, whole):
        assert unit["Service"]["OOMPolicy"] == "continue"
        assert unit["Service"]["Restart"] == "always"
        assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    for unit in (whole, *(read(f"n2wbackup-{part}.service") for part in WITH_GUARDS)):
        assert unit["Service"]["KillMode"] == "process"
        assert unit["Service"]["ManagedOOMPreference"] == "omit"
        assert unit["Service"]["TasksMax"] == "infinity"  # the scripts are below the unit's cgroup
    assert whole["Service"]["TimeoutStopSec"] == "infinity"


SHUT_IN = sorted(set(PARTS) - set(WITH_GUARDS))


def test_no_unit_shuts_scripts_in() -> None:
    words = ("Protect", "Private", "Restrict", "NoNew", "Capability", "System", "Lock")

    for name in (*(f"n2wbackup-{part}.service" for part in WITH_GUARDS), "n2wbackup.service"):
        assert [key for key in read(name)["Service"] if key.startswith(words)] == []


@pytest.mark.parametrize("part", SHUT_IN)
def test_a_unit_that_runs_no_script_is_exposed_by_2_of_10_at_most(part: str) -> None:
    analyze = components.program("systemd-analyze")
    unit = UNITS / f"n2wbackup-{part}.service"

    words = ["security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    done = subprocess.run([analyze, *words], capture_output=True, text=True, check=False)

    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("part", SHUT_IN)
def test_a_unit_that_runs_no_script_cannot_reach_what_a_thaw_executes_and_believes(
    part: str,
) -> None:
    unit = read(f"n2wbackup-{part}.service")["Service"]

    assert unit["ProtectSystem"] == "strict"
    assert unit["NoNewPrivileges"] == "yes"
    assert "/cpmdata/spool" in unit["InaccessiblePaths"].split()  # if it is missing, the unit fails
    assert "mkdir" in unit["ExecStartPre"]


def test_the_pages_do_not_run_as_root() -> None:
    unit = read("n2wbackup-web.service")["Service"]

    assert "User" not in unit
    for name in ("n2wbackup-.service.d/common.conf", "n2wbackup.service"):
        assert read(name)["Service"]["User"] == "n2wbackup"
    assert unit["ReadOnlyPaths"].split() == ["-/cpmdata/secrets", "-/cpmdata/server-id"]
    assert "CAP_SETUID" not in unit["CapabilityBoundingSet"]


def test_who_opens_windows_is_stopped_first_and_what_closes_them_last() -> None:
    for part in set(PARTS) - {"watchdog", "valkey"}:
        after = read(f"n2wbackup-{part}.service")["Unit"]["After"].split()
        assert after == ["n2wbackup-valkey.service", "n2wbackup-watchdog.service"]
    assert read("n2wbackup-watchdog.service")["Unit"]["After"] == "n2wbackup-valkey.service"
