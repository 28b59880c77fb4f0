"""How a run logs in to an instance over SSH: address, approved host keys, keys; all before anything is frozen."""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict

from n2wbackup.lib import clock, encrypted
from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account, Run
from policies.ports import Credentials, Instance
from policies.services import runs
from policies.services.alarms import raising
from policies.services.window import credentials
from scripts_admin.domain import ssh
from scripts_admin.domain.remote import Key as Kind
from scripts_admin.domain.remote import Remote
from scripts_admin.hosts import asking
from scripts_admin.hosts.asking import NotAskedError
from scripts_admin.models import Folder
from scripts_admin.runners.addresses import Address, Connect, Hand, Way
from scripts_admin.runners.refusals import HostKeyError, Why
from scripts_admin.services import host_checks, hosts, remote_hosts
from scripts_admin.services.host_checks import Changed
from scripts_admin.services.hosts import HostRefusedError

RESOLVE_SECONDS = 3.0
_LEFT_OUT = (
    "Nothing was frozen there. Compare the keys on the page Hosts of these scripts, and approve the new one only if it "
    "is right."
)


class NoWayError(BackupError):
    """Nobody can log in to an instance, so it is left out; the text says what is missing."""


def way(folder: Folder, account: Account, remote: Remote, instance: Instance) -> Way:
    """Return how to log in to the instance; NoWayError if an address, an approved host key or a key is missing.

    A host that nobody has approved is put on the page Hosts, where a worker asks it for its key. Names are resolved
    here, within some seconds, and their addresses are judged: nothing later does.
    """
    place = _Place(folder, instance, remote)
    bastion = place.bastion()
    address = place.address(bastion)
    stored = _stored(folder)
    if remote.key == Kind.STORED:
        if not stored:
            raise NoWayError(
                f"No key logs in to {instance.instance_id}: make one on the page Keys of these scripts."
            )
        return Way(address, stored)
    connects = [_connect(instance, remote.user)]
    if bastion is not None and not stored:
        connects.append(_connect_to_bastion(folder, instance, bastion))
    return Way(address, stored if bastion else (), tuple(connects), _packed(account))


class _Place:
    """Where an instance is: its host, and its bastion if it has one."""

    def __init__(self, folder: Folder, instance: Instance, remote: Remote) -> None:
        self._folder, self._remote, self._instance = folder, remote, instance.instance_id
        self._host = remote.host or str(instance.answer.get("PrivateIpAddress", ""))
        if not self._host:
            raise NoWayError(
                f"{instance.instance_id} has no private address: start it, or enter its host in the policy."
            )

    def bastion(self) -> Address | None:
        through = self._remote.through
        if through is None:
            return None
        keys = remote_hosts.approved(self._folder, through.host, through.port)
        if not keys:
            raise self._unknown(through.host, through.port)
        user = through.user or self._remote.user
        at = _judged(through.host, through.port, self._folder)
        return Address(through.host, through.port, user, keys, at=at)

    def address(self, bastion: Address | None) -> Address:
        host, of = ssh.host_name(self._host), self._remote
        port = of.port or ssh.DEFAULT_PORT
        keys = remote_hosts.approved(self._folder, host, port)
        if not keys and bastion is None:  # behind a bastion, the session itself sees the key
            raise self._unknown(host, port)
        at = "" if bastion else _judged(host, port, self._folder)
        return Address(host, port, of.user, keys, bastion, sudo=of.sudo, at=at)

    def _unknown(self, host: str, port: int) -> NoWayError:
        said = remote_hosts.refuse_unknown(self._folder, host, port, self._instance)
        return NoWayError(str(said))


def _judged(host: str, port: int, folder: Folder) -> str:
    try:
        return asking.address_of(host, port, RESOLVE_SECONDS, whom=folder.pk)
    except NotAskedError as error:
        raise NoWayError(str(error)) from error


def _stored(folder: Folder) -> tuple[str, ...]:
    try:
        return remote_hosts.private_keys(folder)
    except encrypted.DecryptionError as error:
        raise NoWayError(str(error)) from error


def _connect(instance: Instance, user: str) -> Connect:
    zone = str(instance.answer.get("Placement", {}).get("AvailabilityZone", ""))
    return Connect(instance.region, instance.instance_id, user, zone)


def _connect_to_bastion(folder: Folder, instance: Instance, bastion: Address) -> Connect:
    """Return how Instance Connect reaches the bastion: its host is an instance, as the page Hosts says."""
    found = remote_hosts.instance_of(folder, bastion.host, bastion.port)
    if not found or found == instance.instance_id:
        raise NoWayError(
            f"No key logs in to the bastion {bastion}: make one on the page Keys of these scripts, or name its "
            "instance on the page Hosts, so that EC2 Instance Connect can be used."
        )
    return Connect(instance.region, found, bastion.user, is_bastion=True)


def _packed(account: Account) -> str:
    return json.dumps(asdict(credentials.of(account)))


def hand(way: Way) -> Hand:
    """Return what hands a public key over by EC2 Instance Connect; it needs no database. Raises AwsError."""
    given = json.loads(way.credentials) if way.credentials else {}
    aws = session.instance_connect(Credentials(**given))

    def hand_over(to: Connect, public_key: str) -> None:
        aws.hand_over(to.region, to.instance_id, to.user, public_key, to.availability_zone)

    return hand_over


def left_out(run: Run, folder: Folder, refusals: Collection[tuple[str, HostKeyError]]) -> None:
    """Enter and report the host keys that kept the scripts on instances out of a run, which goes on without them.

    Each refusal comes with its instance. An unknown key is put on the page Hosts; it raises no alarm.
    """
    changed = [
        found for instance_id, error in refusals if (found := enter_key(folder, instance_id, error))
    ]
    if not changed:
        return
    reason = " ".join([*dict.fromkeys(str(error) for _, error in refusals), _LEFT_OUT])
    runs.record(run, reason)
    names = [str(each.host) for each in changed]
    is_new = any(each.is_new for each in changed)
    raising.host_key_left_out(run, names, reason, clock.now(), is_new=is_new)


def proved(folder: Folder, opened: Collection[Way]) -> None:
    """Enter that sessions were opened on these ways: a host that shows its approved key again has not changed."""
    hops = [hop for each in opened for hop in (each.address, each.address.bastion) if hop]
    host_checks.enter_proved(
        folder, {(hop.host, hop.port, key) for hop in hops for key in hop.host_keys}
    )


def enter_key(folder: Folder, instance_id: str, error: HostKeyError) -> Changed | None:
    """Enter the host key that kept a session from being opened; return the host if it has changed."""
    if error.why == Why.HOST_CHANGED:
        return host_checks.enter_changed(folder, error.host, error.port, error.shown)
    show(folder, instance_id, error)
    return None


def show(folder: Folder, instance_id: str, error: HostKeyError) -> None:
    """Put a key that nobody has approved on the page Hosts."""
    with suppress(HostRefusedError):  # there is no room on the page: the reason tells of the key
        hosts.show(folder, error.host, error.port, error.shown, instance_id)
