import os
import pwd
from pathlib import Path

import pytest
from django.core.checks import CheckMessage, run_checks
from pytest_django import Settings

from scripts_admin import checks


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return tmp_path / "scripts"


def _run_as(settings: Settings, mode: str, user: str = "") -> list[CheckMessage]:
    settings.N2W_RUN_SCRIPTS_AS = mode
    settings.N2W_SCRIPT_USER = user
    return checks.script_account(None)


def _ids(found: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in found)
    return [message.id for message in found]


def test_scripts_that_run_as_an_account_that_is_there_are_fine(settings: Settings) -> None:
    assert _run_as(settings, "cpmuser", "nobody") == []


def test_scripts_never_run_as_root_unless_they_run_as_the_server_itself(settings: Settings) -> None:
    (found,) = _run_as(settings, "cpmuser", "root")

    assert _ids([found]) == ["scripts_admin.E001"]
    assert found.msg == (
        "Scripts must not run as root, and root has its user id: name another account in N2W_SCRIPT_USER, or set "
        "N2W_RUN_SCRIPTS_AS=self on a machine of your own."
    )


def test_an_account_that_is_not_there_is_an_error_that_names_it(settings: Settings) -> None:
    (found,) = _run_as(settings, "cpmuser", "nobody-of-that-name")

    assert _ids([found]) == ["scripts_admin.E001"]
    assert "nobody-of-that-name does not exist" in found.msg


@pytest.mark.parametrize("mode", ["cpmuser", "owner"])
def test_an_account_that_we_cannot_become_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    assert _ids(_run_as(settings, mode, "root")) == ["scripts_admin.E001"]


def test_who_runs_scripts_as_their_owners_has_to_be_root(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: nobody.pw_uid)

    assert _run_as(settings, "cpmuser", "nobody") == []
    assert _ids(_run_as(settings, "owner", "nobody")) == ["scripts_admin.E001"]


@pytest.mark.parametrize(("debug", "ids"), [(False, ["scripts_admin.W001"]), (True, [])])
def test_running_as_ourselves_is_a_warning_outside_debug(
    settings: Settings, *, debug: bool, ids: list[str]
) -> None:
    settings.DEBUG = debug

    assert _ids(_run_as(settings, "self")) == ids


def test_an_unknown_way_to_run_scripts_is_an_error(settings: Settings) -> None:
    (found,) = _run_as(settings, "somebody")

    assert _ids([found]) == ["scripts_admin.E002"]
    assert "'somebody'" in found.msg


def test_a_scripts_root_that_is_not_there_yet_is_fine() -> None:
    assert checks.scripts_root(None) == []


def test_a_scripts_root_of_our_own_is_fine(root: Path) -> None:
    root.mkdir(mode=0o755)

    assert checks.scripts_root(None) == []


def test_a_scripts_root_that_is_a_file_is_an_error(root: Path) -> None:
    root.touch()

    (found,) = checks.scripts_root(None)

    assert _ids([found]) == ["scripts_admin.E003"]
    assert found.msg == f"The scripts root {root} is not a folder."


def test_a_scripts_root_that_everybody_can_write_is_an_error(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)

    (found,) = checks.scripts_root(None)

    assert _ids([found]) == ["scripts_admin.E003"]
    assert "everybody" in found.msg


@pytest.mark.parametrize("exists", [True, False])
def test_a_scripts_root_that_we_cannot_write_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    if exists:
        root.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere

    assert _ids(checks.scripts_root(None)) == ["scripts_admin.E003"]


def test_the_checks_are_part_of_manage_check(root: Path, settings: Settings) -> None:
    root.touch()
    settings.N2W_RUN_SCRIPTS_AS = "somebody"

    assert {"scripts_admin.E002", "scripts_admin.E003"} <= {found.id for found in run_checks()}
