"""What the pages of the permission matrix look like on a bad day: rows in it, and what is wrong with them."""

from datetime import timedelta
from typing import Any

from n2wbackup.lib import clock
from policies.domain.trials import Kind, State, Verdict
from policies.models import Account, Policy, SsmInstance, SsmPlace, Trial, TrialResult
from policies.services.retention import holds
from scripts_admin.folders import storage
from scripts_admin.hosts import keypairs
from scripts_admin.models import Folder, SshHost
from scripts_admin.models.ssh import HostState
from scripts_admin.services import keys
from tests.policies.services.retention.rows import nightly
from tests.policies.views import matrix

INSTANCE = "i-0bbbbbbbbbbbbbbbb"  # of policy1
OTHER = "i-0cccccccccccccccc"
LONG = "a-name-that-somebody-typed-without-a-thought-for-narrow-telephones-and-for-tables"
_REFUSED = (
    "The instance refused the login of app with each key that it was shown: add the line of the page SSH keys to "
    "/home/app/.ssh/authorized_keys there."
)
_LATE = (
    f"{INSTANCE} had not thawed by itself 15 s after its connection was cut. Look at what app may run there, and let "
    "no policy freeze anything on it before a drill passes."
)
_SCRIPTS = {
    f"before_policy1@{INSTANCE}.sh": "#!/bin/sh\nxfs_freeze -f /\nsleep 60\n",
    "after_policy1@all.sh": "#!/bin/sh\nxfs_freeze -u /\n",
    "before_busy.sh": "#!/bin/sh\nif [$? -gt 0[; then mysql -uroot -psecret; fi\r\n",
    "before_nobody.sh": "echo no first line\n",
    f"{LONG}.sh": "#!/bin/sh\n",
}


def add(world: matrix.World) -> None:
    """Let the matrix's rows be in trouble: drills that failed, agents that are away, a host key that has changed."""
    policy = world.rows["policy"]
    assert isinstance(policy, Policy)
    _trial(policy, Kind.DRILL, Verdict.FAILED, _LATE)
    _trial(policy, Kind.LOGIN, Verdict.FAILED, _REFUSED)
    _agents(world.rows["account"])
    _keys(world)
    Policy.objects.filter(pk=policy.pk).update(keep_last=1, keep_daily=2)
    points = nightly(policy, 4)
    holds.hold(points[3], reason=f"an audit of {LONG}", until=None, by="alice")


def lay() -> None:
    """Add scripts of each kind that the folder's page tells apart to those that lie there."""
    place = storage.path(Folder.objects.get(owner__username="alice"))
    for name, text in _SCRIPTS.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)


def _trial(policy: Policy, kind: Kind, verdict: Verdict, sentence: str) -> None:
    at = clock.now() - timedelta(days=12)
    trial = Trial.objects.create(
        policy=policy, kind=kind, state=State.DONE, asked_at=at, next_at=at, ended_at=at
    )
    TrialResult.objects.create(
        trial=trial,
        policy=policy,
        kind=kind,
        instance_id=INSTANCE,
        region="us-east-1",
        verdict=verdict,
        sentence=sentence,
        at=at,
    )


def _agents(account: Any) -> None:
    assert isinstance(account, Account)
    place = SsmPlace.objects.create(
        account=account,
        region="us-east-1",
        next_at=clock.now(),
        seen_at=clock.now(),
        problem="AWS denied ssm:DescribeInstanceInformation: add it to the account's policy.",
        probe_problem="The command did not end within 60 s.",
    )
    SsmInstance.objects.create(
        place=place, instance_id=OTHER, state="stopped", role_problem="AWS denied iam:GetRole."
    )
    SsmInstance.objects.create(
        place=place,
        instance_id=INSTANCE,
        name=LONG,
        state="running",
        ping="Online",
        pinged_at=clock.now(),
        platform_type="Linux",
        platform="Amazon Linux 2023",
        agent_version="3.0.1.0",
        has_profile=True,
        role=LONG[:60],
        folders=[["/var/lib/amazon/ssm", "/"]],
        folders_at=clock.now(),
        freezes=[[f"before_policy1@{INSTANCE}.sh", "/"]],
    )


def _keys(world: matrix.World) -> None:
    alice, host = world.people["alice"], world.rows["sshhost"]
    assert isinstance(host, SshHost)
    keys.make(host.folder, by=alice)
    SshHost.objects.filter(pk=host.pk).update(
        name=f"{LONG}.example.org",
        state=HostState.CHANGED,
        problem="It answered with another key than the approved one.",
        key=str(keypairs.make().public),
        seen=str(keypairs.make().public),
        approved_at=clock.now(),
        approved_by="alice",
        seen_at=clock.now(),
        instance_id=INSTANCE,
    )
