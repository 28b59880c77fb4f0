"""The units that lock the accounts of people who left: as soon as the server writes down that they did."""

import os

from django.conf import settings

from n2wbackup.lib import home
from scripts_admin.folders.provisioning import commands
from scripts_admin.folders.provisioning.commands import Command, Step, file_step
from scripts_admin.folders.provisioning.machine import Machine

KINDS = (
    "path",
    "timer",
)  # what starts the service; the timer does it again if a script was at work
ENVIRONMENT = "/etc/n2wbackup.env"
_EACH = "15min"


def steps(on: Machine) -> list[Step]:
    """Return the steps for the units, which start at boot, and now if systemd runs."""
    places, runs = on.places, commands.systemd_runs() and not on.places.prefix
    reload = (Command(("systemctl", "daemon-reload")),) if runs else ()
    found = [
        file_step(f"the {kind} unit that locks accounts", places.departing(kind), text, mode=0o644)
        for kind, text in units().items()
    ]
    for kind in KINDS:
        link, target = places.departing_link(kind), places.departing(kind)
        folder = os.path.dirname(link)  # noqa: PTH120 - a str of places
        make = Command(("ln", "--symbolic", "--force", target, link))
        found.append(
            Step(
                f"the {kind} unit that locks accounts starts at boot",
                lambda link=link: os.path.islink(link),  # type: ignore[misc] # noqa: PTH114 - as above
                (Command(("mkdir", "--parents", folder)), make, *reload),
            )
        )
    return found + ([_started(f"n2w-departed.{kind}") for kind in KINDS] if runs else [])


def _started(unit: str) -> Step:
    start = Command(("systemctl", "start", unit))
    return Step(
        f"{unit} is started",
        lambda: commands.answer("systemctl", "is-active", unit) is not None,
        (start,),
    )


def units() -> dict[str, str]:
    """Return the text of each unit, by its kind."""
    said = "# Written by provision_user."
    words = "Accounts of people who left n2wbackup are locked"
    before = f"{said}\n[Unit]\nDescription={words}\nRequiresMountsFor={settings.N2W_HOME}\n\n"
    return {
        "service": f"""\
{before}[Service]
Type=oneshot
EnvironmentFile={ENVIRONMENT}
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={settings.BASE_DIR}/n2w provision_user --departed
""",
        "path": f"""\
{before}[Path]
PathChanged={home.ssh_logins()}

[Install]
WantedBy=multi-user.target
""",
        "timer": f"""\
{before}[Timer]
OnBootSec={_EACH}
OnUnitActiveSec={_EACH}

[Install]
WantedBy=timers.target
""",
    }
