"""Hosts of scripts, as far as they are instances: who asks them for their keys, and what their consoles show."""

from collections import defaultdict
from collections.abc import Collection

from django.db import transaction

from policies.adapters import broker, session
from policies.domain.errors import BackupError, RejectedError
from policies.models import Account, PolicyTarget
from policies.ports import Cloud, Instance
from policies.services.window import credentials
from scripts_admin.domain import ssh
from scripts_admin.models import Folder, SshHost, User
from scripts_admin.services import hosts
from scripts_admin.services.hosts import Console

_ADDRESSES = ("PrivateIpAddress", "PublicIpAddress", "PrivateDnsName", "PublicDnsName")
_MOST_TARGETS = 400
_Place = tuple[Account, str]


@transaction.atomic
def add(folder: Folder, name: str, port: int, *, by: User | None, expected: str = "") -> SshHost:
    """List a host, and send a worker to it. Raises HostRefusedError as `hosts.add` does."""
    host = hosts.add(folder, name, port, by=by, expected=expected)
    broker.on_commit(broker.HOST_KEY, host.pk)
    return host


@transaction.atomic
def ask(host: SshHost, *, by: User | None) -> None:
    """Send a worker to a host again. Raises HostRefusedError if too much was asked."""
    hosts.ask(host, by=by)
    broker.on_commit(broker.HOST_KEY, host.pk)


def tick() -> None:
    """Ask the hosts whose hint was lost."""
    for host_id in hosts.due():
        hosts.fetch(host_id, console)


def console(folder: Folder, instance_id: str, names: Collection[str]) -> Console:
    """Return what the console of a target of the folder's policies shows, with the policy's own account.

    The target is the one with this id; without an id, the one that has one of the names or addresses.
    """
    problems = []
    for (account, region), ids in _places(folder, instance_id).items():
        try:
            credentials.refuse_withdrawn(account)
            cloud = session.cloud(credentials.of(account))
            found = instance_id or _named(cloud.instances(region, ids).values(), names)
            if found:
                return Console(found, _shown(cloud, region, found))
        except BackupError as error:
            problems.append(str(error))
    return Console(instance_id, problem=problems[0] if problems else "")


def _places(folder: Folder, instance_id: str) -> dict[_Place, list[str]]:
    """Return the instances that may be meant, by account and region."""
    targets = PolicyTarget.objects.filter(policy__folder=folder).exclude(instance_id="")
    if instance_id:
        targets = targets.filter(instance_id=instance_id)
    found: dict[_Place, list[str]] = defaultdict(list)
    rows = targets.select_related("policy__account__owner").order_by("pk")
    for target in rows[:_MOST_TARGETS]:
        found[target.policy.account, target.region].append(target.instance_id)
    return found


def _named(instances: Collection[Instance], names: Collection[str]) -> str:
    for instance in instances:
        own = {str(instance.answer.get(field, "")).lower() for field in _ADDRESSES} - {""}
        if own & set(names):
            return instance.instance_id
    return ""


def _shown(cloud: Cloud, region: str, instance_id: str) -> str:
    """Return what the console showed at the start, where the fingerprints are; if they are gone, what it shows now."""
    early = cloud.console_output(region, instance_id, latest=False)
    if ssh.fingerprints_on(early):
        return early
    try:
        return early + "\n" + cloud.console_output(region, instance_id, latest=True)
    except RejectedError:  # only newer types of instances can tell
        return early
