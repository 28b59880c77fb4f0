"""The kernel's word on which addresses are the machine's own."""

import json
import subprocess
from ipaddress import ip_address

import pytest

from n2wbackup.lib import own_addresses


def of_all_interfaces() -> list[str]:
    told = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
    return [each["local"] for link in json.loads(told) for each in link["addr_info"]]


def test_every_address_of_every_interface_is_own() -> None:
    found = of_all_interfaces()

    assert "127.0.0.1" in found
    assert [each for each in found if not own_addresses.is_own(ip_address(each))] == []


@pytest.mark.parametrize("address", ["127.9.9.9", "255.255.255.255", "224.0.0.1"])
def test_so_is_what_the_machine_answers_to_besides(address: str) -> None:
    assert own_addresses.is_own(ip_address(address))


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_another_machines_address_is_not(address: str) -> None:
    assert not own_addresses.is_own(ip_address(address))


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("203.0.113.7", False)])
def test_a_sandbox_without_routes_tells_the_same(
    monkeypatch: pytest.MonkeyPatch, address: str, own: bool
) -> None:
    def forbidden(_address: object) -> int:
        raise PermissionError

    monkeypatch.setattr(own_addresses, "_route_type", forbidden)

    assert own_addresses.is_own(ip_address(address)) is own
