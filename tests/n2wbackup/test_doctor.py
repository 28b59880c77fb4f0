"""The doctor's lines: ok, or what to do."""

from pathlib import Path

import pytest
from django.conf import settings

from n2wbackup import VERSION, doctor
from n2wbackup.lib import home
from n2wbackup.processes import serve_lock
from policies.models import Server
from policies.services.servers import heart
from scripts_admin.guard.launching import LaunchError
from tests.n2wbackup.test_command_line import n2w


def line(name: str) -> doctor.Finding:
    return next(each for each in doctor.findings() if each.name == name)


def test_a_healthy_home_without_a_server_needs_only_that(db: None) -> None:
    found = {each.name: each for each in doctor.findings()}

    assert list(found) == [
        *(
            "versions",
            "home",
            "account",
            "database",
            "broker",
            "processes",
            "release",
            "disk",
            "permissions",
            "accounts",
            "snapshots",
            "deleting",
            "prices",
        ),
    ]
    assert {name for name, each in found.items() if not each.ok} <= {"processes", "broker"}
    assert found["processes"].text.endswith("start it with `manage.py serve`.")
    assert home.server_id() in found["home"].text


def test_a_server_without_its_processes_names_them(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_lock, "held", lambda _: True)
    monkeypatch.setattr(doctor, "_titles", lambda: iter(["web", "beat", "watchdog"]))

    found = line("processes")

    assert not found.ok
    assert found.text.startswith("Not running: worker freeze, worker tick, worker work. Look at")


@pytest.mark.parametrize("running", [1, 2])
def test_a_worker_that_lacks_one_of_its_processes_is_named(
    db: None, monkeypatch: pytest.MonkeyPatch, running: int
) -> None:
    shown = [*doctor.ROLES, *["worker freeze"] * (running - 1), "workers freeze 2"]
    monkeypatch.setattr(serve_lock, "held", lambda _: True)
    monkeypatch.setattr(doctor, "_titles", lambda: iter(shown))

    found = line("processes")

    assert found.ok == (running == 2)
    assert found.ok or found.text.startswith("Not running: 1 of the 2 processes of worker freeze.")


@pytest.mark.parametrize("runs", [VERSION, "0.1"])
def test_a_server_that_goes_on_with_an_older_release_is_named(
    db: None, monkeypatch: pytest.MonkeyPatch, runs: str
) -> None:
    monkeypatch.setattr(serve_lock, "held", lambda _: True)
    heart.beat()
    Server.objects.update(version=runs)

    found = line("release")

    older = f"The server is of another release. It runs 0.1, and {VERSION} is installed: drain it, and start it again."
    assert found.ok == (runs == VERSION)
    assert found.text == (f"the server runs {VERSION}, which is installed" if found.ok else older)


def test_an_open_secret_is_found(db: None) -> None:
    secrets = Path(settings.N2W_HOME) / "secrets"
    key = next(secrets.iterdir())
    key.chmod(0o644)
    try:
        found = line("permissions")
    finally:
        key.chmod(0o600)

    assert not found.ok
    assert f"`chmod 600 {key}`" in found.text


def test_a_check_that_fails_is_a_line_and_the_others_follow(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> list[str]:
        raise RuntimeError("odd")

    monkeypatch.setattr("n2wbackup.lib.trouble.unapplied_migrations", fail)

    assert line("database") == ("database", False, "This check failed: RuntimeError: odd.")
    assert line("permissions").ok


def test_the_command_fails_unless_all_is_well(tmp_path: Path) -> None:
    found = n2w(tmp_path, "doctor", "--json")

    assert found.returncode == 1
    assert '"ok": false' in found.stdout
    assert "checks need you" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("said", ["", "sudo does not start it: do this"])
@pytest.mark.parametrize("uid", [0, 4711])
def test_a_server_that_is_not_root_has_its_launcher_tried(
    monkeypatch: pytest.MonkeyPatch, said: str, uid: int
) -> None:
    def check() -> None:
        if said:
            raise LaunchError(said)

    monkeypatch.setattr("scripts_admin.guard.launching.check", check)
    monkeypatch.setattr(settings, "N2W_RUN_SCRIPTS_AS", "cpmuser")
    monkeypatch.setattr("os.geteuid", lambda: uid)

    wanted = f"Scripts cannot run as other accounts: {said}." if said and uid else ""
    assert doctor._launcher_problem() == wanted
