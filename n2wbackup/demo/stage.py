"""What the demo shows: users, the ledger on a simulated volume, its scripts and its policy."""

import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from n2wbackup.demo import ledger
from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance, VolumeSpec
from n2wbackup.lib import clock
from policies.domain.proofs import Level, Recipe
from policies.domain.schedules.schedule import Unit
from policies.models import Account, Policy, PolicyTarget, Schedule
from policies.services.entry import accounts, policies, schedules
from scripts_admin import permissions
from scripts_admin.folders import storage
from scripts_admin.models import Folder, User
from scripts_admin.services import users

OPERATOR = "alice"
COLLEAGUE = "bob"
ADMIN = "admin"
POLICY = "ledger"
EVERY_MINUTES = 5
KEPT = 3  # restore points of the ledger
# CreateSnapshots of the real AWS takes almost a second: the ledger is held that long.
AWS_SECONDS = 0.2
PENDING_SECONDS = 2.0
_HOLD_SECONDS = 60  # the ledger goes on after this time, whatever happens to the backup
_SCRIPTS = Path(__file__).with_name("scripts")
VERIFY = "verify_ledger.py"
# The kernel reads only this much of a script's first line, and ends the program's name at a blank.
_LONGEST_INTERPRETER = 120


@dataclass(frozen=True, slots=True)
class Stage:
    """What was set up. `ledger` is the application's file, `volume_id` the volume that it is on."""

    policy: Policy
    ledger: Path
    volume_id: str
    scripts: Path
    passwords: Mapping[str, str]
    people: tuple[User, ...]


def build() -> None:
    """Create the tables in the empty home of this process."""
    call_command("migrate", verbosity=0)


def furnish(aws: SimulatedAws) -> Stage:
    """Set everything up in the home from `build`; then the server can be started."""
    aws.configure(pending_seconds=PENDING_SECONDS, latency_seconds={"CreateSnapshots": AWS_SECONDS})
    passwords = {name: secrets.token_urlsafe(9) for name in (OPERATOR, COLLEAGUE, ADMIN)}
    operator = _user(OPERATOR, passwords[OPERATOR])
    permissions.let_open_snapshots(operator)
    colleague = _user(COLLEAGUE, passwords[COLLEAGUE])
    _user(ADMIN, passwords[ADMIN], is_superuser=True, is_staff=True)
    books = ledger.create(settings.N2W_HOME / "application" / "volume")
    root, data = VolumeSpec(name="system"), VolumeSpec(name="ledger", backing=books.parent)
    instance = aws.add_instance(volumes=[root, data], name="bookkeeping")
    return Stage(
        policy=_policy(operator, aws, instance),
        ledger=books,
        volume_id=instance.volume_ids[1],
        scripts=install(storage.path(Folder.objects.get(owner=operator)), books),
        passwords=passwords,
        people=(operator, colleague),
    )


def _user(name: str, password: str, **rights: bool) -> User:
    user = User(username=name, **rights)
    user.set_password(password)
    users.save(user)
    return user


def _policy(owner: User, aws: SimulatedAws, instance: SimulatedInstance) -> Policy:
    account = Account(
        owner=owner,
        name="simulated",
        auth=Account.Auth.KEYS,
        access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        region=instance.region,
    )
    accounts.save(account)
    policy = Policy(
        owner=owner,
        account=account,
        name=POLICY,
        proof_level=Level.AGREES,
        proof_recipe=Recipe.FILES,
        keep_last=KEPT,
    )
    policies.save(policy, [_schedule(owner)])
    target = PolicyTarget(instance_id=instance.instance_id, region=instance.region)
    policies.replace_targets(policy, [target])
    return policy


def _schedule(owner: User) -> Schedule:
    """Return a schedule that is due every few minutes, starting now."""
    schedule = Schedule(
        owner=owner,
        name=f"every {EVERY_MINUTES} minutes",
        every_number=EVERY_MINUTES,
        every_unit=Unit.MINUTES,
        starting=f"{clock.now():%Y-%m-%dT%H:%M}",
    )
    schedules.save(schedule)
    return schedule


def install(folder: Path, books: Path, hold_seconds: float = _HOLD_SECONDS) -> Path:
    """Put the ledger's scripts and their settings into a script folder; return the folder.

    The scripts keep their state beside the volume, never on it, because the volume will be frozen.
    """
    for source in sorted(_SCRIPTS.glob("*_ledger.*")):
        script, text = folder / source.name, source.read_text(encoding="utf-8")
        # A proof sees the machine's own programs, and nothing of this checkout.
        text = text if source.name == VERIFY else _with_interpreter(text)
        script.write_text(text, encoding="utf-8")
        shutil.copymode(source, script)
    lines = {
        "ledger": str(books),
        "state": str(books.parent.with_name("state")),
        "deadline_seconds": str(hold_seconds),
    }
    (folder / "ledger.conf").write_text(
        "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items()),
        encoding="utf-8",
    )
    return folder


def _with_interpreter(text: str) -> str:
    """Return a Python script with our own interpreter, because the machine's may be old or missing."""
    python = sys.executable
    if not text.startswith("#!/usr/bin/env python3\n"):
        return text
    if " " in python or len(python) > _LONGEST_INTERPRETER:
        return text
    return f"#!{python}\n{text.partition(chr(10))[2]}"
