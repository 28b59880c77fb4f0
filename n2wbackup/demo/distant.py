"""The demo's policies whose scripts run on the instance: `billing` by SSH, `search` by SSM.

This machine stands for both instances: an sshd of the demo's own for one, the simulated agent for the other.
"""

from collections.abc import Callable, Sequence

from django.conf import settings

from n2wbackup.demo import company
from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.demo.company import Member
from n2wbackup.demo.sshd import HOST, Sshd
from n2wbackup.lib import clock
from policies.models import Account, Policy
from scripts_admin.domain.remote import By, Key, Remote
from scripts_admin.models import Folder, SshHost, User
from scripts_admin.services import hosts, keys

BY_SSH, BY_SSM = "billing", "search"
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_BEFORE = """\
#!/bin/sh
# Runs on the instance: the server carries this text there before anything is frozen.
set -eu
folder={folder}
mkdir -p "$folder"
touch "$folder/maintenance" # the application of this name writes nothing while the file is there
echo "{name} stands still on $N2W_INSTANCE_ID, said by $(id -un) on $(uname -n)"
"""
_AFTER = """\
#!/bin/sh
# Runs on the instance, also by itself: when the connection ends, or at the deadline.
rm -f {folder}/maintenance
echo "{name} goes on; before ended well: $1"
"""


def by_ssh(aws: SimulatedAws, account: Account, sshd: Sshd) -> Policy:
    """Have a policy whose instance the server logs in to: its key is on the host, and the host key is approved."""
    owner = account.owner
    member = Member(BY_SSH, owner.username, cron="30 2 * * *", scripts=_scripts(BY_SSH))
    instance = company.instance(aws, member)
    _introduce(Folder.objects.get(owner=owner), sshd, instance.instance_id, owner)
    how = Remote(by=By.SSH, user=sshd.user, key=Key.STORED, host=HOST, port=sshd.port)
    return company.policy(member, account, instance, how)


def by_ssm(aws: SimulatedAws, account: Account) -> Policy:
    """Have a policy whose instance has an agent: nothing else is needed there."""
    member = Member(BY_SSM, account.owner.username, cron="45 2 * * *", scripts=_scripts(BY_SSM))
    folder = settings.N2W_HOME / "instances" / BY_SSM
    folder.mkdir(parents=True, exist_ok=True)
    instance = company.instance(aws, member, folder)
    return company.policy(member, account, instance, Remote(by=By.SSM))


def _introduce(folder: Folder, sshd: Sshd, instance_id: str, owner: User) -> None:
    """Do what people do on the pages Keys and Hosts."""
    sshd.let_in(keys.make(folder, by=owner).authorized_keys)
    hosts.show(folder, HOST, sshd.port, str(sshd.key), instance_id)
    row = SshHost.objects.get(folder=folder, name=HOST, port=sshd.port)
    hosts.approve(row, sshd.key.fingerprint, by=owner)


def _scripts(name: str) -> dict[str, str]:
    folder = f"'{settings.N2W_HOME / 'application' / name}'"
    texts = {"before": _BEFORE, "after": _AFTER}
    return {phase: text.format(name=name, folder=folder) for phase, text in texts.items()}


def start(policies: Sequence[Policy], sshd: Sshd | None, wait: Callable[[float], None]) -> None:
    """Start a backup of each once sshd answers; if it does not, the run says so."""
    deadline = clock.boottime() + _PATIENCE_SECONDS
    while sshd is not None and not sshd.answers() and clock.boottime() < deadline:
        wait(_LOOK_SECONDS)
    for policy in policies:
        company.started(policy)
