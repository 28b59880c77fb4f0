"""What a person finds who logs in as the scripts' account and runs a script by hand."""

import shlex
from pathlib import Path

from django.conf import settings

from scripts_admin.folders.provisioning.commands import Step, file_step
from scripts_admin.folders.provisioning.machine import Machine


def steps(on: Machine) -> list[Step]:
    """Return the step that lets `ssh` and its relatives know the keys and hosts of a script's owner, as in a run."""
    return [file_step("the PATH of the scripts' account", on.places.profile, text(on))]


def text(on: Machine) -> str:
    """Return what the shells of a login read."""
    programs = shlex.quote(str(Path(settings.N2W_HOME) / "ssh" / "bin"))
    return (
        "# Written by provision_user: scripts that are run by hand find the SSH keys and hosts of their owners.\n"
        f'[ "$(id -un)" != {on.shared} ] || PATH={programs}:$PATH\n'
    )
