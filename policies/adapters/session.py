"""Access to an account's AWS: one `Ec2Cloud` for each set of credentials."""

import os
import threading
from functools import lru_cache

from policies.ports import Agents, Cloud, Credentials, InstanceConnect
from policies.ports.blocks import Blocks
from policies.ports.copies import Copies
from policies.ports.images import Images
from policies.ports.making import Making
from policies.ports.removing import Removing
from scripts_admin.domain.remote import DOCUMENT
from scripts_admin.runners import ssm

_CLOUDS = 64  # clients of a region take about 3 MB; the least recently used are dropped
_lock = threading.Lock()


def cloud(credentials: Credentials) -> Cloud:
    """Return the account's AWS: the same object for the same credentials and AWS_* environment.

    It makes no call and raises nothing; wrong credentials fail at the first call. Thread-safe. Do not
    call it inside a window: it takes a lock.
    """
    with _lock:
        return _cloud(credentials, _environment())


def instance_connect(credentials: Credentials) -> InstanceConnect:
    """Return the account's EC2 Instance Connect; as `cloud`."""
    with _lock:
        return _connect(credentials, _environment())


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(each for each in os.environ.items() if each[0].startswith("AWS_")))


@lru_cache(maxsize=_CLOUDS)
def _cloud(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Cloud:
    # The SDK takes a fifth of a process's start, and most processes and commands never call AWS.
    from policies.adapters.clients import Clients  # noqa: PLC0415
    from policies.adapters.ec2 import Ec2Cloud  # noqa: PLC0415

    return Ec2Cloud(Clients(credentials))


@lru_cache(maxsize=_CLOUDS)
def _connect(
    credentials: Credentials, _environment: tuple[tuple[str, str], ...]
) -> InstanceConnect:
    from policies.adapters.instance_connect import AwsInstanceConnect  # noqa: PLC0415 - as above

    return AwsInstanceConnect(credentials)


def removing(credentials: Credentials) -> Removing:
    """Return what deletes snapshots of the account, and brings them back; as `cloud`."""
    with _lock:
        return _removing(credentials, _environment())


@lru_cache(maxsize=_CLOUDS)
def _removing(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Removing:
    from policies.adapters.clients import Clients  # noqa: PLC0415 - as above
    from policies.adapters.ec2_removing import Ec2Removing  # noqa: PLC0415

    return Ec2Removing(Clients(credentials))


def making(credentials: Credentials) -> Making:
    """Return what makes volumes and instances in the account's AWS; it makes no call yet."""
    with _lock:
        return _making(credentials, _environment())


@lru_cache(maxsize=_CLOUDS)
def _making(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Making:
    from policies.adapters.clients import Clients  # noqa: PLC0415 - as above
    from policies.adapters.making import Ec2Making  # noqa: PLC0415

    return Ec2Making(Clients(credentials))


def agents(credentials: Credentials) -> Agents:
    """Return what AWS says about the SSM agents of the account's instances; it makes no call yet."""
    from policies.adapters.clients import Clients  # noqa: PLC0415
    from policies.adapters.ssm import SsmAgents  # noqa: PLC0415

    return SsmAgents(Clients(credentials))


def copies(credentials: Credentials) -> Copies:
    """Return what the account does with copies of snapshots; as `cloud`."""
    with _lock:
        return _copies(credentials, _environment())


@lru_cache(maxsize=_CLOUDS)
def _copies(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Copies:
    from policies.adapters.clients import Clients  # noqa: PLC0415 - as above
    from policies.adapters.copying import Ec2Copies  # noqa: PLC0415

    return Ec2Copies(Clients(credentials))


def commands(credentials: Credentials, region: str, document: str = DOCUMENT) -> ssm.Client:
    """Return SSM of one region, for scripts on instances by this document; it makes no call yet."""
    from policies.adapters.clients import Clients  # noqa: PLC0415
    from policies.adapters.ssm import SsmCommands  # noqa: PLC0415

    return SsmCommands(Clients(credentials), region, document)


def blocks(credentials: Credentials) -> Blocks:
    """Return the blocks of the account's snapshots; it makes no call yet."""
    from policies.adapters.ebs import EbsBlocks  # noqa: PLC0415 - as above

    return EbsBlocks(credentials)


def images() -> Images:
    """Return what opens snapshots as images on this server."""
    from policies.adapters.images import HomeImages  # noqa: PLC0415 - as above

    return HomeImages()
