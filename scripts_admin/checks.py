"""The checks of `manage.py check` for scripts: their Linux account, their folder, and whether they can run here."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from n2wbackup.lib import home
from scripts_admin import linux_accounts
from scripts_admin.guard import launching
from scripts_admin.models import ROOT, Folder

_MODES_HINT = (
    "Set it to cpmuser (the account that N2W_SCRIPT_USER names), owner (each owner's own account) or "
    "self (the server's account)."
)


def script_account(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ANN401, ARG001 - Django's signature of a check
    """Check that scripts can run as the account in the settings: E001, E002, W001."""
    mode = settings.N2W_RUN_SCRIPTS_AS
    if mode not in linux_accounts.MODES:
        text = f"N2W_RUN_SCRIPTS_AS is {mode!r}, which is not a valid value."
        return [Error(text, hint=_MODES_HINT, id="scripts_admin.E002")]
    if mode == "self":
        return [] if settings.DEBUG else [_as_ourselves()]
    try:
        account = linux_accounts.script_account(Folder(name=ROOT))
        linux_accounts.to_become(account)
        problem = "" if mode == "cpmuser" or os.geteuid() == 0 else launching.why_not()
        if problem:
            text = f"Scripts must run as their owners, but the server runs as uid {os.geteuid()}: {problem}."
            return [_cannot_run(text)]
    except linux_accounts.AccountError as error:
        return [_cannot_run(str(error))]
    return []


def trusted(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ANN401, ARG001 - Django's signature of a check
    """Check that nobody else can have changed what the server executes and believes: E004."""
    hint = "Until then no backup starts; what is frozen is thawed all the same."
    return [Error(found, hint=hint, id="scripts_admin.E004") for found in home.problems()]


def scripts_root(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ANN401, ARG001 - Django's signature of a check
    """Check that the server, and nobody else, can use the folder of all scripts: E003."""
    root = Path(settings.N2W_SCRIPTS_ROOT)
    try:
        problem, hint = _problem_of_root(root)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        hint = "Give the server's account the x permission on the folders above it."
    if not problem:
        return []
    text = f"The scripts root {root} {problem}."
    return [Error(text, hint=hint, id="scripts_admin.E003")]


def _problem_of_root(root: Path) -> tuple[str, str]:
    if not root.exists():
        above = next(folder for folder in root.parents if folder.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return "", ""  # it is created with the first folder in it
        return (
            f"does not exist and cannot be created in {above}",
            "Create it, or set N2W_SCRIPTS_ROOT.",
        )
    if not root.is_dir():
        return "is not a folder", "Move the file away, or set N2W_SCRIPTS_ROOT to a folder."
    if root.stat().st_mode & stat.S_IWOTH:
        hint = (
            f"Anyone who can write there can run scripts as another account: run chmod o-w {root}."
        )
        return "is writable by everybody on this machine", hint
    if not os.access(root, os.W_OK | os.X_OK):
        hint = "Give it to the account that the server runs as, or set N2W_SCRIPTS_ROOT."
        return "is not writable by the server", hint
    return "", ""


def _as_ourselves() -> CheckMessage:
    return CheckWarning(
        "Scripts run as the server's own account (N2W_RUN_SCRIPTS_AS=self), so each "
        "script can read the server's secrets.",
        hint=(
            "Use this only for the demo, for tests and on a machine with one user: otherwise set "
            "N2W_RUN_SCRIPTS_AS to cpmuser or owner."
        ),
        id="scripts_admin.W001",
    )


def _cannot_run(text: str) -> CheckMessage:
    hint = (
        "No script is started until you correct this: run provision_user as root, which makes accounts and installs "
        "the launcher, or set N2W_RUN_SCRIPTS_AS."
    )
    return Error(text, hint=hint, id="scripts_admin.E001")
