"""The addresses that the server connects to because a tenant named them. Pure.

So nobody reaches the server itself through the server, whatever the address is written as, or the service from
which a machine in a cloud gets its credentials.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# Clouds give out the server's own credentials at these. No setting opens them.
_METADATA: tuple[Network, ...] = (
    IPv4Network("169.254.169.0/24"),  # AWS, Azure, Google and others; the time and the names of AWS
    IPv4Network("169.254.170.0/24"),  # containers of AWS: ECS and EKS
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure's agent
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fd00:ec2::/32"),  # AWS
    IPv6Network("fd20:ce::254/128"),  # Google
    IPv6Network("fe80::a9fe:a9fe/128"),  # OpenStack
)
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_LAST_WORDS = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # translated
        "64:ff9b::/96",  # NAT64
    )
)
_NAT64_OF_YOUR_OWN = IPv6Network("64:ff9b:1::/48")
_ISATAP = (0x00005EFE, 0x02005EFE)
_WORD = 0xFFFFFFFF


def may_reach(
    address: str,
    allowed: Iterable[Network] = (),
    is_own: Callable[[Address], bool] = lambda _: False,
) -> bool:
    """Tell whether the server may connect to the IP address for a tenant.

    Not to this machine (`is_own` tells which addresses it has), a link-local address, or a metadata service,
    and not to one of these inside an IPv6 address. `allowed` networks are exceptions, but not for metadata.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    faces = [found, *embedded(found)]
    if any(_within(face, _METADATA) for face in faces):
        return False
    allowed = tuple(allowed)
    if _within(found, allowed):
        return True
    return not any(_is_closed(face, is_own) and not _within(face, allowed) for face in faces)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)


def _is_closed(address: Address, is_own: Callable[[Address], bool]) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (isinstance(address, IPv4Address) and (address.is_reserved or address in _THIS_NETWORK))
        or is_own(address)
    )


def embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield each IPv4 address that a translator or a tunnel would take from the IPv6 address."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if _within(address, _LAST_WORDS) and not (address.is_loopback or address.is_unspecified):
        yield IPv4Address(number & _WORD)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if number >> 32 & _WORD in _ISATAP:
        yield IPv4Address(number & _WORD)
    if address in _NAT64_OF_YOUR_OWN:
        yield from _of_your_own(number)


def _of_your_own(number: int) -> Iterator[IPv4Address]:
    """Yield what the address means for each length that a prefix of your own may have (RFC 6052).

    A reading in 0.0.0.0/8 is none: the address was written for another length.
    """
    without_u = number >> 64 << 56 | number & (1 << 56) - 1  # its bits 64 to 71 mean nothing
    for shift in (40, 32, 24):  # a prefix of 48, 56 and 64 bits
        yield from _unless_zero(without_u >> shift & _WORD)
    yield from _unless_zero(number & _WORD)


def _unless_zero(number: int) -> Iterator[IPv4Address]:
    found = IPv4Address(number)
    if found not in _THIS_NETWORK:
        yield found
