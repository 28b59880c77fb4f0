"""Which addresses this machine has: the kernel is asked anew for each, so one that came a moment ago counts."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

# From linux/rtnetlink.h: a request for the route to an address, and its answer.
_RTM_NEWROUTE, _RTM_GETROUTE, _NLM_F_REQUEST, _RTA_DST = 24, 26, 1, 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, bits of the destination, …, type, flags
_ATTRIBUTE = struct.Struct("=HH")
_TYPE = 7  # its place in _ROUTE
_UNICAST = 1  # through another machine; local, broadcast, anycast and multicast have other numbers
_ANSWER_BYTES = 4096


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether the machine would take a packet for the address itself, on whatever interface it is."""
    try:
        kind = _route_type(address)
    except OSError:  # no such question is allowed here
        return _can_be_bound(address)
    return kind not in {None, _UNICAST}


def _route_type(address: IPv4Address | IPv6Address) -> int | None:
    """Return the kernel's type of the route to the address; None if there is no way to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
    wanted = address.packed
    route = _ROUTE.pack(family, len(wanted) * 8, 0, 0, 0, 0, 0, 0, 0)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(wanted), _RTA_DST) + wanted
    length = _HEADER.size + len(route) + len(attribute)
    header = _HEADER.pack(length, _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(header + route + attribute)
        answer = kernel.recv(_ANSWER_BYTES)
    if _HEADER.unpack_from(answer)[1] != _RTM_NEWROUTE:
        return None
    return int(_ROUTE.unpack_from(answer, _HEADER.size)[_TYPE])


def _can_be_bound(address: IPv4Address | IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((str(address), 0))
        except OSError:
            return False
    return True
