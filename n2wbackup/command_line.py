"""The command line, as `manage.py` and as `n2w`: one place turns trouble of the surroundings into a sentence.

Whatever a command meets, the person at the keyboard gets one sentence and no traceback when a setting is wrong, the
database is not migrated, broken, read-only or away, the disk is full, or Ctrl-C was pressed. Other errors are bugs and
keep their traceback.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import iter_modules

from django.core.checks import Tags
from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands, load_command_class
from django.core.management.base import BaseCommand

from n2wbackup import VERSION
from n2wbackup.lib import programs

INTERRUPTED = 130  # as shells report a command that SIGINT ended
CALLED_N2W = "--called-n2w"  # the first word from `n2w`
NAME = "n2w"
# Django's commands that every installation needs.
NEEDED = {
    "migrate": "Make or upgrade the tables of the database.",
    "createsuperuser": "Create the first superuser, who may then create all other users.",
    "changepassword": "Give a user another password.",
}
_APPS = ("policies", "scripts_admin")
# They serve pages, change users, or look at every table. All others start the faster without the login.
WITH_PAGES = {
    "apply",
    "completion",
    "demo",
    "doctor",
    "move_database",
    "provision_user",
    "rekey",
    "serve",
}
_COMMANDS = Path(__file__).resolve().parents[1] / "policies" / "management" / "commands"


class _Utility(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        if subcommand in ours():
            command.get_version = lambda: VERSION  # type: ignore[method-assign]
        elif subcommand == "createsuperuser":
            # It only writes a row. The programs that run scripts check whether scripts can run here.
            command.requires_system_checks = [Tags.models]
        return command

    def main_help_text(self, commands_only: bool = False) -> str:  # noqa: FBT001, FBT002 - as Django's
        if self.prog_name != NAME or commands_only:
            return super().main_help_text(commands_only)
        return _help()


def ours() -> list[str]:
    """Return the names of the product's own commands."""
    return sorted(name for name, app in get_commands().items() if app in _APPS)


def without_pages() -> set[str]:
    """Return the names of the product's commands that load nothing of the login; no setting is read for it."""
    return {module.name for module in iter_modules([str(_COMMANDS)])} - WITH_PAGES


def load(name: str) -> BaseCommand:
    """Return one of the product's commands or of `NEEDED`."""
    app = get_commands()[name]
    return app if isinstance(app, BaseCommand) else load_command_class(app, name)


def main(words: Sequence[str]) -> None:
    """Run the command line `words`, program name first. Leaves with SystemExit unless the command succeeded."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")
    if list(words[1:2]) == [CALLED_N2W]:
        words = [NAME, *words[2:]]
    if list(words[1:]) in (["--version"], ["version"]):
        sys.stdout.write(f"{VERSION}\n")  # before any setting is read
        return
    if words[1:] and words[1] in without_pages():
        programs.without_pages()
    try:
        _Utility(list(words)).execute()
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(f"The settings are wrong: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _leave_the_pipe()
    except Exception as error:
        said = _sentence(error)
        if not said:
            raise
        sys.exit(said)


def _help() -> str:
    lines = [
        "n2w COMMAND …: application-consistent EBS backups. `n2w COMMAND --help` says more of each.",
        "",
        *(f"  {name:16} {_first_sentence(load(name).help)}" for name in ours()),
        "",
        "At first:",
        *(f"  {name:16} {text}" for name, text in NEEDED.items()),
    ]
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


def _sentence(error: Exception) -> str:
    # Late: most commands never need it, and the settings may be the trouble.
    from n2wbackup.lib import terminal, trouble  # noqa: PLC0415

    try:
        return terminal.line(trouble.sentence(error))
    except ImproperlyConfigured as wrong:
        return f"The settings are wrong: {wrong}"


def _leave_the_pipe() -> None:
    """End in silence when the reader (`| head`) has gone; Python would complain once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
