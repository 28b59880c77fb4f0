"""The demo's other policies: one in each state that an operator can meet, so that every page has something to show.

`ledger` (see `stage`) is really backed up. Of these, some have a past that was made up, and three really run:
`mail` fails, `wiki-files` may be frozen (nothing of it is: its script only says so), and `archive` takes an hour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo import stage
from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance, VolumeSpec
from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy, PolicyTarget, Run, Schedule
from policies.services import runs
from policies.services.entry import accounts, policies, schedules
from scripts_admin.domain.remote import ALL, AT, Remote
from scripts_admin.folders import storage
from scripts_admin.models import Folder, User

_SLOW_SECONDS = 3_600.0
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_NOT_FIRED = (State.QUEUED, State.PREPARING, State.FROZEN, State.THAWING)
_NIGHTLY = "0 2 * * *"
_OK = "#!/bin/sh\necho '{says}'\n"


@dataclass(frozen=True, slots=True)
class Member:
    """A policy of the company. `scripts`: the text of each phase's script."""

    name: str
    owner: str
    cron: str = _NIGHTLY
    enabled: bool = True
    scripts: dict[str, str] = field(default_factory=dict)
    volumes: int = 2
    starts_now: bool = False
    skips_without_before: bool = False


_FREEZES = {
    "before": _OK.format(says="flushed and locked"),
    "after": _OK.format(says="unlocked"),
    "complete": _OK.format(says="logs truncated"),
}
_MAY_BE_FROZEN = {
    "before": _OK.format(says="froze nothing: this is the demo"),
    # Somebody who creates the file lets after succeed.
    "after": "#!/bin/sh\n[ -e thawed-by-hand ] || { echo 'the file system is busy' >&2; exit 1; }\n",
}
_FAILS = {
    "before": "#!/bin/sh\necho 'ERROR 1045 (28000): Access denied for user backup' >&2\nexit 1\n",
    "after": _OK.format(says="nothing to unlock"),
}
MEMBERS = (
    Member("website", stage.OPERATOR),
    Member("orders", stage.OPERATOR, scripts=_FREEZES),
    Member("mail", stage.OPERATOR, scripts=_FAILS, starts_now=True, skips_without_before=True),
    Member("wiki", stage.COLLEAGUE, cron="0 3 1 * *"),
    Member("build", stage.COLLEAGUE, enabled=False),
    Member("wiki-files", stage.COLLEAGUE, scripts=_MAY_BE_FROZEN, starts_now=True),
    Member("archive", stage.COLLEAGUE, cron="0 4 * * sun", starts_now=True, volumes=3),
)


def furnish(aws: SimulatedAws, people: Sequence[User]) -> dict[str, Policy]:
    """Set the company up; return its policies by name. Nothing runs yet."""
    keys = aws.environment
    made = {}
    for person in people:
        account = Account(
            owner=person,
            name="production",
            auth=Account.Auth.KEYS,
            access_key_id=keys["AWS_ACCESS_KEY_ID"],
            secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
        )
        accounts.save(account)
        for member in MEMBERS:
            if member.owner == person.username:
                made[member.name] = policy(member, account, instance(aws, member))
    _forgotten(aws)
    return made


def _forgotten(aws: SimulatedAws) -> None:
    """Have what nobody thought of: an instance and a volume that are in no policy."""
    aws.add_instance(volumes=[VolumeSpec(name="staging", size_gib=80)], name="staging")
    aws.add_volume(volume=VolumeSpec(name="old-invoices", size_gib=500))


def start(aws: SimulatedAws, made: dict[str, Policy], wait: Callable[[float], None]) -> None:
    """Start the runs that go on while people look; `wait` waits for some seconds.

    `archive` comes first: its snapshots stay pending for an hour, those of the others do not.
    """
    usual = stage.PENDING_SECONDS
    aws.configure(pending_seconds=_SLOW_SECONDS)
    slow = started(made["archive"])
    deadline = clock.boottime() + _PATIENCE_SECONDS
    while slow.state in _NOT_FIRED and clock.boottime() < deadline:
        wait(_LOOK_SECONDS)
        slow.refresh_from_db()
    aws.configure(pending_seconds=usual)
    for member in MEMBERS:
        if member.starts_now and member.name != "archive":
            started(made[member.name])


def started(policy: Policy) -> Run:
    return runs.start(policy=policy, trigger=Trigger.MANUAL, requested_by="demo")


def instance(aws: SimulatedAws, member: Member, folder: Path | None = None) -> SimulatedInstance:
    """Make the member's instance; with a folder, an agent of SSM runs commands in it."""
    names = ["system", *(f"{member.name}-{number}" for number in range(1, member.volumes))]
    volumes = [VolumeSpec(name=name) for name in names]
    return aws.add_instance(volumes=volumes, name=member.name, folder=folder)


def policy(
    member: Member, account: Account, of: SimulatedInstance, remote: Remote | None = None
) -> Policy:
    """Make the member's policy and its scripts; `remote` says how they get to the instance."""
    owner = account.owner
    schedule = Schedule(owner=owner, name=member.name, cron=member.cron, timezone="Europe/Berlin")
    schedules.save(schedule)
    made = Policy(
        owner=owner,
        account=account,
        name=member.name,
        enabled=member.enabled,
        retry_count=0,
        skip_snapshots_when_before_fails=member.skips_without_before,
    )
    policies.save(made, [schedule])
    target = PolicyTarget(instance_id=of.instance_id, region=of.region)
    at = ""
    if remote is not None:
        target.remote, at = remote.filled(), f"{AT}{ALL}"
    policies.replace_targets(made, [target])
    _write(member, storage.path(Folder.objects.get(owner=owner)), at)
    return made


def _write(member: Member, folder: Path, at: str) -> None:
    for phase, text in member.scripts.items():
        script = folder / f"{phase}_{member.name}{at}.sh"
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
