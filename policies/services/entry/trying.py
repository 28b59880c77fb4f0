"""A dry try of a login over SSH, for who enters a policy: which kind of key works, and what stands in the way."""

import time
from dataclasses import dataclass, replace

from policies.adapters import session
from policies.domain.errors import BackupError, NotFoundError
from policies.models import Account
from policies.ports import Instance
from policies.services.window import credentials, ways
from scripts_admin.domain.remote import Key, Remote
from scripts_admin.models import Folder
from scripts_admin.runners import ssh
from scripts_admin.runners.refusals import HostKeyError, RefusedError, Why

SECONDS = 10.0  # for each kind of key
_HERE = "n2wbackup is here"
_LOOK_SECONDS = 0.02
_NAMES = {Key.INSTANCE_CONNECT: "EC2 Instance Connect", Key.STORED: "the stored key"}


@dataclass(frozen=True, slots=True)
class Tried:
    """The kind of key that works, and a sentence; an empty `key`: none does."""

    key: str
    sentence: str


def log_in(
    folder: Folder, account: Account, remote: Remote, region: str, instance_id: str
) -> Tried:
    """Log in to an instance as a run would, and propose EC2 Instance Connect where it works: no key is kept then.

    Takes up to a minute if nothing answers. It changes nothing on the instance. Nobody is asked who is not approved:
    an unknown host is put on the page Hosts.
    """
    try:
        credentials.refuse_withdrawn(account)
        instance = _instance(account, region, instance_id)
    except BackupError as error:
        return Tried("", str(error))
    problems: dict[Key, str] = {}
    for kind in (Key.INSTANCE_CONNECT, Key.STORED):
        problem = _problem(folder, account, replace(remote, key=kind), instance)
        if not problem:
            return Tried(kind, _works(kind, instance_id, problems))
        problems[kind] = problem
    return Tried("", " ".join(dict.fromkeys(problems.values())))


def _instance(account: Account, region: str, instance_id: str) -> Instance:
    found = session.cloud(credentials.of(account)).instances(region, [instance_id])
    if instance_id not in found:
        raise NotFoundError(f"There is no instance {instance_id} in {region} with this account.")
    return found[instance_id]


def _works(kind: Key, instance_id: str, problems: dict[Key, str]) -> str:
    if kind == Key.INSTANCE_CONNECT:
        return f"EC2 Instance Connect logs in to {instance_id}: choose it, as no private key has to be kept then."
    return (
        f"{_NAMES[kind].capitalize()} logs in to {instance_id}, and EC2 Instance Connect does not: "
        f"{problems[Key.INSTANCE_CONNECT]}"
    )


def _problem(folder: Folder, account: Account, remote: Remote, instance: Instance) -> str:
    """Return what stands in the way of this kind of key; "" if nothing does."""
    try:
        way = ways.way(folder, account, remote, instance)
        with ssh.open_session(way.address, way.key(ways.hand(way)), SECONDS) as opened:
            _prove(opened)
    except HostKeyError as error:
        if error.why == Why.HOST_UNKNOWN:
            ways.show(folder, instance.instance_id, error)
        return str(error)
    except (BackupError, RefusedError) as error:
        return str(error)
    return ""


def _prove(opened: ssh.Session) -> None:
    """Run nothing but an echo; RefusedError if something else answers."""
    command = f"sh -c 'echo {_HERE}'"
    wire = opened.start(f"sudo -n {command}" if opened.address.sudo else command)
    until, said = time.monotonic() + SECONDS, b""
    while not (wire.is_over and wire.exit_status is not None) and time.monotonic() < until:
        said += wire.read()
        if _HERE.encode() in said:
            return
        time.sleep(_LOOK_SECONDS)
    said += wire.read()
    if _HERE.encode() not in said:
        raise opened.not_started(wire, said)
