"""Where and how to log in to an instance: as values that can be handed to another process, or kept in the spool.

No Django and no I/O in here. What is secret is in the spool only as sealed text.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scripts_admin.domain import ssh
from scripts_admin.hosts import keypairs

Seal = Callable[[str], str]


class UnreadableWayError(Exception):
    """What a spool has does not tell how to log in; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where and as whom to log in. `host_keys`: the approved keys as OpenSSH writes them; empty if there is none.

    `at` is the IP address that was judged: a connection goes there, and no name is resolved any more. Behind a
    bastion it may be empty, as the bastion resolves `host`.
    """

    host: str
    port: int
    user: str
    host_keys: tuple[str, ...] = ()
    bastion: "Address | None" = None
    sudo: bool = False
    at: str = ""

    def __str__(self) -> str:
        return self.host if self.port == ssh.DEFAULT_PORT else f"{self.host} on port {self.port}"


@dataclass(frozen=True, slots=True)
class Key:
    """The private keys to log in with, in OpenSSH's form, tried in their order; `for_bastion` if those are others.

    `is_connect`: EC2 Instance Connect has handed the public half over, so it is valid for a minute.
    """

    privates: tuple[str, ...] = field(repr=False)
    is_connect: bool = False
    for_bastion: "Key | None" = None


@dataclass(frozen=True, slots=True)
class Connect:
    """Whom EC2 Instance Connect has to hand a public key to: a user of an instance, or of the bastion."""

    region: str
    instance_id: str
    user: str
    availability_zone: str = ""
    is_bastion: bool = False


# Hands a public key, as OpenSSH writes it, to an instance; it is valid there for a minute.
Hand = Callable[[Connect, str], None]


@dataclass(frozen=True, slots=True)
class Way:
    """Everything that is needed to log in, now or later and without the database.

    `stored` are private keys that are kept. `connects` are those to whom Instance Connect hands a key that is made
    for each login, with `credentials`: a text that only whoever calls AWS can read.
    """

    address: Address
    stored: tuple[str, ...] = field(default=(), repr=False)
    connects: tuple[Connect, ...] = ()
    credentials: str = field(default="", repr=False)

    def key(self, hand: Hand | None = None) -> Key:
        """Return the key for one login, to be made at once: Instance Connect's is valid for a minute.

        The private half of a pair that is made here is nowhere else. Raises what `hand` raises.
        """
        stored = Key(self.stored)
        if not self.connects or hand is None:
            return stored
        pair = keypairs.make()
        made = Key((pair.private,), is_connect=True)
        public = str(pair.public)
        for each in self.connects:
            hand(each, public)
        at_bastion = any(each.is_bastion for each in self.connects)
        at_instance = any(not each.is_bastion for each in self.connects)
        return replace(made if at_instance else stored, for_bastion=made if at_bastion else stored)

    def to_spool(self, seal: Seal) -> dict[str, Any]:
        """Return it as JSON's values, with everything secret sealed."""
        return {
            "address": plain(self.address),
            "connects": [asdict(each) for each in self.connects],
            "secrets": seal(json.dumps([*self.stored, self.credentials])),
        }

    @classmethod
    def from_spool(cls, raw: Mapping[str, Any], unseal: Seal) -> "Way":
        """Return what `to_spool` gave; UnreadableWayError if it was something else. Raises what `unseal` raises."""
        secrets = unseal(str(raw.get("secrets", "")))
        try:
            *stored, credentials = map(str, json.loads(secrets))
            connects = tuple(_connect(each) for each in raw["connects"])
            return cls(address_of(raw["address"]), tuple(stored), connects, credentials)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Nothing of the error's text: it may quote what was sealed.
            raise UnreadableWayError(
                f"The spool does not tell how to log in ({type(error).__name__})."
            ) from None


def plain(address: Address) -> dict[str, Any]:
    """Return the address as JSON's values."""
    return asdict(address)


def address_of(raw: Mapping[str, Any]) -> Address:
    """Return what `plain` gave; an exception of Python's own for anything else."""
    bastion = raw["bastion"]
    return Address(
        host=str(raw["host"]),
        port=int(raw["port"]),
        user=str(raw["user"]),
        host_keys=tuple(map(str, raw["host_keys"])),
        bastion=address_of(bastion) if bastion else None,
        sudo=bool(raw["sudo"]),
        at=str(raw["at"]),
    )


def _connect(raw: Mapping[str, Any]) -> Connect:
    return Connect(
        region=str(raw["region"]),
        instance_id=str(raw["instance_id"]),
        user=str(raw["user"]),
        availability_zone=str(raw["availability_zone"]),
        is_bastion=bool(raw["is_bastion"]),
    )
