"""Where no message goes, however the address is written."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from n2wbackup.lib import reach
from tests.ground.properties import given, st

ANY = "0.0.0.0"  # noqa: S104 - nothing is bound
METADATA = IPv4Address("169.254.169.254")
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]
# How an IPv6 address carries an IPv4 address; each begins and ends with these bits.
WAYS = {
    "mapped": lambda inside: f"::ffff:{inside}",
    "compatible": lambda inside: f"::{inside}",
    "translated": lambda inside: f"::ffff:0:{inside}",
    "NAT64": lambda inside: f"64:ff9b::{inside}",
    "NAT64 of your own, /96": lambda inside: f"64:ff9b:1:a:b:c:{inside}",
    "NAT64 of your own, /64": lambda inside: _apart(inside, "64:ff9b:1:2", 64),
    "NAT64 of your own, /56": lambda inside: _apart(inside, "64:ff9b:1:2200", 56),
    "NAT64 of your own, /48": lambda inside: _apart(inside, "64:ff9b:1", 48),
    "6to4": lambda inside: str(IPv6Address(0x2002 << 112 | int(inside) << 80 | 1)),
    "Teredo's client": lambda inside: str(
        IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | int(inside) ^ 0xFFFFFFFF)
    ),
    "Teredo's server": lambda inside: str(
        IPv6Address(0x20010000 << 96 | int(inside) << 64 | 0x08080808 ^ 0xFFFFFFFF)
    ),
    "ISATAP": lambda inside: f"2001:db8::5efe:{inside}",
    "ISATAP of a global address": lambda inside: f"2001:db8::200:5efe:{inside}",
}


def _apart(inside: IPv4Address, prefix: str, bits: int) -> str:
    """Write the address behind a prefix of so many bits, with eight zeros at bit 64 (RFC 6052)."""
    binary = f"{int(IPv6Address(prefix + '::')):0128b}"[:bits] + f"{int(inside):032b}"
    binary = binary[:64] + "0" * 8 + binary[64:]
    return str(IPv6Address(int(binary.ljust(128, "0"), 2)))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "::1", ANY, "0.1.2.3", "::", "169.254.1.1", "fe80::1%eth0"),
        *("224.0.0.1", "255.255.255.255", "ff02::1", "localhost", "", "127.1", "0x7f000001"),
    ],
)
def test_addresses_of_this_machine_and_of_its_links_are_not_reached(address: str) -> None:
    assert not reach.may_reach(address)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd00:ec2:1::1", "fd20:ce::254", "fe80::a9fe:a9fe%2"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
    ],
)
def test_a_metadata_service_is_not_reached_whatever_is_allowed(address: str) -> None:
    assert not reach.may_reach(address)
    assert not reach.may_reach(address, EVERYTHING)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "169.254.170.2", "10.9.8.7"])
def test_no_address_inside_another_gets_around(way: str, inside: str) -> None:
    address = WAYS[way](IPv4Address(inside))

    assert not reach.may_reach(address, is_own=lambda face: face == ip_address("10.9.8.7"))


@pytest.mark.parametrize("way", WAYS)
def test_metadata_inside_another_address_is_not_opened_by_a_network(way: str) -> None:
    assert not reach.may_reach(WAYS[way](METADATA), EVERYTHING)


@pytest.mark.parametrize("way", WAYS)
def test_a_receiver_behind_a_translator_is_reached(way: str) -> None:
    assert reach.may_reach(WAYS[way](IPv4Address("203.0.113.9")))


@given(st.ip_addresses(v=6).map(str))
def test_every_address_gets_an_answer(address: str) -> None:
    assert reach.may_reach(address) in {True, False}


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1", "fd00:ec3::1"]
)
def test_others_are_reached(address: str) -> None:
    assert reach.may_reach(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "fd12::1", "::ffff:10.1.2.3"])
def test_the_machines_own_addresses_are_not_reached(address: str) -> None:
    own = {ip_address("10.1.2.3"), ip_address("fd12::1")}

    assert not reach.may_reach(address, is_own=own.__contains__)
    assert reach.may_reach(address, EVERYTHING, own.__contains__)


def test_a_network_that_is_named_is_reached_and_no_other() -> None:
    allowed = [ip_network("127.0.0.0/8")]

    assert reach.may_reach("127.0.0.1", allowed)
    assert reach.may_reach("::ffff:127.0.0.1", allowed)
    assert not reach.may_reach("::1", allowed)
    assert not reach.may_reach("169.254.169.254", allowed)
